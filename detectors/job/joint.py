"""Judges the situation of the jobs that a frame touches, and hands it to the detectors that stand for situations."""

from dataclasses import dataclass, field

import numpy as np

from collectors.model import Subject, SubjectKind
from detectors.frame import Bools, Ints
from detectors.gpu.habits import WORK
from detectors.job.rhythm import Rhythm
from detectors.job.situation import Judge
from detectors.job.situation_detector import SituationDetector
from detectors.model import Finding
from detectors.view import View

CLOCK_ODD = 0.06
"""A rank this far from its habitual clock makes its job worth a judgement (healthy ones drift to 0.053). Above it, too:
beside a compute straggler the others rest, and their clocks rise by more than the guilty one's falls."""


@dataclass(slots=True)
class JointDetectors:
    """Looks at every job in which some rank is not simply working; a fleet at work costs one array operation."""

    detectors: tuple[SituationDetector, ...]
    _judges: dict[int, Judge] = field(default_factory=dict)
    _restless: set[int] = field(default_factory=set)
    """Jobs to judge again although all their ranks work: something is open, or their pace is to be watched."""
    _adopted: list[tuple[Subject, Finding]] = field(default_factory=list)
    """What was open before a restart, by job, until a GPU of the job is heard."""

    def adopt(self, finding: Finding) -> None:
        """A finding is open since before a restart: the detector of its kind says when it clears."""
        if not any(finding.kind in detector.kinds for detector in self.detectors):
            return
        about = (finding.subject, *finding.related)
        for job in [subject for subject in about if subject.kind is SubjectKind.JOB][:1]:
            self._adopted.append((job, finding))

    def look(self, view: View) -> None:
        """One frame."""
        cols = view.frame.cols[view.at]
        job = view.jobs.job_of[cols]
        inside = job >= 0
        if not inside.any():
            return
        odd = self._odd(view, cols) & inside
        touched = _each(job[inside])
        if self._adopted:
            self._take_over(view)
        judged = (_each(job[odd]) | self._restless) & touched
        judged |= {i for i in touched if self._paced(view, i)} if len(view.rhythms.jobs) else set()
        for index in sorted(judged):
            self._judge(view, index)

    def _take_over(self, view: View) -> None:
        waiting, self._adopted = self._adopted, []
        for job, finding in waiting:
            index = view.jobs.find(job)
            if index is None:
                self._adopted.append((job, finding))
                continue
            for detector in self.detectors:
                if finding.kind in detector.kinds:
                    detector.adopt(index, finding.subject)
                    self._restless.add(index)

    def _judge(self, view: View, index: int) -> None:
        members = view.jobs.members[index]
        judge = self._judges.setdefault(index, Judge())
        rhythm = view.rhythms.jobs.get(view.jobs.subjects[index])
        time_ns = int(view.habits.last_ns[members].max())
        # a rank not heard for longer than the allowed lateness is unknown, not what it was
        heard = members[time_ns - view.habits.last_ns[members] <= 10_000_000_000]
        silent = np.setdiff1d(members, heard)
        unread = len(silent) > 0 and self._unread(view, silent, heard, rhythm)
        armed = silent[view.habits.armed[silent]]
        look = judge.look(heard, view.habits, rhythm, time_ns, silent=armed, unread=unread)
        for detector in self.detectors:
            detector.judge(view, index, look)
        open_somewhere = any(index in detector.open_jobs() for detector in self.detectors)
        if open_somewhere or judge.late_since_ns or judge.fresh_after_ns > time_ns - 15_000_000_000:
            self._restless.add(index)
        else:
            self._restless.discard(index)

    @staticmethod
    def _unread(view: View, silent: Ints, heard: Ints, rhythm: Rhythm | None) -> bool:
        """Whether the node that reads the job's log is silent, not a card of it alone: it may have announced a save."""
        if rhythm is None or rhythm.read_on is None:
            return False

        def reads(columns: Ints) -> bool:
            node_of, subjects = view.inventory.node_of, view.columns.subjects
            return any(node_of(subjects[int(column)]) == rhythm.read_on for column in columns)

        return reads(silent) and not reads(heard)

    @staticmethod
    def _odd(view: View, cols: Ints) -> Bools:
        habits = view.habits
        with np.errstate(invalid="ignore"):
            off = np.abs(habits.window_clock[cols] - 1) > CLOCK_ODD
        odd: Bools = habits.armed[cols] & ((habits.category[cols] != WORK) | off)
        return odd

    @staticmethod
    def _paced(view: View, index: int) -> bool:
        """Whether the job's log shows a pace worth a judgement while its GPUs seem to work."""
        rhythm = view.rhythms.jobs.get(view.jobs.subjects[index])
        return rhythm is not None and rhythm.slowed_since_ns(view.now_ns) > 0


def _each(indices: Ints) -> set[int]:
    """The different ones; counting beats sorting where there are few jobs and many GPUs."""
    return set(np.flatnonzero(np.bincount(indices)).tolist())
