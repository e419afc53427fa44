"""From a job's situation to findings: opening after k judgements, clearing after m others, one shared way."""

from dataclasses import dataclass

import numpy as np

from collectors.model import Subject
from detectors.contract import Needs, Opening
from detectors.job.situation import JobLook, Situation
from detectors.model import Evidence, FindingKind, Severity
from detectors.persistence import Persistence
from detectors.view import View

MOST_NAMED = 4
"""More guilty ranks than this are named together, as the job's finding."""
GPU_METRICS = (
    "gpu_utilization_ratio",
    "gpu_power_watts",
    "gpu_energy_joules_total",
    "gpu_sm_clock_hertz",
    "gpu_memory_used_bytes",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A job in a situation, with all that a summary needs."""

    view: View
    job: Subject
    look: JobLook

    def mean(self, values: "np.ndarray", guilty: bool | None = None) -> float:
        """Mean over the ranks: all, the guilty (True), or the others (False); NaN where there is none."""
        if guilty is not None:
            inside = np.isin(self.look.cols, self.look.guilty)
            values = values[inside if guilty else ~inside]
        return float(values.mean()) if len(values) else float("nan")

    def who(self) -> str:
        """The guilty in words: "GPU 3 of node a (rank 3)", or the job."""
        names = [self.view.where(int(c)) for c in self.look.guilty[:MOST_NAMED]]
        more = len(self.look.guilty) - len(names)
        return ", ".join(names) + (f" and {more} more" if more > 0 else "") if names else self.job_name()

    def job_name(self) -> str:
        """The job by name."""
        return f"job {self.view.inventory.name_of(self.job)}"

    def ranks(self, guilty: bool) -> int:
        """How many ranks are guilty, or wait for them."""
        return len(self.look.guilty) if guilty else int((~np.isin(self.look.cols, self.look.guilty)).sum())

    @property
    def unseen(self) -> bool:
        """Whether the guilty ones give no reading at all."""
        return bool(len(self.look.guilty)) and not np.isin(self.look.guilty, self.look.cols).any()

    def gpu_evidence(self) -> tuple[Evidence, ...]:
        """What the GPUs show: power and utilisation of the guilty and of the others."""
        look, said = self.look, []
        for guilty, whose in ((True, self.who()), (False, "the other ranks" if len(look.guilty) else "its GPUs")):
            if guilty and self.unseen:
                silent = max((look.time_ns - int(self.view.habits.last_ns[look.guilty].max())) / 1e9, 0.0)
                text = f"{whose}: no reading for {silent:.0f} s"
                said.append(Evidence(text, look.time_ns, "gpu_power_watts", source="collector"))
            elif self.ranks(guilty):
                watts, busy = self.mean(look.watts, guilty), self.mean(look.utilisation, guilty)
                load = self.mean(look.load, guilty)
                text = f"{whose}: {watts:.0f} W at {busy:.0%} utilisation, {max(load, 0):.0%} of the habitual load"
                said.append(Evidence(text, look.time_ns, "gpu_power_watts", watts, None, "watts", source="nvml"))
        return tuple(said)

    def log_evidence(self) -> tuple[Evidence, ...]:
        """What the log's clock says."""
        rhythm = self.view.rhythms.jobs.get(self.job)
        if rhythm is None or not rhythm.last_step_ns:
            return ()
        silent = max((self.look.time_ns - rhythm.last_step_ns) / 1e9, 0.0)
        usual = self.look.usual_gap_s
        held = f"; usually one every {usual:.2f} s" if usual is not None else ""
        longest = self.look.gap_s
        if longest is not None and longest > silent:
            text = f"the longest time between two step lines was {longest:.1f} s{held}"
            return (
                Evidence(text, self.look.time_ns, "training_step", longest, usual, "seconds", source="training_log"),
            )
        step = f" after step {rhythm.last_step:.0f}" if rhythm.last_step is not None else ""
        text = f"no step line for {silent:.1f} s{step}{held}"
        return (Evidence(text, self.look.time_ns, "training_step", silent, usual, "seconds", source="training_log"),)


class SituationDetector:
    """One kind of finding that stands for one or more situations of a job. Subclasses say which, and in what words."""

    kinds: tuple[FindingKind, ...]
    needs = Needs(metrics=GPU_METRICS, history_seconds=10.0)
    situations: frozenset[Situation]
    looks_to_open = 1
    looks_to_clear = 3
    unknown_clears = False
    """Whether an undecided look counts as a clean one: pauses end at once, slowness needs proof of health.

    A look that is not ready never counts: what nobody has seen is not over.
    """
    severity = Severity.WARNING
    confidence = 0.9

    def __init__(self) -> None:
        self._hold = Persistence(self.looks_to_open, self.looks_to_open, self.looks_to_clear)
        self._about: dict[int, tuple[Subject, ...]] = {}

    def judge(self, view: View, index: int, look: JobLook) -> None:
        """Take in a job's situation; `index` is the job's in `View.jobs`."""
        at = np.array([index], np.int64)
        bad = np.array([look.situation in self.situations])
        unsure = {Situation.NOT_READY} if self.unknown_clears else {Situation.NOT_READY, Situation.UNKNOWN}
        known = np.array([look.situation not in unsure])
        opens, clears = self._hold.look(at, bad, known, np.array([look.time_ns], np.int64))
        if len(opens):
            self._open(view, index, look)
        if len(clears):
            for subject in self._about.pop(index, ()):
                view.out.clears(self.kinds[0], subject, self.why_cleared(look))

    def adopt(self, index: int, subject: Subject) -> None:
        """A finding of its kind is open about this job, or about a rank of it, since before a restart."""
        self._hold.adopt(np.array([index], np.int64))
        self._about[index] = (*(s for s in self._about.get(index, ()) if s != subject), subject)

    def open_jobs(self) -> list[int]:
        """Indices of the jobs about which it has something open."""
        return list(self._about)

    def summary(self, case: Case) -> str:
        """One sentence: what, where, the figure that matters most."""
        raise TypeError(f"{type(self).__name__} has no words")

    def evidence(self, case: Case) -> tuple[Evidence, ...]:
        """What it rests on."""
        return (*case.gpu_evidence(), *case.log_evidence())

    def why_cleared(self, look: JobLook) -> str:
        """Why it no longer holds."""
        if look.situation is Situation.ENDED:
            return "the job has ended"
        if look.situation is Situation.EXCUSED:
            return "the log announces a save, an evaluation or a restart"
        return f"the job is {look.situation.value} again" if look.situation is Situation.WORKING else "it has passed"

    def _open(self, view: View, index: int, look: JobLook) -> None:
        job = view.jobs.subjects[index]
        case = Case(view, job, look)
        guilty = [view.columns.subjects[int(c)] for c in look.guilty]
        subjects = tuple(guilty) if 0 < len(guilty) <= MOST_NAMED else (job,)
        self._about[index] = subjects
        summary, evidence = self.summary(case), self.evidence(case)
        for subject in subjects:
            related = tuple(s for s in (job, *guilty) if s != subject)
            view.out.opens(
                Opening(
                    self.kinds[0],
                    subject,
                    look.since_ns,
                    self.severity,
                    self.confidence,
                    summary,
                    evidence,
                    related,
                )
            )
