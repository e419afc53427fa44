"""What is known of one subject at one moment: its columns, newest readings, job and rhythm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan

from collectors.model import CATALOGUE, MetricType, Subject, SubjectKind
from detectors.engine import Engine
from detectors.frame import NS, Frame
from detectors.job.rhythm import Rhythm
from detectors.model import FindingKind


@dataclass(frozen=True, slots=True)
class Moment:
    """A subject in its surroundings, as the engine knows them. Read only."""

    engine: Engine
    subject: Subject
    now_ns: int
    frames: Sequence[Frame]
    """The newest ones that the engine kept, oldest first."""

    @property
    def columns(self) -> list[int]:
        """The columns of a GPU itself, or of the GPUs of a job or node; those that have been looked at."""
        engine, found = self.engine, list[int]()
        if self.subject.kind is SubjectKind.GPU:
            column = engine.columns.find(self.subject)
            found = [] if column is None else [column]
        elif self.subject.kind is SubjectKind.JOB:
            index = engine.jobs.find(self.subject)
            found = [] if index is None or index >= len(engine.jobs.members) else engine.jobs.members[index].tolist()
        elif self.subject.kind is SubjectKind.NODE:
            places = (engine.columns.find(gpu) for gpu in engine.inventory.gpus_of(self.subject))
            found = [column for column in places if column is not None]
        return [column for column in found if column < len(engine.habits.last_ns)]

    @property
    def job(self) -> Subject | None:
        """The job that it is, or works for."""
        return self.engine.inventory.job_of(self.subject)

    @property
    def rhythm(self) -> Rhythm | None:
        """The rhythm of its job by its log."""
        return self.engine.rhythms.jobs.get(self.job) if self.job is not None else None

    def age_s(self, time_ns: int) -> float | None:
        """Seconds since then; None for a time that never was."""
        return (self.now_ns - time_ns) / NS if time_ns else None

    def reading(self, column: int, metric: str) -> tuple[float | None, float | None]:
        """The newest value of a metric (a counter: its rise per second) and its age in seconds; None where missing."""
        counter = CATALOGUE[metric].type is MetricType.COUNTER
        for frame in reversed(self.frames):
            at = int(frame.cols.searchsorted(column))
            if at < len(frame.cols) and frame.cols[at] == column:
                value = float((frame.rate(metric) if counter else frame.gauge(metric))[at])
                if not isnan(value):
                    return value, self.age_s(int(frame.times_ns[at]))
        return None, None

    def is_open(self, kinds: Iterable[FindingKind]) -> bool:
        """Whether a finding of these kinds is open about the subject, or names it."""
        return any(
            self.subject == finding.subject or self.subject in finding.related
            for kind in kinds
            for finding in self.engine.book.of_kind(kind)
        )
