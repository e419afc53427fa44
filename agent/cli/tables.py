"""Tables and pages for people. rich is imported inside, and never parses markup in what it is given."""

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from agent.api.words import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["Page", "cell", "console", "plain", "print_table"]

PIPED_WIDTH = 1_000
"""Columns where the output is no terminal: lines are for `grep` then, and must not be broken."""
NEVER_WRAPS = 24
"""Columns no wider than this: ids, states, times."""
STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "open": "bold",
    "acknowledged": "cyan",
    "mitigated": "magenta",
    "resolved": "green",
    "refused": "yellow",
    "would do": "bold cyan",
    "replay": "black on yellow",
    "test": "black on yellow",
    "no": "yellow",
}
"""How a cell that is exactly this word looks; rich leaves colour out where there is no terminal or NO_COLOR is set."""


def console(stream: IO[str] | None = None) -> "Console":
    """A rich console on stdout that neither parses markup nor guesses at what to colour."""
    from rich.console import Console

    class Told(Console):
        """rich ends the program with code 1 where a reader goes away; the command line has a code of its own."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    out = stream or sys.stdout
    width = None if out.isatty() else PIPED_WIDTH
    return Told(file=out, markup=False, highlight=False, emoji=False, soft_wrap=False, width=width)


def cell(value: str, style: str = "") -> "Text":
    """Text as it stands: no escapes, no markup, no bidi tricks."""
    from rich.text import Text

    return Text(plain(value), style=style or STYLES.get(value, ""))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, stream: IO[str] | None = None) -> None:
    """One header, and one line a row where the output is wide enough; else the long columns wrap, the short never."""
    from rich.table import Table

    cells = [[cell(value) for value in row] for row in rows]
    out = console(stream)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(columns):
        widest = max((row[index].cell_len for row in cells), default=0)
        table.add_column(name, no_wrap=widest <= NEVER_WRAPS, overflow="fold")
    for row in cells:
        table.add_row(*row)
    out.print(table)


class Page:
    """Lines for people with headings, indents and emphasis.

    page = Page()
    page.heading("Findings")
    page.line("NVML lost the GPU", indent=2)
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._console = console(stream)

    def heading(self, text: str) -> None:
        """An empty line and a bold one."""
        self._console.print()
        self._console.print(cell(text, "bold"))

    def line(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        """One line of parts, each a text or (text, style); wrapped lines keep the indent."""
        from rich.padding import Padding
        from rich.text import Text

        text = Text()
        for part in parts:
            text.append_text(cell(part) if isinstance(part, str) else cell(*part))
        self._console.print(Padding(text, (0, 0, 0, indent), expand=False))
