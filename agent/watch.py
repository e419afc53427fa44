"""The watch itself: batches in, findings, incidents and decisions out. No I/O, no clock of its own.

Agent, replay and demo all drive this one object, so that a replay gives what the day itself gave.
"""

from dataclasses import dataclass, field

from collectors.model import Batch, Event
from detectors.model import Finding, Incident
from policies.model import Decision


@dataclass(slots=True)
class Changes:
    """What one tick changed; each value replaces the one of the same id."""

    findings: list[Finding] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.findings or self.incidents or self.decisions or self.events)


class Watch:
    """Receives batches, ticks, and tells what changed."""

    def receive(self, batch: Batch, received_ns: int) -> None:
        """Take in one batch. `received_ns` is the agent's clock, Unix ns, and never runs backwards."""
        raise NotImplementedError

    def tick(self, now_ns: int) -> Changes:
        """Look at everything received up to now."""
        raise NotImplementedError
