"""In which one situation a job is, judged from all its ranks' GPUs together and the rhythm of its log.

One rank alone cannot say: a rank that waits in a collective spins at 100 % utilisation with little power, so in a
hang the innocent look busy and the guilty one idle; beside a compute straggler it is the other way round. A job is in
one situation at a time, so that two detectors never give two names to one cause. Sources of the thresholds: the
study on the recordings (facts) and `detectors.gpu.habits`.
"""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from collectors.model import EventKind
from detectors.frame import NS, Bools, Floats, Ints
from detectors.gpu.habits import GONE, LOW, NEWEST_S, SPIN, STILL, UNKNOWN, WORK, Habits
from detectors.job.pauses import WAITS_SHARE, Pauses
from detectors.job.rhythm import Rhythm

CRASH_SPIN_S = 3.0
"""A rank is gone this long while the others spin for it: ranks that end together leave within a second or two."""
CRASH_STILL_S = 15.0
"""The same while the others are still: they may be writing a last checkpoint that nobody announced."""
CLOCK_GAP = 0.08
"""A guilty rank's clock lies this share of its habit below its peers' (healthy ranks drift to 0.053; faults 0.16)."""
POWER_GAP = 0.04
"""And its power this share above (healthy noise 0.002 to 0.015; faults 0.11 to 0.40)."""
FULL_SPEED_L = 0.8
"""A look at or above this is a second of full speed: no slow kind holds across one."""
BUSY_U = 0.9
PROGRESS_MARGIN_NS = NS // 2
UNIFORM_GAPS = 3
LONG_GAP, SHORT_GAP, SHORT_SHARE = 5.0, 2.0, 0.25
"""Bursts: W prefetching workers deliver W batches, then a wait. A slow host delays every step alike."""
HEARD_S = 5.5
"""One interval of calm batches, and what they take to come: a rank that is not heard for longer may be the one that the
others wait for."""
INTERLUDES = frozenset({EventKind.CHECKPOINT_START.value, EventKind.EVALUATION_START.value})
"""What a job announces and then goes on as before, its slow rank included; a start is another story."""
SEEN_SHARE = 0.9
"""Where so many ranks are seen to be still, and none to do anything else, the job stands still, whatever those do whose
collectors have just come back: while collectors are rolled over a job of 128 nodes, some always have."""
UNDECIDED_S = 8.0
"""How long a late rank may stay undecided between its loader and its host: two waits of a loader are seen by then."""


class Situation(Enum):
    """What all ranks together say."""

    NOT_READY = "not ready"
    """Not enough has been seen of its GPUs to say anything: no habit yet, or no window without a hole."""
    UNKNOWN = "unknown"
    """Seen, and undecided: something has just changed."""
    WORKING = "working"
    EXCUSED = "excused"
    """No steps, but the log has announced a save, an evaluation, a start."""
    STALLED = "stalled"
    """All ranks still, none waits in a collective, no step."""
    HUNG = "hung"
    """Some ranks wait in a collective for others that are still, no step."""
    LATE_RANK = "late rank"
    """The same, but steps are made: each comes late."""
    LATE_INPUT = "late input on one rank"
    """The same, in bursts: the late rank's loader delivers batches in groups."""
    SLOW_INPUT = "slow input"
    """All ranks rest between short bursts, none waits for another: a common cause outside the GPUs."""
    SLOW_ALONE = "slow"
    """One GPU rests between bursts and nothing tells whether its input or its host is slow."""
    SLOW_STEPS = "slow steps"
    """All GPUs work as ever, yet every step takes far longer than it used to."""
    COMPUTE_STRAGGLER = "compute straggler"
    """One rank works more, at a lower clock, while the others rest."""
    RANK_GONE = "rank gone"
    """A rank's process has left its GPU, the others wait for it."""
    CRASHED = "crashed"
    """The log said that the job died; nothing its GPUs do now is news."""
    ENDED = "ended"
    """All ranks have left."""


@dataclass(frozen=True, slots=True)
class JobLook:
    """A job's situation at one instant, with the figures it was judged by."""

    situation: Situation
    time_ns: int
    since_ns: int
    cols: Ints
    """Columns of the ranks judged."""
    guilty: Ints
    """Columns of those that make the others wait; empty where the cause is common."""
    load: Floats
    """Mean load share over the window, per rank of `cols`."""
    utilisation: Floats
    watts: Floats
    clock: Floats
    power: Floats
    data_share: float | None = None
    usual_gap_s: float | None = None
    gap_s: float | None = None


