"""The ledger of one attempt of one job: what its log says and what findings claim, as an account that adds up.

Time only moves forward here. What a log's clock says is held between the ledger's last entry and now: two ranks with
different clocks, or a node whose clock is ahead, can shift a boundary but never lose or double a nanosecond.

A finding says since when its condition held, and that lies before it became known: the ledger keeps the last ten
minutes open and divides them anew when a claim comes late (`Revision`); what is older is settled.
"""

from dataclasses import dataclass, field

import msgspec

from detectors.goodput.account import Account
from detectors.goodput.cause import (
    BLAMES,
    CHECKPOINT_ORDER,
    EVALUATION_ORDER,
    SLOW_ORDER,
    START_ORDER,
    Cause,
)
from detectors.goodput.pace import Pace
from detectors.goodput.stretch import Base, Claim, Stretch, account_of
from detectors.model import Finding, FindingKind, Severity

NS = 10**9
LOOK_BACK_NS = 600 * NS
"""How far back a late claim can still reach: a collective timeout comes ten minutes after its cause."""
STRETCH_NS = 5 * NS
"""Steps are put together into stretches of at least this: one tick of the watch."""
LONG_GAP = 3
"""A gap between two step lines of so many usual ones is no slow step (as `STEPS_OFF_CADENCE` of the rhythm) ..."""
LONG_NS = NS
"""... if it is longer than the usual one by a second, too."""
PATIENCE_NS = 60 * NS
"""The same where no usual gap is known yet."""
MOST_REVISIONS = 8
ANNOUNCED = {
    "checkpoint": (Cause.CHECKPOINT, CHECKPOINT_ORDER),
    "evaluation": (Cause.EVALUATION, EVALUATION_ORDER),
    "restore": (Cause.START_UP, START_ORDER),
}


class Revision(msgspec.Struct, frozen=True):
    """A claim that came late and moved time that had been put down to something else."""

    time_ns: int
    """When it was made."""
    key: str
    """The finding's id."""
    cause: Cause
    since_ns: int
    moved_wall_ns: int
    """How much time changed its cause."""
    too_late_ns: int
    """How much of the claim lay before what was settled already, and stays where it is."""


