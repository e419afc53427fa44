"""A stretch of an attempt's time, and how it is divided among the causes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import msgspec

from detectors.goodput.account import Account
from detectors.goodput.cause import ANNOUNCED_ORDER, SLOW_ORDER, Cause

Piece = tuple[int, int, Cause]
"""From, until before, cause; Unix ns."""
GpuCounts = Sequence[tuple[int, int | None]]
"""From when on so many GPUs, ascending; None: unknown."""


class Base(Enum):
    """What an attempt does as far as its log and its owner say."""

    STARTING = Cause.START_UP
    RECOVERING = Cause.FAILURE
    """Starting after a failure: the failure lasts until the next step."""
    SILENT = Cause.UNKNOWN
    STEPPING = Cause.PRODUCTIVE
    ENDED = Cause.IDLE
    QUEUED = Cause.QUEUE
    PREEMPTED = Cause.PREEMPTION

    @property
    def yields_below(self) -> int:
        """Claims of a lower order may have its time: a start is no stall, and what fails while it fails is no news."""
        return _YIELDS.get(self, 0)


_YIELDS = {Base.STEPPING: 100, Base.STARTING: SLOW_ORDER, Base.SILENT: ANNOUNCED_ORDER}


class Claim(msgspec.Struct):
    """Somebody's word that a stretch of time had a cause: a finding, or an announcement of the log."""

    cause: Cause
    order: int
    since_ns: int
    until_ns: int | None
    """None: it holds still."""
    key: str
    """A finding's id, or the announcement's name."""


@dataclass(slots=True)
class Stretch:
    """From `start_ns` until before `end_ns`; contiguous with its neighbours."""

    start_ns: int
    end_ns: int
    base: Base
    steps: int = 0
    reworked: int = 0
    """Of the steps, those that an earlier attempt had made."""
    again: bool = False
    """The next step is one that an earlier attempt had made; says of a stretch without steps what it works on."""
    waited_ns: int = 0
    """How long the steps waited for data by the log's own word."""
    overlong: bool = False
    """No step for so much longer than usual that time beyond the pace of its steps was no slow step but a stall."""
    divided: Account | None = field(default=None, compare=False)
    """What `account_of` gave last; None where a claim or the pace has changed since."""


def divide(stretch: Stretch, claims: Sequence[Claim], pace_ns: int | None) -> list[Piece]:
    """Contiguous pieces from the stretch's start to its end, each with its one cause.

    While steps are made, a claim has no more than the time beyond what its steps need at the job's best pace: of a
    minute with a slow dataloader, the steps that were made all the same stay productive. Where the pace is unknown a
    claim has all of its time.
    """
    start, end = stretch.start_ns, stretch.end_ns
    if end <= start:
        return []
    over = sorted(
        (
            c
            for c in claims
            if c.since_ns < end and (c.until_ns is None or c.until_ns > start) and c.order < stretch.base.yields_below
        ),
        key=lambda c: (c.order, c.since_ns, c.key),
    )
    painted = _paint(start, end, over)
    if stretch.base is not Base.STEPPING:
        base = stretch.base.value
        return _joined([(a, b, base if c is None else c.cause) for a, b, c in painted])
    length = end - start
    needed = 0 if not stretch.steps else length if pace_ns is None else min(length, stretch.steps * pace_ns)
    budget = length if pace_ns is None else length - needed
    pieces: list[tuple[int, int, Cause | None]] = []
    for a, b, claim in sorted(painted, key=lambda p: (p[2] is None, p[2].order if p[2] else 0, p[0])):
        if claim is None:
            pieces.append((a, b, None))
            continue
        taken = min(b - a, budget)
        budget -= taken
        pieces += [(a, a + taken, claim.cause), (a + taken, b, None)]
    free = sorted((a, b) for a, b, c in pieces if c is None and a < b)
    done: list[Piece] = [(a, b, c) for a, b, c in pieces if c is not None and a < b]
    for cause, wanted in ((Cause.DATA, stretch.waited_ns), (Cause.STALL, length if stretch.overlong else 0)):
        taken_pieces, free = _take(free, min(wanted, budget), cause)
        budget -= sum(b - a for a, b, _ in taken_pieces)
        done += taken_pieces
    worked = sum(b - a for a, b in free)
    again = worked * stretch.reworked // stretch.steps if stretch.steps else worked if stretch.again else 0
    reworked, free = _take(free, again, Cause.REWORK)
    done += [*reworked, *((a, b, Cause.PRODUCTIVE) for a, b in free)]
    return _joined(sorted(done))


def account_of(stretch: Stretch, claims: Sequence[Claim], pace_ns: int | None, gpus: GpuCounts) -> Account:
    """The stretch's time by cause."""
    account = Account(steps=stretch.steps - stretch.reworked, reworked_steps=stretch.reworked)
    for start, end, cause in divide(stretch, claims, pace_ns):
        for wall_ns, count in counted(start, end, gpus):
            account.put(cause, wall_ns, None if count is None else wall_ns * count)
    return account


def counted(start_ns: int, end_ns: int, gpus: GpuCounts) -> list[tuple[int, int | None]]:
    """How long how many GPUs were held: (nanoseconds, GPUs), in order. Before the first count it is unknown."""
    if len(gpus) == 1 and gpus[0][0] <= start_ns:
        return [(end_ns - start_ns, gpus[0][1])]
    found: list[tuple[int, int | None]] = []
    at, count = start_ns, None
    for since_ns, next_count in gpus:
        if since_ns >= end_ns:
            break
        if since_ns > at:
            found.append((since_ns - at, count))
            at = since_ns
        count = next_count
    found.append((end_ns - at, count))
    return found


def _paint(start: int, end: int, claims: Sequence[Claim]) -> list[tuple[int, int, Claim | None]]:
    """The stretch cut where claims begin and end, each piece with the first claim that covers it."""
    if not claims:
        return [(start, end, None)]
    cuts = {start, end}
    for claim in claims:
        cuts.add(max(start, claim.since_ns))
        cuts.add(end if claim.until_ns is None else min(end, claim.until_ns))
    ordered = sorted(cuts)
    return [
        (a, b, next((c for c in claims if c.since_ns <= a and (c.until_ns is None or c.until_ns >= b)), None))
        for a, b in pairwise(ordered)
    ]


def _take(free: list[tuple[int, int]], wanted: int, cause: Cause) -> tuple[list[Piece], list[tuple[int, int]]]:
    """The first `wanted` nanoseconds of free pieces for a cause, and the rest."""
    taken: list[Piece] = []
    rest: list[tuple[int, int]] = []
    for a, b in free:
        cut = a + min(b - a, max(wanted, 0))
        wanted -= cut - a
        if cut > a:
            taken.append((a, cut, cause))
        if b > cut:
            rest.append((cut, b))
    return taken, rest


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for a, b, cause in pieces:
        if joined and joined[-1][2] is cause and joined[-1][1] == a:
            joined[-1] = (joined[-1][0], b, cause)
        elif a < b:
            joined.append((a, b, cause))
    return joined
