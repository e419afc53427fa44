"""Carries plans out: one step after the other, each journaled before it is begun and verified when it is done.

Pure over its ports (journal, cluster, guards, clock). Whatever happens between two of its calls, the plan is found
again as the journal has it, and looking at a step once more changes nothing. What is known together is written
together: a step's outcome and the next one's intent are one entry of the journal.

A plan waits in line while another that is before it touches one of its targets; a plan that waits for time to pass
holds up nobody else.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from policies.journal import (
    HALF_WAY,
    OVER,
    WRITTEN,
    Cluster,
    Journal,
    PlanEntry,
    PlanState,
    Progress,
    Stale,
    StepEntry,
    StepState,
)
from policies.model import GuardWord
from policies.plan import UNDO, Blast, Plan, Step, Target, digest_of, make_plan

NS = 1_000_000_000
ACTOR = "watchstander"

PASSING = frozenset({"G6", "G7", "G8", "G9", "G10", "G11", "G12", "G13", "G16", "G17", "G18", "G20", "G21"})
"""Guards whose no may lift by itself: a plan waits for them in its place. Any other no is about the plan: one that has
begun stops, one that has not lapses."""
ONLY_BEFORE = frozenset({"G14", "G15"})
"""Guards on how sure the fault is. Once a plan has begun they no longer speak: a node that is rebooted falls silent,
and evidence grows old while a node is drained."""

_BEING_DONE = (StepState.DONE, StepState.RUNNING)
_MOST_MEMOS = 8
"""A step that asks for a memo more often in one look is going round in circles."""

Judge = Callable[[PlanEntry, int, Sequence[PlanEntry]], Sequence[GuardWord]]
"""What each guard says, with a fresh view, to this step of this plan; the third are plans that the view may not show
yet: begun and not over, or over a moment ago. RetryLater: nothing can be said yet, the plan waits."""


class Patience(msgspec.Struct, frozen=True):
    """How long the executor waits for what; all in seconds."""

    first_retry: float = 1.0
    longest_retry: float = 60.0
    retries: int = 12
    """Failures in a row after which a step counts as failed: 8 minutes with the figures above."""
    look_again: float = 2.0
    """Between two looks at a plan that a guard holds, or at a step that does not say when."""
    longest_hold: float = 900.0
    """A plan that has begun and is held for longer stops."""
    fix: float = 60.0
    """Between two tries where a person has to mend something first."""
    undo: float = 7 * 86_400.0
    """How long the proposal of an undo stands."""
    unseen: float = 120.0
    """After so long the cluster's view shows what a plan has done."""
    tell: float = 30.0
    """A step's words on how far it is are journaled at most so often."""


class ExecutorCounts:
    """What was done since the start."""

    def __init__(self) -> None:
        self.steps: Counter[tuple[str, str]] = Counter()
        """By kind and result: done, skipped, failed, retried."""
        self.stale = 0
        """Writes that another had overtaken."""
        self.held: Counter[str] = Counter()
        """Looks at which a guard said no, by its id."""


