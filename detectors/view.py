"""What a look detector is shown: one frame, and all that has been learnt about its subjects."""

from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, nan

import numpy as np

from collectors.model import Subject, SubjectFacts
from detectors.book import Book
from detectors.contract import Needs, Opinions
from detectors.frame import Columns, Frame, Ints
from detectors.gpu.habits import Habits
from detectors.job.rhythm import Rhythms
from detectors.model import Finding, FindingKind, Inventory


@dataclass(slots=True)
class Jobs:
    """Which GPUs work for which job: an index a job, kept in step with the inventory."""

    subjects: list[Subject] = field(default_factory=list)
    job_of: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Index of each column's job, -1 where unknown, shape (columns,)."""
    members: list[Ints] = field(default_factory=list)
    _index: dict[Subject, int] = field(default_factory=dict)
    _generation: int = -1
    _facts: list[SubjectFacts | None] = field(default_factory=list)
    """What the inventory said of each column when its job was last looked up."""

    def follow(self, inventory: Inventory, columns: Columns) -> None:
        """Bring the index up to date."""
        known = len(self._facts)
        if self._generation == inventory.generation and known == len(columns):
            return
        self._generation = inventory.generation
        facts = list(map(inventory.facts.get, columns.subjects))
        # a pod may say later for whom it works, all else lies in the card's own facts
        changed = [c for c, (old, new) in enumerate(zip(self._facts, facts)) if old is not new or _by_pod(new)]
        self._facts = facts
        self.job_of = np.append(self.job_of, np.full(len(columns) - known, -1, np.int64))
        moved = len(columns) > known
        for column in (*changed, *range(known, len(columns))):
            job = inventory.job_of(columns.subjects[column])
            index = -1 if job is None else self._index.setdefault(job, len(self.subjects))
            if job is not None and index == len(self.subjects):
                self.subjects.append(job)
            moved = moved or index != self.job_of[column]
            self.job_of[column] = index
        if moved:
            self._gather()

    def _gather(self) -> None:
        placed = np.flatnonzero(self.job_of >= 0)
        order = placed[np.argsort(self.job_of[placed], kind="stable")]
        bounds = np.searchsorted(self.job_of[order], np.arange(len(self.subjects) + 1))
        self.members = [order[begin:end] for begin, end in pairwise(bounds.tolist())]

    def find(self, job: Subject) -> int | None:
        """Index of a job that holds GPUs."""
        return self._index.get(job)


def _by_pod(facts: SubjectFacts | None) -> bool:
    return facts is not None and "job" not in facts.attributes and "pod" in facts.attributes


@dataclass(slots=True)
class View:
    """One frame in its surroundings. Detectors read it and speak into `out`."""

    frame: Frame
    at: Ints
    """Positions in the frame whose look says how the GPU works (`Habits.look`)."""
    now_ns: int
    columns: Columns
    habits: Habits
    jobs: Jobs
    rhythms: Rhythms
    inventory: Inventory
    book: Book
    out: Opinions

    def subject(self, position: int) -> Subject:
        """The subject at a position of the frame."""
        return self.columns.subjects[int(self.frame.cols[position])]

    def position(self, column: int) -> int:
        """Where a column stands in the frame; -1 where it has no look in it."""
        place = int(np.searchsorted(self.frame.cols, column))
        return place if place < len(self.frame.cols) and self.frame.cols[place] == column else -1

    def where(self, column: int) -> str:
        """How people call a GPU: "GPU 3 of node a (rank 3)"."""
        return where(self.inventory, self.columns.subjects[column])


def where(inventory: Inventory, subject: Subject) -> str:
    """How people call a subject: "GPU 3 of node a (rank 3)", "job x"."""
    names = inventory.names(subject)
    if "gpu" in names:
        rank = f" (rank {names['rank']})" if "rank" in names else ""
        return f"GPU {names['gpu']} of {names.get('node', 'an unknown node')}{rank}"
    return f"{subject.kind.value} {inventory.name_of(subject)}"


def told_number(inventory: Inventory, subject: Subject, key: str) -> float | None:
    """An attribute of a subject as a number; None where nobody has told, or told what is none."""
    told = inventory.attribute(subject, key)
    try:
        number = float(told) if told else nan
    except ValueError:
        return None
    return number if isfinite(number) else None


class LookDetector:
    """Looks at the newest readings of all subjects at once. Subclasses say what they need and look."""

    kinds: tuple[FindingKind, ...] = ()
    needs: Needs = Needs()

    def look(self, view: View) -> None:
        """One frame; frames come in order of time."""
        raise TypeError(f"{type(self).__name__} does not say how it looks")

    def adopt(self, column: int, finding: Finding) -> None:
        """A finding of one of its kinds is open since before a restart: from now on this detector says when it clears.

        Nothing here: right for kinds that never clear by themselves.
        """

    def ready(self, column: int, habits: Habits) -> bool:
        """Whether it has seen enough of this GPU to say anything about it; until then it is not ready, not healthy."""
        seen = column < len(habits.last_ns) and bool(habits.last_ns[column] > 0)
        return seen and (self.needs.history_seconds == 0 or bool(habits.armed[column]))