@dataclass(slots=True)
class Judge:
    """Judges one job; keeps only when its last pause ended, so that what a pause left behind is not called slow."""

    fresh_after_ns: int = 0
    late_since_ns: int = 0
    silent: bool = False
    """Whether some rank of the job is not among those that are judged: the others may wait for it."""
    unread: bool = False
    """Whether nobody reads the job's log now: a save may have been announced, and steps be made."""
    _last: Situation = field(default=Situation.UNKNOWN)
    _pauses: Pauses = field(default_factory=Pauses)

    def look(
        self,
        cols: Ints,
        habits: Habits,
        rhythm: Rhythm | None,
        time_ns: int,
        *,
        silent: Ints = np.zeros(0, np.int64),  # noqa: B008 - never written to
        unread: bool = False,
    ) -> JobLook:
        """`cols`: the job's GPUs that are heard; `silent`: those that had a habit and are heard no more; `time_ns`: the
        instant of the newest look. `unread`: the node whose collector reads the job's log is silent."""
        self.silent, self.unread = len(silent) > 0, unread
        ranks = cols[habits.armed[cols]]
        if not len(ranks) and len(cols) and habits.free(cols).all():
            # their habits are forgotten (the job has left, or the agent came later), and no process is on the cards
            situation, since_ns, guilty, share = Situation.ENDED, time_ns, ranks, None
        else:
            situation, since_ns, guilty, share = self._judge(ranks, habits, rhythm, time_ns)
            waits = situation is Situation.UNKNOWN and len(silent) > 0 and not unread
            if waits and self._all_wait(ranks, habits, rhythm):
                # everybody who can be seen waits: for whom, if not for those who cannot
                situation, since_ns, guilty = Situation.HUNG, int(habits.window_start_ns[ranks].min()), silent
            others = cols[~habits.armed[cols]]
            # a rank that waits looks steady too: those without a habit must be unused, and steps be made
            if situation is Situation.WORKING and len(others):
                proven = habits.free(others).all() and _progress(rhythm, since_ns)
                situation = situation if proven else Situation.NOT_READY
        pauses = (Situation.STALLED, Situation.HUNG)
        if self._last in pauses and situation not in (*pauses, Situation.NOT_READY):
            self.fresh_after_ns = time_ns
            situation = Situation.UNKNOWN
        if situation not in (Situation.LATE_RANK, Situation.LATE_INPUT, Situation.UNKNOWN, Situation.NOT_READY):
            self.late_since_ns = 0
        if situation is not Situation.NOT_READY:
            self._last = situation
        if situation in pauses:
            self._pauses.paused(guilty, since_ns)
            situation, since_ns, share = self._again(situation, since_ns, len(ranks), rhythm, time_ns)
        elif situation is Situation.EXCUSED and rhythm is not None and rhythm.excuse(time_ns) in INTERLUDES:
            self._pauses.parted(time_ns)
        elif situation in (Situation.EXCUSED, Situation.RANK_GONE, Situation.CRASHED, Situation.ENDED):
            self._pauses.forget()
        elif situation is not Situation.NOT_READY:
            self._pauses.goes_on(time_ns)
        gaps = rhythm.gaps_since(since_ns) if rhythm else []
        return JobLook(
            situation,
            time_ns,
            since_ns,
            ranks,
            guilty,
            habits.window_load_mean[ranks],
            habits.window_utilisation[ranks],
            habits.watts[ranks],
            habits.window_clock[ranks],
            habits.window_power[ranks],
            share,
            rhythm.usual_gap_s if rhythm else None,
            max((g.seconds for g in gaps), default=None),
        )

    def _again(
        self, situation: Situation, since_ns: int, ranks: int, rhythm: Rhythm | None, time_ns: int
    ) -> tuple[Situation, int, float | None]:
        """What a pause is called: by itself, or as one of a row."""
        row = self._pauses.again(rhythm, time_ns)
        if not row:
            return situation, since_ns, None
        first_ns = row[0].since_ns
        share = rhythm.data_share(first_ns) if rhythm else None
        if situation is Situation.HUNG:
            late = Situation.LATE_INPUT if self._pauses.in_bursts(rhythm, row) else Situation.LATE_RANK
            return late, first_ns, share
        if _waits_for_input(share, ranks, rhythm):
            return Situation.SLOW_INPUT, first_ns, share
        return situation, since_ns, None

    def _all_wait(self, ranks: Ints, habits: Habits, rhythm: Rhythm | None) -> bool:
        """Whether each of these spins, and no step was made for as long."""
        start_ns = int(habits.window_start_ns[ranks].min())
        excused = start_ns < self.fresh_after_ns or (rhythm is not None and start_ns < rhythm.announced_end_ns)
        return not excused and bool((habits.category[ranks] == SPIN).all()) and not _progress(rhythm, start_ns)

    def _judge(
        self, ranks: Ints, habits: Habits, rhythm: Rhythm | None, time_ns: int
    ) -> tuple[Situation, int, Ints, float | None]:
        nobody = np.zeros(0, np.int64)
        if not len(ranks):
            return Situation.NOT_READY, time_ns, nobody, None
        category = habits.category[ranks]
        gone = category == GONE
        if gone.all():
            return Situation.ENDED, int(habits.gone_since_ns[ranks].min()), nobody, None
        if rhythm and rhythm.crashed_ns:
            return Situation.CRASHED, rhythm.crashed_ns, nobody, None
        if gone.any():
            return self._gone(ranks, gone, category, habits, rhythm, time_ns)
        start_ns = int(habits.window_start_ns[ranks].min())
        if rhythm and rhythm.excuse(time_ns):
            return Situation.EXCUSED, start_ns, nobody, None
        whole = category != UNKNOWN
        if not whole.all():
            if whole.sum() < SEEN_SHARE * len(ranks) or not (category[whole] == STILL).all():
                return Situation.NOT_READY, start_ns, nobody, None
            ranks, category = ranks[whole], category[whole]
            start_ns = int(habits.window_start_ns[ranks].min())
        if start_ns < self.fresh_after_ns:
            return Situation.UNKNOWN, start_ns, nobody, None
        if rhythm and start_ns < rhythm.announced_end_ns:
            return Situation.UNKNOWN, start_ns, nobody, None
        return self._alive(ranks, category, habits, rhythm, start_ns, time_ns)

    def _gone(
        self, ranks: Ints, gone: Bools, category: Ints, habits: Habits, rhythm: Rhythm | None, time_ns: int
    ) -> tuple[Situation, int, Ints, float | None]:
        since_ns = int(habits.gone_since_ns[ranks[gone]].min())
        left = ranks[~gone]
        # the window still holds looks from before; what the survivors do now is in their newest one
        spins = ((habits.utilisation[left] >= BUSY_U) & (habits.load[left] < 0.4)).any()
        works = (habits.load[left] >= 0.5).any()
        ended = rhythm is not None and (rhythm.ended_ns > 0 or bool(rhythm.excuse(time_ns)))
        gone_s = (time_ns - since_ns) / NS
        if not works and not ended and (gone_s >= CRASH_STILL_S or (spins and gone_s >= CRASH_SPIN_S)):
            return Situation.RANK_GONE, since_ns, ranks[gone], None
        return Situation.UNKNOWN, since_ns, np.zeros(0, np.int64), None

    def _alive(
        self, ranks: Ints, category: Ints, habits: Habits, rhythm: Rhythm | None, start_ns: int, time_ns: int
    ) -> tuple[Situation, int, Ints, float | None]:
        nobody = np.zeros(0, np.int64)
        spin, still, low, work = (category == k for k in (SPIN, STILL, LOW, WORK))
        steps = _progress(rhythm, start_ns)
        # load in two looks, the newest ones among them: work that goes on, not the tail of what came before
        active = (habits.window_active[ranks] >= 2) & habits.window_stirs[ranks]
        slow = (habits.window_load_max[ranks] < FULL_SPEED_L).all()
        if self.unread and (still.any() or spin.any()):
            return Situation.UNKNOWN, start_ns, nobody, None
        if still.all() and not steps:
            return Situation.STALLED, start_ns, nobody, None
        if spin.any() and (still | low).any() and not work.any():
            late = still | low
            if not steps and not active[late].any():
                if still[late].all():
                    return Situation.HUNG, start_ns, ranks[still], None
                return Situation.UNKNOWN, start_ns, nobody, None
            # a step of a second between waits of five shows as full speed; then the log must say that all are slow
            slowed_ns = 0 if slow or rhythm is None else rhythm.slowed_since_ns(time_ns)
            if slow or slowed_ns:
                self.late_since_ns = self.late_since_ns or slowed_ns or start_ns
                return self._late(ranks[late], rhythm, start_ns, time_ns)
        if not spin.any() and not work.any() and slow and (steps or active.all()):
            share = rhythm.data_share(start_ns) if rhythm else None
            slow_input = _waits_for_input(share, len(ranks), rhythm)
            return (Situation.SLOW_INPUT if slow_input else Situation.SLOW_ALONE), start_ns, nobody, share
        guilty = _compute_straggler(ranks, habits, spin, work, time_ns)
        if len(guilty) and not self.silent:
            # the mean over the window crosses its threshold about half a window after the onset
            return Situation.COMPUTE_STRAGGLER, (start_ns + time_ns) // 2, guilty, None
        if work.all():
            slowed_ns = rhythm.slowed_since_ns(time_ns) if rhythm else 0
            if slowed_ns:
                return Situation.SLOW_STEPS, slowed_ns, nobody, None
            return Situation.WORKING, start_ns, nobody, None
        return Situation.UNKNOWN, start_ns, nobody, None

    def _late(
        self, guilty: Ints, rhythm: Rhythm | None, start_ns: int, time_ns: int
    ) -> tuple[Situation, int, Ints, float | None]:
        since_ns = self.late_since_ns
        usual = rhythm.usual_gap_s if rhythm else None
        if rhythm is None or usual is None:
            return Situation.LATE_RANK, since_ns, guilty, None
        gaps = rhythm.gaps_since(since_ns)
        long = sum(g.seconds > LONG_GAP * usual for g in gaps)
        short = sum(g.seconds < SHORT_GAP * usual for g in gaps)
        if long >= 2 and short >= SHORT_SHARE * len(gaps):
            return Situation.LATE_INPUT, since_ns, guilty, rhythm.data_share(since_ns)
        undecided = len(gaps) < UNIFORM_GAPS or long < 2
        if undecided and time_ns - since_ns < UNDECIDED_S * NS:
            return Situation.UNKNOWN, since_ns, guilty, None
        return Situation.LATE_RANK, since_ns, guilty, None


