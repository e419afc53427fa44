"""What a reader of kernel-log text has understood, before it becomes an event."""

from dataclasses import dataclass, field

from collectors.model import EventKind


@dataclass(frozen=True, slots=True)
class Statement:
    """Kind, figures and words of one line; hostile text still, to be cleaned by the parser."""

    kind: EventKind
    line: str
    values: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
