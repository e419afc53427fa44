"""The detector of the loss: one state a job, one pass a line, the gravest rule first."""

from collections.abc import Iterable, Iterator

from collectors.model import Event, EventKind, Subject
from detectors.contract import Clearing, Needs, Opinion
from detectors.loss.grad_norm_spike import GradNormSpike
from detectors.loss.habit import LEAST_LINES, Habit
from detectors.loss.line import Line, read_line
from detectors.loss.loss_divergence import LossDivergence
from detectors.loss.loss_nan import LossNan
from detectors.loss.loss_spike import LossSpike
from detectors.loss.order import Place, StepOrder
from detectors.loss.restored import Restored
from detectors.model import Finding, FindingKind, Inventory

FORGET_QUIET_NS = 24 * 3600 * 1_000_000_000
"""A job with nothing open that has not logged a step for a day is forgotten."""
FORGET_OPEN_NS = 7 * FORGET_QUIET_NS
"""One with something open is kept a week: silence resolves nothing, but state must end."""
SWEEP_NS = 600 * 1_000_000_000
"""How often the silent are looked for."""
MOST_JOBS = 50_000
"""Jobs followed at once, about 8 KB each; beyond it the tenth that has been silent for longest is forgotten."""

_RESTART = {
    EventKind.TRAINING_START: "the job was started anew",
    EventKind.CHECKPOINT_RESTORE: "the job was restored from a checkpoint",
    EventKind.TRAINING_END: "the job's training has ended",
}


class _Job:
    """What is known of one job's loss."""

    __slots__ = ("divergence", "grad_spike", "habit", "heard_ns", "nan", "order", "rules", "spike")

    def __init__(self) -> None:
        self.habit = Habit()
        self.order = StepOrder()
        self.nan = LossNan()
        self.divergence = LossDivergence()
        self.spike = LossSpike()
        self.grad_spike = GradNormSpike()
        self.rules = (self.nan, self.divergence, self.spike, self.grad_spike)
        """The gravest first."""
        self.heard_ns = 0

    @property
    def has_open(self) -> bool:
        """Whether any rule holds."""
        return any(rule.open for rule in self.rules)

    def clear(self, subject: Subject, because: str) -> Iterator[Clearing]:
        """Begin anew; what was open clears."""
        for rule in self.rules:
            if rule.open:
                yield Clearing(rule.kind, subject, because)
            rule.forget()
        self.habit.forget()


class LossDetector:
    """`loss_nan`, `loss_divergence`, `loss_spike` and `grad_norm_spike` of every job, from its training log.

    Subject of the findings: the subject of the events, which is the job. Each rule's own file says what opens it and
    where it fails. While `loss_nan` is open the others say nothing; while `loss_divergence` is, the spikes say nothing,
    and one that was open clears into it. A restore, a start, an end, or a step number that goes back clears all and
    empties the windows. About 20 us a line; state is bounded per job and in jobs.
    """

    kinds: tuple[FindingKind, ...] = (
        FindingKind.LOSS_NAN,
        FindingKind.LOSS_DIVERGENCE,
        FindingKind.LOSS_SPIKE,
        FindingKind.GRAD_NORM_SPIKE,
    )
    needs = Needs(
        events=(
            EventKind.TRAINING_STEP,
            EventKind.TRAINING_START,
            EventKind.TRAINING_END,
            EventKind.CHECKPOINT_RESTORE,
        ),
        history_steps=LEAST_LINES,
    )

    def __init__(self, most_jobs: int = MOST_JOBS) -> None:
        self._most_jobs = most_jobs
        self._jobs: dict[Subject, _Job] = {}
        self._swept_ns = 0
        self._restored = Restored()

    def __len__(self) -> int:
        return len(self._jobs)

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event of a job, in the order received; all other events are passed over."""
        if event.kind is EventKind.TRAINING_STEP:
            said: list[Opinion] = []
            job = self._jobs.get(event.subject)
            if job is None:
                if len(self._jobs) >= self._most_jobs:
                    self._make_room(said)
                job = self._jobs[event.subject] = _Job()
            job.heard_ns = now_ns
            self._step(job, read_line(event), inventory, said)
            return said
        because = _RESTART.get(event.kind)
        known = self._jobs.get(event.subject)
        if because is None:
            return ()
        if known is None:
            return list(self._restored.begin_anew(event.subject, because))
        known.order.forget()
        return [*known.clear(event.subject, because), *self._restored.begin_anew(event.subject, because)]

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Forget jobs that have long been silent."""
        if now_ns - self._swept_ns < SWEEP_NS:
            return ()
        self._swept_ns = now_ns
        said: list[Opinion] = []
        for subject, job in list(self._jobs.items()):
            silent_ns = now_ns - job.heard_ns
            if silent_ns > (FORGET_OPEN_NS if job.has_open else FORGET_QUIET_NS):
                self._forget(subject, "the job has logged no step for a week", said)
        return said

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart of the agent: held against the figure that it was held against when it opened."""
        self._restored.add(finding)

    def ready(self, subject: Subject) -> bool:
        """Whether the job has logged enough lines since its start for its loss to have a habit."""
        job = self._jobs.get(subject)
        return job is not None and job.habit.ready

    def _forget(self, subject: Subject, because: str, said: list[Opinion]) -> None:
        said.extend(self._jobs.pop(subject).clear(subject, because))

    def _make_room(self, said: list[Opinion]) -> None:
        # healthy jobs first, the longest silent first; a tenth at once, so that the sort is paid for rarely
        order = sorted(self._jobs, key=lambda subject: (self._jobs[subject].has_open, self._jobs[subject].heard_ns))
        for subject in order[: max(1, self._most_jobs // 10)]:
            self._forget(subject, f"more than {self._most_jobs} jobs are being followed", said)

    def _step(self, job: _Job, line: Line, inventory: Inventory, said: list[Opinion]) -> None:
        subject = line.event.subject
        place = job.order.place(line)
        if place is Place.REPEAT:
            return
        if place is Place.RESTARTED:
            because = f"the job went back to {line.where}: it was restarted"
            said.extend(job.clear(subject, because))
            said.extend(self._restored.begin_anew(subject, because))
        said.extend(self._restored.look(line))
        habit = job.habit
        habit.lines += 1
        standing = habit.standing(line)
        for rule in job.rules:
            # a divergence that became NaN still holds: it is not silenced, and clears when the job comes back
            spike = rule is job.spike or rule is job.grad_spike
            if spike and (job.nan.open or job.divergence.loss_has_left):
                if rule.open:
                    said.append(Clearing(rule.kind, subject, f"it is part of a graver condition since {line.where}"))
                    rule.forget()
                continue
            if rule is job.divergence and job.nan.open and not rule.open:
                continue
            word = rule.look(line, standing, habit, inventory)
            if word is None:
                continue
            said.append(Clearing(rule.kind, subject, word) if isinstance(word, str) else word)
        if job.spike.settled:
            habit.forget_loss()
        if job.grad_spike.settled:
            habit.grad_norm.empty()
        sound = not (job.nan.open or job.nan.suspects or job.divergence.suspects)
        habit.learn(
            line,
            loss=sound and not job.spike.suspects,
            grad_norm=sound and not job.grad_spike.suspects,
        )
