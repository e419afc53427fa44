"""A job whose lines the tests write."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from detectors.contract import Clearing, Opening, Opinion
from detectors.loss import LossDetector
from detectors.model import FindingKind, Inventory

JOB = Subject("c", SubjectKind.JOB, "job-1")
SECOND = 1_000_000_000


@dataclass
class Log:
    """Feeds one detector, a line a second, and keeps what it says."""

    detector: LossDetector = field(default_factory=LossDetector)
    inventory: Inventory = field(default_factory=Inventory)
    job: Subject = JOB
    step: int = 0
    stride: int = 1
    time_ns: int = 0
    said: list[tuple[int, Opinion]] = field(default_factory=list)

    def line(self, rank: str = "", **values: float) -> list[Opinion]:
        """One training step; `step` goes on by itself unless given."""
        self.time_ns += SECOND
        values.setdefault("step", float(self.step + self.stride))
        if values["step"] == values["step"] and abs(values["step"]) < 1e15:
            self.step = int(values["step"])
        return self.raw(values, {"rank": rank} if rank else {})

    def raw(self, values: dict[str, float], attributes: dict[str, str] | None = None) -> list[Opinion]:
        """One training step as it stands, at the present time."""
        event = Event(
            EventKind.TRAINING_STEP,
            self.job,
            self.time_ns,
            EventSource.TRAINING_LOG,
            values,
            attributes or {},
            f"line at {self.time_ns}",
        )
        return self._keep(self.detector.on_event(event, self.inventory, self.time_ns))

    def lines(self, losses: Iterable[float], grad_norm: float | None = 1.0) -> "Log":
        """A run of steps."""
        for number, loss in enumerate(losses):
            more = {} if grad_norm is None else {"grad_norm": grad_norm * (1 + 0.05 * (number % 3))}
            self.line(loss=loss, **more)
        return self

    def event(self, kind: EventKind) -> list[Opinion]:
        """An event of the job that is no step."""
        self.time_ns += SECOND
        event = Event(kind, self.job, self.time_ns, EventSource.TRAINING_LOG)
        return self._keep(self.detector.on_event(event, self.inventory, self.time_ns))

    def _keep(self, said: Iterable[Opinion]) -> list[Opinion]:
        opinions = list(said)
        self.said += [(self.time_ns, opinion) for opinion in opinions]
        return opinions

    def opened(self) -> list[FindingKind]:
        """Kinds that opened, in order."""
        return [opinion.kind for _, opinion in self.said if isinstance(opinion, Opening)]

    def cleared(self) -> list[FindingKind]:
        """Kinds that cleared, in order."""
        return [opinion.kind for _, opinion in self.said if isinstance(opinion, Clearing)]

    def opening(self, kind: FindingKind) -> Opening:
        """The first opening of a kind."""
        return next(o for _, o in self.said if isinstance(o, Opening) and o.kind is kind)

    def clearing(self, kind: FindingKind) -> Clearing:
        """The first clearing of a kind."""
        return next(o for _, o in self.said if isinstance(o, Clearing) and o.kind is kind)


def steady(count: int, level: float = 3.0) -> Iterator[float]:
    """A sound loss that scatters by about 3 %."""
    for number in range(count):
        yield level * (1 + 0.03 * ((number * 7) % 11 - 5) / 5)