@dataclass(slots=True)
class Ledger:
    """Feed it in order of arrival: what the log says, what findings claim, and the passing of time."""

    started_ns: int
    peak_step: int | None = None
    """The highest step of the attempts before: steps up to it are rework."""
    base: Base = Base.STARTING
    pace: Pace = field(default_factory=Pace)
    """Of the job: handed on from attempt to attempt."""
    settled: Account = field(default_factory=Account)
    settled_ns: int = 0
    """Up to here nothing changes any more."""
    now_ns: int = 0
    last_step: int | None = None
    last_step_ns: int = 0
    revisions: list[Revision] = field(default_factory=list)
    revised_wall_ns: int = 0
    ended_ns: int | None = None
    _stretches: list[Stretch] = field(default_factory=list)
    """Closed ones that are not settled yet, contiguous, up to `_current`."""
    _current: Stretch = field(init=False)
    """Closed up to `end_ns`; what lies between that and now is pending."""
    _claims: dict[str, Claim] = field(default_factory=dict)
    _announced: dict[str, Claim] = field(default_factory=dict)
    """Of the claims those that the log has announced and not yet called over, by their word."""
    _gpus: list[tuple[int, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settled_ns = self.settled_ns or self.started_ns
        self.now_ns = max(self.now_ns, self.settled_ns)
        self._current = Stretch(self.settled_ns, self.settled_ns, self.base)

    # what the log says

    def step(self, step: int | None, time_ns: int, waited_ns: int = 0) -> None:
        """A step line. `waited_ns`: how long this one step waited for data, where the line says it.

        The caller has made sure that the number goes up: going back is a new attempt.
        """
        at_ns = self._held(time_ns)
        made = 1 if step is None or self.last_step is None else step - self.last_step
        first = self.base is not Base.STEPPING
        if made <= 0:
            return
        self._silence_over(at_ns)
        if first:
            self._turn(Base.STEPPING, at_ns)
        else:
            self._gap(step, made, at_ns, waited_ns)
        self.last_step = step if step is not None else self.last_step
        self.last_step_ns = at_ns
        self._current.again = self._is_again(self.last_step)

    def announce(self, what: str, time_ns: int, since_ns: int | None = None) -> None:
        """The log says that it saves, evaluates or restores from now (or `since_ns`) on: a key of `ANNOUNCED`."""
        cause, order = ANNOUNCED[what]
        at_ns = self._held(time_ns)
        begins_ns = at_ns if since_ns is None else max(self._current.end_ns, min(since_ns, at_ns))
        if what not in self._announced:
            key = f"{what} {begins_ns} {len(self._claims)}"
            self._announced[what] = self._claims[key] = Claim(cause, order, begins_ns, None, key)

    def over(self, what: str, time_ns: int, duration_ns: int | None = None) -> None:
        """The log says that a save, an evaluation or a restore is over.

        Where nobody said that it began: it took `duration_ns`, or, where that is unknown too, the time since the last
        step line.
        """
        at_ns = self._held(time_ns)
        if what not in self._announced:
            since_ns = self._current.end_ns if duration_ns is None else at_ns - max(duration_ns, 0)
            self.announce(what, at_ns, since_ns)
        self._close_claim(self._announced.pop(what), at_ns)

    def speaks(self) -> None:
        """A first word of training has come: what was unknown so far, however long, was the start."""
        if self.base is Base.SILENT:
            self.base = Base.STARTING
        for stretch in (*self._stretches, self._current):
            if stretch.base in (Base.SILENT, Base.STARTING):
                stretch.base, stretch.divided = self.base, None

    def fails(self, since_ns: int) -> None:
        """A failure that was known before a restart holds still."""
        self._claims["failure"] = Claim(Cause.FAILURE, 0, max(since_ns, self.settled_ns), None, "failure")

    def turn(self, base: Base, time_ns: int) -> None:
        """The attempt does something else from now on: it ends, waits in a queue, starts again."""
        at_ns = self._held(time_ns)
        if base is not self.base:
            self._silence_over(at_ns)
            self._turn(base, at_ns)

    # what findings and the inventory say

    def claim(self, finding: Finding, now_ns: int, *, known: bool = False) -> None:
        """A finding about this job has opened or cleared. `known`: it was claimed before a restart, no revision."""
        blame = BLAMES.get(finding.kind)
        if blame is None or (finding.kind is FindingKind.XID and finding.severity is not Severity.CRITICAL):
            return
        now_ns = self.ended_ns if self.ended_ns is not None else max(now_ns, self.now_ns)
        held = self._claims.get(finding.id)
        if held is not None:
            if finding.cleared_ns is not None and blame.cause is not Cause.FAILURE and held.until_ns is None:
                self._close_claim(held, min(finding.cleared_ns, now_ns))
            return
        since_ns, until_ns = min(max(finding.since_ns, self.started_ns), now_ns), finding.cleared_ns
        if blame.cause is Cause.FAILURE:
            # a step after it: whatever it was, the job went on
            until_ns = self.last_step_ns if self.last_step_ns > since_ns else None
        if until_ns is not None and until_ns <= since_ns:
            return
        before = self._open_account(now_ns)
        too_late_ns = max(0, min(self.settled_ns, until_ns or now_ns) - since_ns)
        self._claims[finding.id] = Claim(blame.cause, blame.order, since_ns, until_ns, finding.id)
        self._divide_anew(since_ns)
        if known:
            return
        after = self._open_account(now_ns)
        moved_ns = sum(max(0, spent - before.wall_ns.get(cause, 0)) for cause, spent in after.wall_ns.items())
        if moved_ns or too_late_ns:
            self.revised_wall_ns += moved_ns
            self.revisions.append(Revision(now_ns, finding.id, blame.cause, since_ns, moved_ns, too_late_ns))
            del self.revisions[:-MOST_REVISIONS]

    def has_gpus(self, count: int | None, time_ns: int) -> None:
        """So many GPUs are held from now on; the first number that is known holds for what is not settled, too."""
        at_ns = max(self._held(time_ns), self._gpus[-1][0] if self._gpus else 0)
        if self._gpus and self._gpus[-1][1] == count:
            return
        if all(known is None for _, known in self._gpus):
            self._gpus = [(self.settled_ns, count)]
            self._divide_anew(0)
        else:
            self._gpus.append((at_ns, count))
            self._divide_anew(at_ns)

    def advance(self, now_ns: int) -> None:
        """Time passes; what lies further back than `LOOK_BACK_NS` is settled."""
        if self.ended_ns is None:
            self.now_ns = max(self.now_ns, now_ns)
        before_ns = now_ns - LOOK_BACK_NS
        if not self._stretches or self._stretches[0].end_ns > before_ns:
            return
        done = 0
        for stretch in self._stretches:
            if stretch.end_ns > before_ns:
                break
            self.settled.add(self._divided(stretch))
            self.settled_ns = stretch.end_ns
            done += 1
        del self._stretches[:done]
        for key in [k for k, c in self._claims.items() if c.until_ns is not None and c.until_ns <= self.settled_ns]:
            del self._claims[key]
        while len(self._gpus) > 1 and self._gpus[1][0] <= self.settled_ns:
            del self._gpus[0]

    def end(self, time_ns: int) -> int:
        """The attempt is over: nothing comes after but late claims; the instant."""
        if self.ended_ns is None:
            at_ns = self._held(time_ns)
            self._silence_over(at_ns)
            self._close_to(at_ns)
            self.now_ns = self.ended_ns = at_ns
        return self.ended_ns

    # what it knows

    @property
    def failed_since_ns(self) -> int | None:
        """Since when a failure holds that no step has followed; None where there is none."""
        since = [c.since_ns for c in self._claims.values() if c.cause is Cause.FAILURE and c.until_ns is None]
        return min(since, default=None)

    def failed(self, key: str) -> bool:
        """Whether this finding is a failure that held until the attempt's end, or holds still."""
        claim = self._claims.get(key)
        if claim is None or claim.cause is not Cause.FAILURE:
            return False
        return claim.until_ns is None or claim.until_ns == self.ended_ns

    @property
    def gpus(self) -> int | None:
        """Held now; None: unknown."""
        return self._gpus[-1][1] if self._gpus else None

    @property
    def first_open_ns(self) -> int:
        """From here on the account may still be revised."""
        return self.settled_ns

    def announced(self, what: str) -> bool:
        """Whether the log has said that it began, and neither an end nor a step has come since."""
        return what in self._announced

    def account(self) -> Account:
        """From the start until now, what is pending as it looks now."""
        account = self.settled.copy()
        account.add(self._open_account(self.now_ns))
        return account

    # inside

    def _held(self, time_ns: int) -> int:
        """A time of somebody else's clock, between the last entry and now."""
        return max(self._current.end_ns, min(time_ns, max(self.now_ns, self._current.end_ns)))

    def _is_again(self, step: int | None) -> bool:
        return step is not None and self.peak_step is not None and step < self.peak_step

    def _gap(self, step: int | None, made: int, at_ns: int, waited_ns: int) -> None:
        current, gap_ns = self._current, at_ns - self._current.end_ns
        again = 0
        if step is not None and self.peak_step is not None:
            again = max(0, min(made, self.peak_step - (step - made)))
        overlong = self._is_overlong(gap_ns)
        told = min(waited_ns * made, gap_ns)
        quiet = not any(c.until_ns is None or c.until_ns > current.end_ns for c in self._claims.values())
        if overlong or current.overlong or current.end_ns - current.start_ns >= STRETCH_NS:
            self._close_to(current.end_ns)
            current = self._current
        current.end_ns = at_ns
        current.steps += made
        current.reworked += again
        current.waited_ns += told
        current.overlong = overlong
        current.divided = None
        if gap_ns > 0 and not overlong and self.pace.learn(gap_ns, made, quiet=quiet):
            self._divide_anew(0)

    def _is_overlong(self, gap_ns: int) -> bool:
        usual = self.pace.usual_ns
        if usual is None:
            return gap_ns > PATIENCE_NS
        return gap_ns > LONG_GAP * usual and gap_ns - usual > LONG_NS

    def _silence_over(self, at_ns: int) -> None:
        """A step, an end or a new start: what was announced and what had failed is over."""
        self._announced.clear()
        for claim in self._claims.values():
            if claim.until_ns is None and (claim.order < SLOW_ORDER):
                self._close_claim(claim, at_ns)

    def _close_claim(self, claim: Claim, at_ns: int) -> None:
        claim.until_ns = max(claim.since_ns, at_ns)
        self._divide_anew(claim.since_ns)

    def _turn(self, base: Base, at_ns: int) -> None:
        self._close_to(at_ns)
        self.base = self._current.base = base

    def _close_to(self, at_ns: int) -> None:
        """The current stretch ends at its last step; what is left until `at_ns` is one of its own without steps."""
        for stretch in (self._current, *self._pending(at_ns)):
            if stretch.end_ns > stretch.start_ns:
                self._stretches.append(stretch)
        again = self._current.again
        self._current = Stretch(at_ns, at_ns, self.base, again=again)

    def _pending(self, now_ns: int) -> list[Stretch]:
        """What lies between the last entry and now, as it looks now."""
        start_ns = self._current.end_ns
        if now_ns <= start_ns:
            return []
        whole = Stretch(start_ns, now_ns, self.base, again=self._current.again)
        if self.base is not Base.STEPPING or not self._is_overlong(now_ns - start_ns):
            return [whole]
        usual_ns = min(self.pace.usual_ns or PATIENCE_NS, now_ns - start_ns)
        first = Stretch(start_ns, start_ns + usual_ns, self.base, again=self._current.again)
        return [first, Stretch(first.end_ns, now_ns, self.base, again=self._current.again, overlong=True)]

    def _open_account(self, until_ns: int) -> Account:
        account = Account()
        for stretch in (*self._stretches, self._current):
            account.add(self._divided(stretch))
        claims = list(self._claims.values())
        for stretch in self._pending(until_ns):
            account.add(account_of(stretch, claims, self.pace.best_ns, self._gpus))
        return account

    def _divided(self, stretch: Stretch) -> Account:
        if stretch.divided is None:
            stretch.divided = account_of(stretch, list(self._claims.values()), self.pace.best_ns, self._gpus)
        return stretch.divided

    def _divide_anew(self, since_ns: int) -> None:
        """What ends after `since_ns` is divided anew when it is next asked for."""
        for stretch in reversed(self._stretches):
            if stretch.end_ns <= since_ns:
                break
            stretch.divided = None
        self._current.divided = None
