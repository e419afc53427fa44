"""One line of a training log, unwrapped, and what a reader can say about it."""

from dataclasses import dataclass, field
from typing import Protocol

from collectors.model import EventKind


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line without the wrappings of container runtime, launcher and terminal."""

    text: str
    """Without prefix, colours and control characters; indentation is kept."""
    writer: str
    """The launcher's prefix as it stood there (`[rank0]:`), or empty: lines of one writer belong together."""
    rank: int | None
    """The rank that the prefix names, or that the file belongs to."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What a reader has understood: hostile text still, to be cleaned by the parser."""

    kind: EventKind
    values: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    rank: int | None = None
    """The rank that the line itself names, where it does."""


class LineReader(Protocol):
    """Reads one kind of line. Put a class `Reader` of this shape into a file of `formats/` or `lines/`: that is all.

    Each parser makes its own instance, so a reader may remember earlier lines; what it remembers must be bounded.
    """

    words: tuple[str, ...]
    """A line that holds none of these is not shown to the reader: the search is ten times cheaper than a pattern.
    An empty word is in every line."""

    def read(self, line: LogLine) -> list[Saying]:
        """What the line says; an empty list if nothing."""
        ...
