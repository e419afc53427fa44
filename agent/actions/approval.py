"""A person's yes or no to a plan: bound to the digest of the plan that was shown, to who they are, and to a time.

Where the person is known to the API server, it is asked once more, now, whether they may: an answer that is a minute
old is good enough to look, not to act.
"""

from collections.abc import Callable

import msgspec

from agent.access.authorise import Identity, Permission, Refused, Role, Target, authorise
from agent.access.kubernetes import GROUP, RIGHTS, KubernetesIdentities
from agent.store.journal import StoreJournal
from collectors.errors import GiveUp
from policies.cluster.reviews import Access, KubeUser
from policies.executor import half_way, undo_of
from policies.journal import OVER, Approval, PlanEntry, PlanState, Stale
from policies.plan import Plan
from policies.succession import UNDO_STANDS_NS, difference

NS = 1_000_000_000
LONGEST_NOTE = 2_000
NOT_BEGUN = frozenset({PlanState.AWAITING, PlanState.READY})


class Conflict(GiveUp):
    """The plan stands otherwise: what was shown is not what is there."""


class NotAllowed(GiveUp):
    """This person may not; the message says why, and what would help."""


class ApprovalDesk:
    """Takes yes and no. Safe for threads; raises Conflict, NotAllowed, GiveUp, and what store and API server raise."""

    def __init__(
        self,
        journal: StoreJournal,
        *,
        seconds: float,
        without_kubernetes: bool,
        kubernetes: KubernetesIdentities | None = None,
        own_rights: Callable[[KubernetesIdentities, KubeUser, Plan], str] | None = None,
        approved: Callable[[PlanEntry], None] = lambda _entry: None,
    ) -> None:
        """`seconds`: how long a yes holds for a plan that has not begun. `without_kubernetes`: whether a token of the
        agent's own may say it. `own_rights`: what of a plan somebody may not do by hand, as words; None: that does not
        matter. `approved` hears of each yes."""
        self._journal = journal
        self._seconds = seconds
        self._without = without_kubernetes
        self._kubernetes = kubernetes
        self._own_rights = own_rights
        self._approved = approved

    def approve(self, entry: PlanEntry, digest: str, who: Identity, now_ns: int, note: str = "") -> PlanEntry:
        """Yes to the plan of this digest. `entry`: as the caller found it by the id that the person gave."""
        _note(note)
        plan = entry.plan
        if digest != plan.digest:
            raise Conflict(
                f"{plan.id} has the digest {plan.digest[:12]}, what was shown to you had {digest[:12]}: "
                f"look at it again{self._since(entry, digest)}"
            )
        how = self.proof(who, plan)
        if self._own_rights is not None and who.user is not None and self._kubernetes is not None:
            missing = self._own_rights(self._kubernetes, who.user, plan)
            if missing:
                raise NotAllowed(f"{who.name} {missing}: who approves {plan.id} must be allowed to do it by hand")
            how = f"{how}, own rights"
        if entry.state is not PlanState.AWAITING:
            raise Conflict(f"{plan.id} is {entry.state.value}{f': {entry.reason}' if entry.reason else ''}")
        if plan.deadline_ns and now_ns > plan.deadline_ns:
            raise Conflict(f"{plan.id} has lapsed: nobody approved it in time")
        approval = Approval(who.name, digest, now_ns, now_ns + int(self._seconds * NS), how)
        ready = msgspec.structs.replace(
            entry, state=PlanState.READY, approval=approval, reason="", again_ns=0, updated_ns=now_ns
        )
        said = f"approved ({how}){f': {note}' if note else ''}"
        written = self._write(ready, who.name, "approve", said)
        self._approved(written)
        return written

    def reject(self, entry: PlanEntry, who: Identity, now_ns: int, note: str = "") -> PlanEntry:
        """No, or no more: a plan that has not begun lapses; one that has stops before its next step."""
        _note(note)
        self.proof(who, entry.plan)
        if entry.state in OVER:
            raise Conflict(f"{entry.plan.id} is {entry.state.value} already")
        if bound := half_way(entry):
            raise Conflict(f"{entry.plan.id} cannot stop just now: {bound}; say no again in a moment")
        state = PlanState.LAPSED if entry.state in NOT_BEGUN else PlanState.STOPPED
        said = f"rejected by {who.name}{f': {note}' if note else ''}"
        undo = undo_of(entry, now_ns, UNDO_STANDS_NS) if state is PlanState.STOPPED else None
        if undo is not None:
            self._journal.open(undo)
            said = f"{said}; undo proposed: {undo.plan.id}"
        after = msgspec.structs.replace(entry, state=state, reason=said, again_ns=0, updated_ns=now_ns)
        return self._write(after, who.name, "reject", said)

    def proof(self, who: Identity, plan: Plan) -> str:
        """How it is known that this person may do that to all that the plan changes; NotAllowed where they may not."""
        spaces = {step.target.namespace for step in plan.steps} if who.namespaces is not None else {""}
        for namespace in sorted(spaces) or [""]:
            said = authorise(who, Permission.APPROVE, Target(namespace=namespace))
            if isinstance(said, Refused):
                raise NotAllowed(f"{said.reason}: {said.do}")
        if who.user is None:
            if not self._without:
                raise NotAllowed(
                    f"{who.name} is known by {who.proof} only: approve with your Kubernetes identity, or let "
                    "actions.approve_without_kubernetes allow it"
                )
            return who.proof
        if self._kubernetes is None:
            raise NotAllowed(f"{who.name} is a Kubernetes identity, and access.kubernetes is off: switch it on")
        verb, resource = RIGHTS[Role.APPROVE]
        for namespace in sorted(spaces):
            if not self._kubernetes.may(who.user, Access(verb, GROUP, resource, namespace)):
                where = f" in namespace {namespace}" if namespace else ""
                raise NotAllowed(f"{who.name} may not {verb} {resource}.{GROUP}{where}: grant it in a cluster role")
        return f"{who.proof} and SubjectAccessReview"

    def _since(self, entry: PlanEntry, digest: str) -> str:
        """What has changed since the plan of `digest`, where the journal has it."""
        for other in self._journal.listed(incident=entry.plan.incident):
            if other.plan.digest == digest and other.plan.id != entry.plan.id:
                return f"; since then: {difference(other.plan, entry.plan)}"
        return ""

    def _write(self, entry: PlanEntry, who: str, what: str, said: str) -> PlanEntry:
        try:
            return self._journal.write(entry, actor=who, what=what, detail=said)
        except Stale as error:
            raise Conflict(f"{entry.plan.id} has changed at this very moment ({error}): look at it again") from None


def _note(note: str) -> None:
    if len(note) > LONGEST_NOTE:
        raise GiveUp(f"a note may have {LONGEST_NOTE:,} characters, this one has {len(note):,}: shorten it")
