"""What a new decision makes of the plans of its incident: which lapse, which go on, which is put in, which is undone.

Pure. The store asks it in the transaction that keeps the decision, so that no crash can part a decision from its plan.
"""

from collections.abc import Sequence

import msgspec

from policies.executor import PASSING, entry_for, undo_of
from policies.journal import OVER, PlanEntry, PlanState
from policies.model import Decision, Verdict
from policies.plan import Plan, Step, StepKind, Target

UNDO_STANDS_NS = 7 * 86_400 * 1_000_000_000
"""How long a proposed undo waits for a person."""
HOLDING = frozenset({"G1", "G2"})
"""Their no makes an ask or an audit of a decision, never a refusal."""
_NOT_BEGUN = frozenset({PlanState.AWAITING, PlanState.READY})


class Change(msgspec.Struct, frozen=True):
    """One write of the journal that follows."""

    entry: PlanEntry
    what: str
    """For the audit: `plan`, `lapse`, `stop`, `ready`, `await`."""
    detail: str
    new: bool = False
    """To be put in rather than written over."""


def follow(decision: Decision, held: Sequence[PlanEntry]) -> list[Change]:
    """The writes that a decision comes to. `held`: every plan of its incident, over or not, undoing ones too.

    What is done already is never taken back from here: the next step of a wave is elsewhere too, and only the engine
    knows whether an open incident still asks for it (`policies/undo.py`, a decision of its own).
    """
    wanted = decision.plan if decision.verdict in (Verdict.DO, Verdict.ASK) else None
    wanted = wanted if wanted is not None and wanted.steps else None
    if wanted is None and held_up(decision):
        waits = decision.plan.id if decision.plan is not None else ""
        held = [entry for entry in held if entry.plan.id != waits]
    state = PlanState.READY if decision.verdict is Verdict.DO else PlanState.AWAITING
    if decision.plan is not None and decision.plan.undoes:
        return _follow_undo(decision, wanted, state, held)
    changes: list[Change] = []
    there = False
    for entry in held:
        if entry.is_undo:
            continue
        same = wanted is not None and entry.plan.id == wanted.id
        if entry.state in _NOT_BEGUN:
            there = there or same
            changes += _stands(entry, state, decision) if same else [_lapse(entry, wanted, decision)]
        elif entry.state is PlanState.RUNNING:
            there = there or same or (wanted is not None and _covers(entry.plan, wanted))
            if wanted is not None and not same and _elsewhere(entry, wanted):
                changes += _stop(entry, wanted, decision)
    if wanted is not None and not there:
        changes.append(Change(entry_for(wanted, state), "plan", _steps_words(wanted), new=True))
    return changes


def held_up(decision: Decision) -> bool:
    """Whether only guards whose no may lift by itself refuse it: its plan waits, and keeps its approval."""
    if decision.verdict is not Verdict.REFUSED or decision.plan is None:
        return False
    against = {word.guard for word in decision.guards if not word.allows}
    return bool(against - HOLDING) and against - HOLDING <= PASSING


def _follow_undo(decision: Decision, wanted: Plan | None, state: PlanState, held: Sequence[PlanEntry]) -> list[Change]:
    """A plan that takes another back stands beside the others; one that a person was asked for already stays."""
    if wanted is None:
        return []
    for entry in held:
        if entry.plan.id == wanted.id and entry.state not in OVER:
            return _stands(entry, state, decision) if entry.state in _NOT_BEGUN else []
    undo = msgspec.structs.replace(entry_for(wanted, state), is_undo=True, undoes=wanted.undoes)
    return [Change(undo, "plan", f"takes back what {wanted.undoes} did: {_steps_words(wanted)}", new=True)]


def _stands(entry: PlanEntry, state: PlanState, decision: Decision) -> list[Change]:
    """The very same plan: only whether a person has to be asked may have changed."""
    if state is PlanState.READY and entry.state is PlanState.AWAITING:
        detail = f"no approval is needed any more: mode {decision.mode}"
        return [Change(_at(entry, PlanState.READY, "", decision), "ready", detail)]
    if state is PlanState.AWAITING and entry.state is PlanState.READY and entry.approval is None:
        detail = f"a person has to approve it now: mode {decision.mode}"
        return [Change(_at(entry, PlanState.AWAITING, "", decision), "await", detail)]
    return []


def _lapse(entry: PlanEntry, wanted: Plan | None, decision: Decision) -> Change:
    if wanted is None:
        reason = f"the decision has changed: {decision.reason}"
    else:
        reason = f"{wanted.id} takes its place: {difference(entry.plan, wanted)}"
    return Change(_at(entry, PlanState.LAPSED, reason, decision), "lapse", reason)


def _stop(entry: PlanEntry, wanted: Plan, decision: Decision) -> list[Change]:
    """It was begun for a root that is none any more."""
    undo = undo_of(entry, decision.decided_ns, UNDO_STANDS_NS)
    reason = f"{wanted.id} takes its place, elsewhere: {difference(entry.plan, wanted)}"
    if undo is not None:
        reason = f"{reason}; undo proposed: {undo.plan.id}"
    stopped = Change(_at(entry, PlanState.STOPPED, reason, decision), "stop", reason)
    return [stopped, *([Change(undo, "plan", undo.reason, new=True)] if undo is not None else [])]


def _covers(running: Plan, wanted: Plan) -> bool:
    """Whether everything that is wanted is being done: a plan under way makes the next one for its incident smaller."""
    doing = {(step.kind, step.target) for step in running.steps}
    return all((step.kind, step.target) in doing for step in wanted.steps)


def _elsewhere(entry: PlanEntry, wanted: Plan) -> bool:
    """Whether they are about other nodes, or about other jobs. A plan for the job alone is no other place than the
    cordon before it: what is done already is left out of the next plan."""
    old, new = _targets(entry.plan), _targets(wanted)
    for of_nodes in (True, False):
        before, after = ({target for target in each if (target.kind == "Node") is of_nodes} for each in (old, new))
        if before and after and not before & after:
            return True
    return False


def difference(old: Plan, new: Plan) -> str:
    """What another plan does otherwise, in a few words."""
    before, after = ({_named(step) for step in plan.steps} for plan in (old, new))
    said = [
        *(f"no more {words}" for words in sorted(before - after)),
        *(f"now {words}" for words in sorted(after - before)),
    ]
    if said:
        return ", ".join(said[:6]) + (f" and {len(said) - 6} more" if len(said) > 6 else "")
    uids = [step.target for step in old.steps] != [step.target for step in new.steps]
    return "another object bears the same name now" if uids else "the steps' arguments or their order have changed"


def _named(step: Step) -> str:
    words = "restart" if step.kind is StepKind.RESTART_JOB else step.kind.value.replace("_", " ")
    return f"{words} {step.target}"


def _targets(plan: Plan) -> set[Target]:
    return {step.target for step in plan.steps}


def _steps_words(plan: Plan) -> str:
    return "; ".join(step.words or _named(step) for step in plan.steps)


def _at(entry: PlanEntry, state: PlanState, reason: str, decision: Decision) -> PlanEntry:
    assert entry.state not in OVER  # noqa: S101 - callers choose by state
    return msgspec.structs.replace(entry, state=state, reason=reason, updated_ns=decision.decided_ns)
