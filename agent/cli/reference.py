"""The part of docs/cli.md that is made from the argument parsers themselves.

`python -m agent.cli.reference docs/cli.md` renews it; a test fails while page and parsers differ.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.cli.exit_codes import MEANINGS
from agent.cli.main import command_files, full_parser

BEGIN = "<!-- begin: made by python -m agent.cli.reference docs/cli.md -->"
END = "<!-- end -->"


def reference() -> str:
    """Exit codes, then every command with its arguments, as Markdown."""
    lines = ["## Exit codes", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    for name, parser in _parsers().items():
        lines += ["", f"## watchstander {name}", "", f"{parser.description}.", ""]
        rows = [row for action in parser._actions for row in _row(action)]
        if rows:
            lines += ["| argument | meaning |", "| --- | --- |", *rows]
        if parser.epilog:
            lines += ["", "```text", *parser.epilog.rstrip().splitlines(), "```"]
    return "\n".join(lines) + "\n"


def _parsers() -> dict[str, argparse.ArgumentParser]:
    commands = next(action for action in full_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {name: commands.choices[name] for name in command_files()}


def _row(action: argparse.Action) -> Iterator[str]:
    if isinstance(action, argparse._HelpAction) or action.help is argparse.SUPPRESS:
        return
    value = action.metavar if isinstance(action.metavar, str) else ""
    if not value and action.choices is not None:
        value = "|".join(str(choice) for choice in action.choices)
    if not value and action.nargs != 0:
        value = action.dest.upper()
    if action.option_strings:
        argument = ", ".join(action.option_strings) + (f" {value}" if action.nargs != 0 else "")
    else:
        argument = f"[{value}]" if action.nargs in ("?", "*") else value
    help_ = (action.help or "") % {**vars(action), "prog": "watchstander"}
    escaped = argument.replace("|", "\\|")
    yield f"| `{escaped}` | {help_} |"


def renewed(page: str) -> str:
    """The page with its made part as it must be; ValueError where a marker is absent."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the reference")
    return f"{head}{BEGIN}\n{reference()}{END}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
