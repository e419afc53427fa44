"""The rhythm of a job by its own log: steps, the gaps between their lines, and what was announced.

The clock between lines is trusted, never the throughput that the job prints (with slow dataloaders it stays normal
while the gaps grow ten-fold). Telemetry leads the detectors; the rhythm vetoes, refines and names.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from collectors.model import Event, EventKind, Subject
from detectors.frame import NS

GAPS_KEPT = 128
AT_ONCE_S = 0.01
"""Lines closer than this were written at once (a buffered log): they are one gap."""
LEARN_GAPS = 8
"""Lines before the usual gap counts; the first ones carry compilation."""
SAVE_LIMIT_S = 600.0
"""An announced save, restore or start that takes longer is no longer an excuse (NVRx waits as long by default)."""
EVALUATION_LIMIT_S = 1800.0
LEARNT_LIMIT = 3.0
"""Once a job has shown how long its saves take, three times the longest is the limit."""
STEPS_OFF_CADENCE = 3.0
SLOWED = 1.5
SLOWED_GAPS, SLOWED_S = 6, 15.0
"""Every one of this many gaps, over this long: one pause inside a window makes a rate look bad."""

_ANNOUNCES = {
    EventKind.CHECKPOINT_START: SAVE_LIMIT_S,
    EventKind.CHECKPOINT_RESTORE: SAVE_LIMIT_S,
    EventKind.TRAINING_START: EVALUATION_LIMIT_S,
    EventKind.EVALUATION_START: EVALUATION_LIMIT_S,
}
_ENDS = {EventKind.CHECKPOINT_END: EventKind.CHECKPOINT_START, EventKind.EVALUATION_END: EventKind.EVALUATION_START}


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two step lines, and what the later one says of it."""

    end_ns: int
    seconds: float
    steps: int
    data_wait_s: float | None
    """The longest wait that its lines state."""
    step_time_s: float | None
    waited_s: float | None = None
    """The waits that its lines state, each weighted by the steps that its line stands for."""


@dataclass(slots=True)
class Announcement:
    """What the log said the job is doing instead of steps."""

    kind: EventKind
    start_ns: int
    limit_s: float


