"""What a detector is: it states what it needs, looks, and says what opens and what clears.

Two shapes share one vocabulary. An `EventDetector` is handed events as they arrive; a `LookDetector` is handed the
newest readings of all subjects at once, as arrays (`detectors.frame`). Neither does I/O or reads a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from collectors.model import Event, EventKind, Subject
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity


@dataclass(frozen=True, slots=True)
class Needs:
    """What a detector must have seen before it can say anything. Until then it is "not ready", never "healthy"."""

    metrics: tuple[str, ...] = ()
    events: tuple[EventKind, ...] = ()
    history_seconds: float = 0.0
    history_steps: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """A condition that holds now. Saying it again while it is open changes nothing; (kind, subject,
    mark) is the key."""

    kind: FindingKind
    subject: Subject
    since_ns: int
    """When it began as far as the detector can tell: the first bad look, not the last good one."""
    severity: Severity
    confidence: float
    summary: str
    evidence: tuple[Evidence, ...] = ()
    related: tuple[Subject, ...] = ()
    mark: str = ""
    """Tells apart conditions of one kind on one subject that may be open side by side: the code of an Xid, say."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """A condition that no longer holds, and the sentence that says why."""

    kind: FindingKind
    subject: Subject
    because: str
    mark: str = ""


Opinion = Opening | Clearing


class EventDetector(Protocol):
    """Looks at events one by one, in the order in which the agent received them."""

    @property
    def kinds(self) -> tuple[FindingKind, ...]:
        """The kinds of finding that it may open."""
        ...

    @property
    def needs(self) -> Needs:
        """What it must have seen."""
        ...

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event; `now_ns` is the agent's clock at the tick, never earlier than at the last call."""
        ...

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Called once a tick after its events: for what clears or opens by the passing of time."""
        ...

    def adopt(self, finding: Finding) -> None:
        """A finding of one of its kinds is open since before a restart: from now on this detector says when it clears.

        It was not there meanwhile: what it has not seen since neither opens nor clears anything.
        """
        ...

    def ready(self, subject: Subject) -> bool:
        """Whether it has seen enough of this subject to say anything about it."""
        ...


@dataclass(slots=True)
class Opinions:
    """A place to gather opinions while looking."""

    said: list[Opinion] = field(default_factory=list)

    def opens(self, opening: Opening) -> None:
        """Say that a condition holds."""
        self.said.append(opening)

    def clears(self, kind: FindingKind, subject: Subject, because: str) -> None:
        """Say that a condition no longer holds."""
        self.said.append(Clearing(kind, subject, because))