class Executor:
    """Safe for threads: several may carry on different plans. Guards are asked and a plan is claimed one at a time."""

    def __init__(
        self,
        journal: Journal,
        cluster: Cluster,
        judge: Judge,
        clock: Callable[[], int],
        *,
        holder: str,
        generation: Callable[[int], int | None],
        patience: Patience | None = None,
        stands: Callable[[PlanEntry], str] = lambda _entry: "",
        acted: Callable[[PlanEntry, int], None] = lambda _entry, _index: None,
        mitigated: Callable[[PlanEntry], None] = lambda _entry: None,
    ) -> None:
        """`clock` gives Unix ns; `generation` that of the lease now, None where this agent does not lead (G21).

        `stands` says why a plan is no longer what is wanted, or nothing; it is asked before every step.
        `acted` hears of every step that was carried out; `mitigated` of a plan whose steps all are, before that is
        journaled, so that a crash in between tells it twice rather than never.
        """
        self._journal = journal
        self._cluster = cluster
        self._judge = judge
        self._clock = clock
        self._holder = holder
        self._generation = generation
        self._patience = patience or Patience()
        self._stands = stands
        self._acted = acted
        self._mitigated = mitigated
        self._claiming = threading.Lock()
        self._beside: dict[str, PlanEntry] = {}
        self._again: dict[str, int] = {}
        self._held_since: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self.counts = ExecutorCounts()

    def due(self) -> list[PlanEntry]:
        """Plans that can be carried on now: in line, one at each target, none that waits. None where we do not lead."""
        now_ns = self._clock()
        if self._generation(now_ns) is None:
            return []
        unfinished = self._journal.unfinished()
        known = {entry.plan.id for entry in unfinished}
        for memory in (self._again, self._held_since, self._told):
            for plan_id in [plan_id for plan_id in memory if plan_id not in known]:
                del memory[plan_id]
        busy: set[Target] = set()
        found = []
        # what has begun holds its targets, whatever came before it in line
        for entry in sorted(unfinished, key=lambda entry: entry.state is not PlanState.RUNNING):
            targets = {step.target for step in entry.plan.steps}
            if entry.state is not PlanState.AWAITING:
                if targets & busy:
                    continue
                busy |= targets
            if max(entry.again_ns, self._again.get(entry.plan.id, 0)) <= now_ns:
                found.append(entry)
        return found

    def carry_on(self, entry: PlanEntry) -> PlanEntry:
        """Take a plan as far as it goes without waiting; as it stands then. RetryLater: the journal is away."""
        try:
            return self._carry_on(entry)
        except Stale:
            # overtaken, by a person's word or by a newer leader: nothing is known here that they do not know better
            self.counts.stale += 1
            self._again[entry.plan.id] = self._clock() + int(self._patience.look_again * NS)
            return entry

    def _carry_on(self, entry: PlanEntry) -> PlanEntry:
        now_ns = self._clock()
        generation = self._generation(now_ns)
        if generation is None or entry.state in OVER:
            return entry
        if entry.state is not PlanState.RUNNING:
            lapsed = _lapsed(entry, now_ns)
            if lapsed or entry.state is PlanState.AWAITING:
                return self._over(entry, PlanState.LAPSED, lapsed) if lapsed else entry
        if digest_of(entry.plan.incident, entry.plan.steps) != entry.plan.digest:
            return self._over(entry, PlanState.FAILED, "its steps are not those that its digest was made of")
        said = ""
        memos = 0
        while (index := _next(entry)) is not None:
            with self._claiming:
                try:
                    bound = bool(half_way(entry))
                    over = "" if bound else self._stands(entry)
                    written = WRITTEN in entry.steps[index].memo
                    against = [] if over or bound or written else self._against(entry, index)
                except RetryLater as error:
                    return self._hold(entry, str(error), said)
                if over:
                    begun = entry.state is PlanState.RUNNING
                    return self._over(entry, PlanState.STOPPED if begun else PlanState.LAPSED, _joined(said, over))
                if against:
                    return self._refused(entry, against, said)
                self._held_since.pop(entry.plan.id, None)
                begun = entry.state is PlanState.RUNNING and entry.steps[index].state is StepState.RUNNING
                if said or not begun or entry.generation != generation:
                    entry = self._intend(entry, index, generation, said)
                self._beside[entry.plan.id] = entry
            try:
                progress = self._look(entry, index)
            except RetryLater as error:
                return self._retry(entry, index, error)
            except GiveUp as error:
                return self._failed(entry, index, str(error))
            except FixConfiguration as error:
                return self._wait_for_person(entry, str(error))
            if progress.state is StepState.FAILED:
                return self._failed(entry, index, progress.detail, tried=progress.changed)
            if progress.state is StepState.RUNNING:
                return self._wait(entry, index, progress)
            if progress.state is StepState.WAITING:
                memos += 1
                if memos > _MOST_MEMOS:
                    return self._failed(entry, index, f"it goes round in circles: {progress.detail}")
                entry = self._write(_at(entry, index, memo=progress.memo), "step", progress.detail)
                continue
            entry = self._ended(entry, index, progress)
            said = f"{_words(entry, index)}: {progress.detail}"
        return self._finish(entry, said)

    # one step

    def _against(self, entry: PlanEntry, index: int) -> list[GuardWord]:
        """What the guards say against this step."""
        now_ns = self._clock()
        unseen_ns = now_ns - int(self._patience.unseen * NS)
        for plan_id in [
            id_ for id_, held in self._beside.items() if held.state in OVER and held.updated_ns < unseen_ns
        ]:
            del self._beside[plan_id]
        beside = [held for held in self._beside.values() if held.plan.id != entry.plan.id]
        words = [word for word in self._judge(entry, index, beside) if not word.allows]
        if entry.state is PlanState.RUNNING:
            return [word for word in words if word.guard not in ONLY_BEFORE]
        return words

    def _look(self, entry: PlanEntry, index: int) -> Progress:
        """Advance the step; where it is done, see that it shows (P5)."""
        memo = dict(entry.steps[index].memo)
        progress = self._cluster.advance(entry.plan, index, memo, self._clock())
        if progress.state is not StepState.DONE:
            return progress
        memo |= progress.memo
        shown = self._cluster.verify(entry.plan, index, memo, self._clock())
        if shown.state in (StepState.DONE, StepState.SKIPPED):
            return progress
        detail = f"{progress.detail}; not seen in the cluster: {shown.detail}"
        again = shown.again_seconds or self._patience.look_again
        return Progress(shown.state, detail, memo | shown.memo, again, changed=progress.changed)

    def _intend(self, entry: PlanEntry, index: int, generation: int, said: str) -> PlanEntry:
        """Journal what is about to be done, under the generation that is ours now."""
        taken_over = entry.state is PlanState.RUNNING and entry.generation != generation
        what = "step" if entry.state is PlanState.RUNNING else "begin"
        began_ns = entry.steps[index].began_ns or self._clock()
        intended = msgspec.structs.replace(
            _at(entry, index, state=StepState.RUNNING, began_ns=began_ns),
            state=PlanState.RUNNING,
            generation=generation,
            holder=self._holder,
            reason="",
            again_ns=0,
        )
        next_ = f"{'taken over; ' if taken_over else ''}next: {_words(entry, index)}"
        return self._write(intended, what, f"{said}; {next_}" if said else next_)

    def _ended(self, entry: PlanEntry, index: int, progress: Progress) -> PlanEntry:
        """The step is over; not journaled yet."""
        self.counts.steps[(entry.plan.steps[index].kind.value, progress.state.value)] += 1
        memo = dict(entry.steps[index].memo) | progress.memo
        ended = _at(
            entry,
            index,
            state=progress.state,
            detail=progress.detail,
            memo=memo,
            ended_ns=self._clock(),
            attempts=0,
        )
        if progress.state is StepState.DONE:
            self._acted(ended, index)
        return ended

    def _wait(self, entry: PlanEntry, index: int, progress: Progress) -> PlanEntry:
        """Not there yet: others go on meanwhile. Journaled where it must outlast a crash, and at times for people."""
        now_ns = self._clock()
        plan_id = entry.plan.id
        self._again[plan_id] = now_ns + int((progress.again_seconds or self._patience.look_again) * NS)
        held = entry.steps[index]
        memo = dict(held.memo) | progress.memo
        news = progress.detail != held.detail and now_ns - self._told.get(plan_id, 0) >= self._patience.tell * NS
        if memo == held.memo and not held.attempts and not news:
            return entry
        self._told[plan_id] = now_ns
        waiting = _at(entry, index, memo=memo, detail=progress.detail, attempts=0)
        return self._write(msgspec.structs.replace(waiting, reason=progress.detail), "step", progress.detail)

    def _retry(self, entry: PlanEntry, index: int, error: RetryLater) -> PlanEntry:
        attempts = entry.steps[index].attempts + 1
        kind = entry.plan.steps[index].kind.value
        self.counts.steps[(kind, "retried")] += 1
        if attempts > self._patience.retries:
            return self._failed(entry, index, f"{attempts} tries in a row failed, the last: {error}", tried=True)
        backoff = min(self._patience.longest_retry, self._patience.first_retry * 2 ** min(attempts - 1, 20))
        seconds = max(backoff, error.after_seconds or 0.0)
        self._again[entry.plan.id] = self._clock() + int(seconds * NS)
        detail = f"tried again in {seconds:g} s, {attempts} of {self._patience.retries}: {error}"
        retried = msgspec.structs.replace(_at(entry, index, attempts=attempts, detail=detail), reason=detail)
        return self._write(retried, "step", f"{_words(entry, index)}: {detail}")

    def _wait_for_person(self, entry: PlanEntry, reason: str) -> PlanEntry:
        self._again[entry.plan.id] = self._clock() + int(self._patience.fix * NS)
        if entry.reason == reason:
            return entry
        return self._write(msgspec.structs.replace(entry, reason=reason), "step", f"waits for a person: {reason}")

    # the whole plan

    def _refused(self, entry: PlanEntry, against: list[GuardWord], said: str) -> PlanEntry:
        for word in against:
            self.counts.held[word.guard] += 1
        reason = "; ".join(f"{word.guard}: {word.reason}" for word in against)
        if all(word.guard in PASSING for word in against):
            return self._hold(entry, reason, said)
        begun = entry.state is PlanState.RUNNING
        return self._over(entry, PlanState.STOPPED if begun else PlanState.LAPSED, _joined(said, reason))

    def _hold(self, entry: PlanEntry, reason: str, said: str) -> PlanEntry:
        """It waits in its place: for long where it has not begun, for a while where it has."""
        now_ns = self._clock()
        plan_id = entry.plan.id
        since_ns = self._held_since.setdefault(plan_id, now_ns)
        if entry.state is PlanState.RUNNING and now_ns - since_ns > self._patience.longest_hold * NS:
            seconds = int(self._patience.longest_hold)
            return self._over(entry, PlanState.STOPPED, _joined(said, f"held for more than {seconds} s: {reason}"))
        self._again[plan_id] = now_ns + int(self._patience.look_again * NS)
        # figures move at every look: only which guards hold it is news
        if not said and entry.reason and _guards_in(entry.reason) == _guards_in(reason):
            return entry
        return self._write(msgspec.structs.replace(entry, reason=reason), "hold", _joined(said, f"waits: {reason}"))

    def _failed(self, entry: PlanEntry, index: int, reason: str, *, tried: bool = False) -> PlanEntry:
        """`tried`: something may have reached the cluster all the same, so that its undo is proposed too."""
        self.counts.steps[(entry.plan.steps[index].kind.value, StepState.FAILED.value)] += 1
        attempts = max(entry.steps[index].attempts, int(tried))
        failed = _at(entry, index, state=StepState.FAILED, detail=reason, ended_ns=self._clock(), attempts=attempts)
        return self._over(failed, PlanState.FAILED, f"{_words(entry, index)}: {reason}")

    def _finish(self, entry: PlanEntry, said: str) -> PlanEntry:
        """All steps are over: what was done first must still show."""
        done = [index for index, step in enumerate(entry.steps) if step.state is StepState.DONE]
        for index in done[:-1]:
            try:
                shown = self._cluster.verify(entry.plan, index, dict(entry.steps[index].memo), self._clock())
            except RetryLater as error:
                return self._retry(entry, index, error)
            except GiveUp as error:
                return self._failed(entry, index, str(error))
            except FixConfiguration as error:
                return self._wait_for_person(entry, str(error))
            if shown.state is StepState.RUNNING:
                return self._wait(entry, index, shown)
            if shown.state not in (StepState.DONE, StepState.SKIPPED):
                return self._failed(entry, index, f"it no longer shows in the cluster: {shown.detail}")
        skipped = len(entry.steps) - len(done)
        reason = f"{len(done)} of {len(entry.steps)} steps carried out" + (
            f", {skipped} had nothing to do" if skipped else ""
        )
        return self._over(entry, PlanState.DONE, _joined(said, reason))

    def _over(self, entry: PlanEntry, state: PlanState, reason: str) -> PlanEntry:
        """The last write. What others must hear comes before it: it is repeated if we die in between."""
        if state in (PlanState.FAILED, PlanState.STOPPED):
            undo = undo_of(entry, self._clock(), int(self._patience.undo * NS))
            if undo is not None:
                self._journal.open(undo)
                reason = f"{reason}; undo proposed: {undo.plan.id}"
        if state is PlanState.DONE:
            self._mitigated(entry)
        over = self._write(msgspec.structs.replace(entry, state=state, reason=reason, again_ns=0), state.value, reason)
        if over.plan.id in self._beside:
            self._beside[over.plan.id] = over
        return over

    def _write(self, entry: PlanEntry, what: str, detail: str) -> PlanEntry:
        stamped = msgspec.structs.replace(entry, updated_ns=self._clock())
        return self._journal.write(stamped, actor=ACTOR, what=what, detail=detail)


