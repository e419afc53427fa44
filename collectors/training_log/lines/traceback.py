"""The final line of a Python traceback: which exception, and its message.

Ranks write into one log at once. Where the launcher names the writer, each writer's lines are followed apart; where it
does not, as many final lines are looked for as tracebacks were begun, and lines between them are passed over.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying

_HEAD = "Traceback (most recent call last):"
_CHAIN = ("During handling of the above exception", "The above exception was the direct cause")
_FINAL = re.compile(
    r"(?P<name>(?:[A-Za-z_]\w{0,63}\.){0,12}"
    r"(?:[A-Za-z_]\w{0,63}(?:Error|Exception|Interrupt|Exit|Warning|Timeout|Expired|Failure|Failed|Abort|Aborted|Iteration|Group)"
    r"|[A-Z]\w{0,63}Error\w{0,32}|Error|Exception))(?:\([\w.]{1,64}\))?(?:: ?.*)?$",
    re.ASCII | re.DOTALL,
)
_DOTTED = re.compile(r"(?P<name>(?:[a-z_]\w{0,63}\.){1,12}[A-Z]\w{0,63})(?:: ?.*)?$", re.ASCII | re.DOTALL)
_MOST_WRITERS = 4096
_MOST_LINES = 400
"""A traceback that has not ended by then (a recursion, a cut log) is given up."""


class _Open:
    __slots__ = ("chained", "lines", "tracebacks")

    def __init__(self) -> None:
        self.tracebacks = 0
        self.lines = 0
        self.chained = False


class Reader:
    """Follows the open tracebacks of every writer."""

    words = ("",)

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def read(self, line: LogLine) -> list[Saying]:
        """One saying at a traceback's final line, or none."""
        text = line.text
        if _HEAD in text:
            self._begin(line.writer)
            return []
        opened = self._open.get(line.writer)
        if opened is None:
            return []
        opened.lines += 1
        if opened.lines > _MOST_LINES:
            del self._open[line.writer]
            return []
        if text.startswith(_CHAIN):
            opened.chained = True
            return []
        if opened.tracebacks == 0 or text[:1].isspace():
            return []
        match = _FINAL.match(text) or _DOTTED.match(text)
        if match is None:
            return []
        opened.tracebacks -= 1
        attributes = {"exception": match["name"], "detail": text}
        if opened.chained:
            attributes["chained"] = "true"
            opened.chained = False
        return [Saying(EventKind.TRACEBACK, {}, attributes)]

    def _begin(self, writer: str) -> None:
        opened = self._open.get(writer)
        if opened is None:
            if len(self._open) >= _MOST_WRITERS:
                self._open.clear()
            opened = self._open[writer] = _Open()
        opened.tracebacks += 1
        opened.lines = 0
