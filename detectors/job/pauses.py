"""Pauses of a job that come again and again: one slow rank or one slow input, not a new hang each time.

A wait that is longer than the window of looks (six seconds) looks like a hang or a stall of its own. The second one a
chance may bring; three in a row that are alike, with runs between them that are alike, and more waiting than a healthy
job ever does, have one cause that goes on.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from detectors.frame import NS, Ints
from detectors.job.rhythm import Rhythm

TIMES = 3
"""So many pauses in a row. A choice: two stalls of different causes within a minute are rare, three alike are not
seen."""
ALIKE = 2.0
"""The longest pause is at most so many times the shortest, and so the runs: loaders and late hosts keep a rhythm."""
COARSE_S = 2.0
"""A look a second, at either end: what pauses and runs may differ by without saying anything."""
WAITS_SHARE = 0.3
"""Of the whole time is waited: the share from which a wait for data is one (facts: TraceML, 0.25 to 0.35)."""
MOST_HELD = 32
BURST_STEPS = 1.5
"""More steps than this between two waits are a burst: W prefetching workers deliver W batches (facts: recordings
study). A slow host delays each step alike: one."""


@dataclass(slots=True)
class Pause:
    """One, as far as it has been seen; Unix ns."""

    since_ns: int
    until_ns: int = 0
    """0 while it lasts."""
    parted: bool = False
    """Whether a save or an evaluation lies between it and the one before: that run is as long as it is."""


@dataclass(slots=True)
class Pauses:
    """The latest pauses in a row that the same ranks have caused; none of them where all stood still together."""

    _guilty: tuple[int, ...] = ()
    _held: list[Pause] = field(default_factory=list)
    _bursts: bool = False
    """Whether bursts were seen in this row: a sparse log shows them now and then."""
    _parted: bool = False

    def paused(self, guilty: Ints, since_ns: int) -> None:
        """The job stands still, because of these columns."""
        who = tuple(guilty.tolist())
        if who != self._guilty:
            self.forget()
            self._guilty = who
        if not self._held or self._held[-1].until_ns:
            since_ns = max(since_ns, self._held[-1].until_ns if self._held else 0)
            self._held.append(Pause(since_ns, parted=self._parted))
            self._parted = False
            del self._held[:-MOST_HELD]

    def goes_on(self, time_ns: int) -> None:
        """It moves."""
        if self._held and not self._held[-1].until_ns:
            self._held[-1].until_ns = time_ns

    def parted(self, time_ns: int) -> None:
        """A save or an evaluation: it cures no slow rank, but the run in which it lies tells nothing by its length."""
        self.goes_on(time_ns)
        self._parted = True

    def forget(self) -> None:
        """The job has ended or starts anew: what comes next is another story."""
        self._held.clear()
        self._guilty, self._bursts, self._parted = (), False, False

    def again(self, rhythm: Rhythm | None, time_ns: int) -> list[Pause]:
        """The pauses that come again and again, the present one last; none where they do not.

        As the cards show them; or with those taken together between which only a line came while no card moved; or with
        those that were too short for the window of looks, which the log tells.
        """
        for held in (self._held, _together(self._held), _filled(self._held, rhythm)):
            first = len(held) - TIMES
            if first < 0 or not _is_row(held[first:], time_ns):
                continue
            while first > 0 and _is_row(held[first - 1 :], time_ns):
                first -= 1
            return held[first:]
        return []

    def in_bursts(self, rhythm: Rhythm | None, row: list[Pause]) -> bool:
        """Whether several steps are made between two of a row, by the log; False also where it is too sparse to say."""
        if self._bursts or rhythm is None or len(row) < 2:
            return self._bursts
        first_ns, last_ns = row[0].since_ns, row[-1].since_ns
        # only lines that speak for steps of this row alone: a sparse one may stand for steps of before
        inside = [g for g in rhythm.gaps_since(first_ns) if g.end_ns <= last_ns + NS]
        steps = sum(g.steps for g in inside if g.end_ns - int(g.seconds * NS) >= first_ns - NS * COARSE_S)
        self._bursts = steps >= BURST_STEPS * (len(row) - 1)
        return self._bursts


def _together(held: list[Pause]) -> list[Pause]:
    """A pause that began while the one before had not really ended: a line of the log came late, and no card moved."""
    joined: list[Pause] = []
    for pause in held:
        if joined and pause.since_ns <= joined[-1].until_ns:
            joined[-1] = Pause(joined[-1].since_ns, pause.until_ns, joined[-1].parted)
        else:
            joined.append(pause)
    return joined


def _filled(held: list[Pause], rhythm: Rhythm | None) -> list[Pause]:
    """With the pauses in between that the log alone tells: gaps of its lines beyond the usual one, as long as those
    that the cards have shown. A wait little longer than the window of looks is seen by chance, one time in two."""
    usual_s = rhythm.usual_gap_s if rhythm is not None else None
    over = [(pause.until_ns - pause.since_ns) / NS for pause in held if pause.until_ns]
    if rhythm is None or usual_s is None or not over:
        return []
    filled = held[:1]
    gaps = rhythm.gaps_since(held[0].until_ns)
    for before, after in pairwise(held):
        for gap in gaps:
            waited_s = gap.seconds - usual_s
            since_ns = gap.end_ns - int(waited_s * NS)
            between = before.until_ns - COARSE_S * NS <= since_ns and gap.end_ns <= after.since_ns + COARSE_S * NS
            if between and waited_s * ALIKE + COARSE_S >= min(over) and since_ns >= filled[-1].until_ns:
                filled.append(Pause(since_ns, gap.end_ns, after.parted))
        filled.append(Pause(max(after.since_ns, filled[-1].until_ns), after.until_ns, after.parted))
    return filled


def _is_row(held: list[Pause], time_ns: int) -> bool:
    waits = [((pause.until_ns or time_ns) - pause.since_ns) / NS for pause in held]
    runs = [(after.since_ns - before.until_ns) / NS for before, after in pairwise(held)]
    whole = [run for run, after in zip(runs, held[1:], strict=True) if not after.parted]
    # the last one may not be over yet: it must only not be longer than the others
    alike = _alike(waits[:-1]) and waits[-1] <= ALIKE * max(waits[:-1]) + COARSE_S and _alike(whole)
    return alike and sum(waits) >= WAITS_SHARE * (sum(waits) + sum(runs))


def _alike(seconds: list[float]) -> bool:
    return bool(seconds) and max(seconds) <= ALIKE * min(seconds) + COARSE_S