def entry_for(plan: Plan, state: PlanState, *, reason: str = "") -> PlanEntry:
    """A plan as it enters the journal."""
    return PlanEntry(plan, state, tuple(StepEntry() for _ in plan.steps), reason=reason, updated_ns=plan.made_ns)


def half_way(entry: PlanEntry) -> str:
    """Why the step that is under way must be brought to its end first; empty: the plan may stop here."""
    index = _next(entry)
    return "" if index is None or entry.state in OVER else entry.steps[index].memo.get(HALF_WAY, "")


def undo_of(entry: PlanEntry, now_ns: int, stands_ns: int) -> PlanEntry | None:
    """The plan that takes back what was done of this one, or may have been; None where there is nothing to take back,
    or where it takes something back itself. A person has to approve it."""
    if entry.is_undo:
        return None
    steps = tuple(
        Step(UNDO[step.kind], step.target, step.arguments, f"undo: {step.words or step.kind.value}")
        for step, at in reversed(list(zip(entry.plan.steps, entry.steps)))
        if step.kind in UNDO and (at.state in _BEING_DONE or (at.state is StepState.FAILED and at.attempts))
    )
    if not steps:
        return None
    nodes = {step.target for step in steps if step.target.kind == "Node"}
    blast = Blast(nodes=len(nodes), names=tuple(sorted(target.name for target in nodes))[:10])
    plan = make_plan(
        entry.plan.incident,
        entry.plan.decision,
        entry.plan.rule,
        steps,
        blast,
        now_ns,
        deadline_ns=now_ns + stands_ns,
        undoes=entry.plan.id,
    )
    proposed = entry_for(plan, PlanState.AWAITING, reason=f"takes back what {entry.plan.id} did")
    return msgspec.structs.replace(proposed, is_undo=True, undoes=entry.plan.id)