def _progress(rhythm: Rhythm | None, start_ns: int) -> bool:
    """Whether a step line came in the window."""
    return rhythm is not None and rhythm.last_step_ns > start_ns + PROGRESS_MARGIN_NS


def _waits_for_input(share: float | None, ranks: int, rhythm: Rhythm | None) -> bool:
    """By the log's word on the wait for data; where it has none: several ranks that rest together without waiting for
    one another have a common cause.

    A line that stands for many steps tells the wait of its own step: it may accuse the input, never acquit it.
    """
    if share is not None and (share >= WAITS_SHARE or (rhythm is not None and rhythm.usual_steps == 1)):
        return share >= WAITS_SHARE
    return ranks > 1


def _compute_straggler(ranks: Ints, habits: Habits, spin: Bools, work: Bools, time_ns: int) -> Ints:
    """Columns of the ranks that work more at a lower clock while their peers rest.

    A card that has fallen silent was at work when it was last seen, while the others come to wait for it: who is to be
    blamed for working must be seen to work now, and all others must be heard.
    """
    if len(ranks) < 2 or not (habits.window_utilisation[ranks] >= BUSY_U).all():
        return ranks[:0]
    if spin.any() and work.any() and 2 * work.sum() <= len(ranks):
        unseen_s = (time_ns - habits.last_ns[ranks]) / NS
        seen = (unseen_s <= HEARD_S).all() and (unseen_s[work] <= NEWEST_S).all()
        return ranks[work] if seen else ranks[:0]
    if spin.any():
        return ranks[:0]
    clock, power = habits.window_clock[ranks], habits.window_power[ranks]
    guilty = (_median_of_others(clock) - clock >= CLOCK_GAP) & (power - _median_of_others(power) >= POWER_GAP)
    return ranks[guilty] if 2 * guilty.sum() <= len(ranks) else ranks[:0]


def _median_of_others(values: Floats) -> Floats:
    """For each place the median of all other places, shape kept."""
    n = len(values)
    order = np.argsort(values, kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    ordered = values[order]
    rest = n - 1
    low, high = (rest - 1) // 2, rest // 2
    at_low = ordered[low + (place <= low)]
    at_high = ordered[high + (place <= high)]
    median: Floats = ((at_low + at_high) / 2).astype(np.float32)
    return median
