"""What a source of GPU readings is."""

from dataclasses import dataclass, field
from typing import Protocol

from collectors.model import Event, Subject, SubjectFacts


@dataclass(frozen=True, slots=True)
class GpuLook:
    """Some metrics of some GPUs at one instant, in the units of the wire (`collectors.model.batch.Table`).

    Each list has one value per GPU, in the order of `gpus`. A metric that the source does not give has no key; a value
    that it gives in general and not now is absent.
    """

    time_ns: int
    """When the values were read, Unix ns."""
    gpus: tuple[Subject, ...]
    gauges: dict[str, list[float]] = field(default_factory=dict)
    """In the catalogue's unit; NaN where absent."""
    counters: dict[str, list[int]] = field(default_factory=dict)
    """In the catalogue's unit divided by its `scale`; `COUNTER_ABSENT` where absent."""


class GpuSource(Protocol):
    """Looks at the GPUs of one node. No call may block for longer than a second or two, whatever the driver does."""

    def facts(self) -> tuple[SubjectFacts, ...]:
        """What is known about the GPUs (and perhaps their node and job); equal from call to call until it changes."""
        ...

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        """Read these metrics of all GPUs; what cannot be read is absent."""
        ...

    def events(self) -> list[Event]:
        """What the source itself has noticed since the last call: Xids, a GPU lost or back, a hung driver."""
        ...