def _lapsed(entry: PlanEntry, now_ns: int) -> str:
    """Why a plan that has not begun may not begin any more."""
    if entry.plan.deadline_ns and now_ns > entry.plan.deadline_ns:
        waited = "nobody approved it" if entry.state is PlanState.AWAITING else "it was not begun"
        return f"{waited} in time{f'; {entry.reason}' if entry.reason else ''}"
    if entry.approval is None:
        return ""
    if entry.approval.digest != entry.plan.digest:
        return f"{entry.approval.who} approved another plan, of digest {entry.approval.digest[:12]}"
    if entry.state is PlanState.READY and now_ns > entry.approval.expires_ns:
        return f"the approval by {entry.approval.who} expired before it was begun"
    return ""


def _next(entry: PlanEntry) -> int | None:
    over = (StepState.DONE, StepState.SKIPPED)
    return next((index for index, step in enumerate(entry.steps) if step.state not in over), None)


def _at(entry: PlanEntry, index: int, **changes: object) -> PlanEntry:
    """The entry with one step changed."""
    steps = list(entry.steps)
    steps[index] = msgspec.structs.replace(steps[index], **changes)
    return msgspec.structs.replace(entry, steps=tuple(steps))


def _words(entry: PlanEntry, index: int) -> str:
    step = entry.plan.steps[index]
    return step.words or f"{step.kind.value} {step.target}"


def _joined(said: str, more: str) -> str:
    return f"{said}; {more}" if said else more


def _guards_in(reason: str) -> tuple[str, ...]:
    """Ids of the guards that a reason like `G9: ...; G18: ...` names."""
    parts = (part.partition(":")[0] for part in reason.split("; "))
    return tuple(part for part in parts if part[:1] == "G" and part[1:].isdigit())