@dataclass(slots=True)
class Rhythm:
    """One job."""

    job: Subject
    read_on: Subject | None = None
    """The node whose collector reads its log: what that one does not hear, nobody does."""
    last_step: float | None = None
    last_step_ns: int = 0
    first_step_ns: int = 0
    announced: Announcement | None = None
    announced_end_ns: int = 0
    """When the last announcement was over: what came before it is excused."""
    longest_save_s: float = 0.0
    ended_ns: int = 0
    crashed_ns: int = 0
    """When the log said that the job died; 0 once it steps again."""
    logs_slow_steps: bool = False
    """It prints a line for a slow step off its cadence: then no unlogged step hides a wait."""
    gaps: deque[Gap] = field(default_factory=lambda: deque(maxlen=GAPS_KEPT))
    _usual: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))
    _usual_gap_s: float | None = None
    _usual_steps: int = 1

    @property
    def usual_gap_s(self) -> float | None:
        """Median seconds between two step lines when nothing was wrong; None before it is known."""
        return self._usual_gap_s

    @property
    def usual_steps(self) -> int:
        """Steps between two lines when nothing was wrong."""
        return self._usual_steps

    def excuse(self, now_ns: int) -> str:
        """What the log announced that explains why no step is made; empty where nothing does."""
        if self.announced is None:
            return ""
        if now_ns - self.announced.start_ns > self.announced.limit_s * NS:
            return ""
        return self.announced.kind.value

    def steps_since(self, since_ns: int) -> int:
        """Step lines after an instant."""
        if self.last_step_ns <= since_ns:
            return 0
        return sum(1 for gap in self.gaps if gap.end_ns > since_ns) or 1

    def gaps_since(self, since_ns: int) -> list[Gap]:
        """Gaps that ended after an instant, oldest first."""
        return [gap for gap in self.gaps if gap.end_ns > since_ns]

    def data_share(self, since_ns: int) -> float | None:
        """Share of the time since then that the steps waited for data, by the log's own word; None: it says nothing.

        A line speaks for its own step only, so it is weighted by the steps that it stands for.
        """
        told = [g for g in self.gaps_since(since_ns) if g.waited_s is not None]
        total = sum(g.seconds for g in told)
        if not told or total <= 0:
            return None
        return min(1.0, sum(g.waited_s or 0.0 for g in told) / total)

    def slowed_since_ns(self, now_ns: int) -> int:
        """Since when every step has taken 1.5 times its habit or more; 0: it has not."""
        if self._usual_gap_s is None:
            return 0
        usual = self._usual_gap_s / max(self._usual_steps, 1)
        since_ns, count = 0, 0
        for gap in reversed(self.gaps):
            if gap.seconds / gap.steps < SLOWED * usual:
                break
            since_ns, count = gap.end_ns - int(gap.seconds * NS), count + 1
        return since_ns if count >= SLOWED_GAPS and now_ns - since_ns >= SLOWED_S * NS else 0

    def on_event(self, event: Event, *, quiet: bool) -> None:
        """Take in one event of this job. `quiet`: nothing is open about it, so its gaps may become the habit."""
        if event.kind is EventKind.TRAINING_STEP:
            self._step(event, quiet=quiet)
        elif event.kind in _ANNOUNCES:
            self._announce(event)
        elif event.kind in _ENDS and self.announced and self.announced.kind is _ENDS[event.kind]:
            self._over(event.time_ns)
        elif event.kind is EventKind.TRAINING_END:
            self.ended_ns = event.time_ns

    def _announce(self, event: Event) -> None:
        limit = _ANNOUNCES[event.kind]
        if event.kind is EventKind.CHECKPOINT_START and self.longest_save_s:
            limit = max(LEARNT_LIMIT * self.longest_save_s, 60.0)
        self.announced = Announcement(event.kind, event.time_ns, limit)
        if event.kind in (EventKind.TRAINING_START, EventKind.CHECKPOINT_RESTORE):
            self.ended_ns = 0

    def _over(self, now_ns: int) -> None:
        if self.announced is None:
            return
        if self.announced.kind is EventKind.CHECKPOINT_START:
            self.longest_save_s = max(self.longest_save_s, (now_ns - self.announced.start_ns) / NS)
        self.announced = None
        self.announced_end_ns = now_ns

    def _step(self, event: Event, *, quiet: bool) -> None:
        step, now_ns = event.values.get("step"), event.time_ns
        if self.last_step_ns and now_ns < self.last_step_ns:
            return
        if step is not None and step == self.last_step:
            return  # several ranks print the same step
        announced = self.announced is not None or self.announced_end_ns > self.last_step_ns
        if self.announced is not None:
            self._over(now_ns)
        if self.last_step_ns:
            steps = 1
            if step is not None and self.last_step is not None:
                steps = int(step - self.last_step)
            if steps > 0 and not announced:
                self._take(event, steps, quiet=quiet)
        else:
            self.first_step_ns = now_ns
        self.last_step, self.last_step_ns = step, now_ns
        self.ended_ns = self.crashed_ns = 0

    def _take(self, event: Event, steps: int, *, quiet: bool) -> None:
        now_ns, wait = event.time_ns, event.values.get("data_wait_seconds")
        seconds, step_time = (now_ns - self.last_step_ns) / NS, event.values.get("step_time_seconds")
        waited = None if wait is None else wait * steps
        if seconds < AT_ONCE_S and self.gaps:
            last = self.gaps[-1]
            self.gaps[-1] = Gap(
                last.end_ns,
                last.seconds,
                last.steps + steps,
                _greatest(last.data_wait_s, wait),
                _greatest(last.step_time_s, step_time),
                waited if last.waited_s is None else last.waited_s + (waited or 0.0),
            )
            return
        if self.gaps:
            self._learn(self.gaps[-1], quiet=quiet)
        self.gaps.append(Gap(now_ns, seconds, steps, wait, step_time, waited))

    def _learn(self, gap: Gap, *, quiet: bool) -> None:
        usual = self._usual_gap_s
        if usual is not None and gap.steps < self._usual_steps and gap.seconds > STEPS_OFF_CADENCE * usual:
            self.logs_slow_steps = True
        # what is far slower than the habit is not the habit, whether anybody has said so yet or not
        if not quiet or (usual is not None and gap.seconds > STEPS_OFF_CADENCE * usual):
            return
        self._usual.append((gap.seconds, gap.steps))
        if len(self._usual) >= LEARN_GAPS and (usual is None or len(self._usual) % LEARN_GAPS == 0):
            self._usual_gap_s = median(seconds for seconds, _ in self._usual)
            self._usual_steps = round(median(steps for _, steps in self._usual))


def _greatest(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None


@dataclass(slots=True)
class Rhythms:
    """The rhythms of all jobs, by subject."""

    jobs: dict[Subject, Rhythm] = field(default_factory=dict)

    def of(self, job: Subject) -> Rhythm:
        """The rhythm of a job, a new one at first sight."""
        rhythm = self.jobs.get(job)
        if rhythm is None:
            rhythm = self.jobs[job] = Rhythm(job)
        return rhythm

    def known(self, jobs: Iterable[Subject]) -> list[Rhythm]:
        """Those of the jobs that have a log."""
        return [self.jobs[job] for job in jobs if job in self.jobs]
