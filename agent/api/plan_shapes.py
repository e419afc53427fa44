"""Plans as the API gives them."""

import msgspec

from agent.api.shapes import EvidenceShape, GuardShape
from detectors.model import Finding, Incident
from policies.journal import PlanEntry, PlanState, StepState
from policies.model import Decision
from policies.plan import UNDO, Plan, StepKind

MOST_EVIDENCE = 20
"""Pieces of evidence on a card."""


class TargetShape(msgspec.Struct, frozen=True):
    """One object of the cluster."""

    kind: str
    namespace: str
    name: str
    uid: str


class StepShape(msgspec.Struct, frozen=True):
    """One step, and how far it is."""

    kind: StepKind
    target: TargetShape
    arguments: dict[str, str]
    words: str
    state: StepState
    detail: str
    began_ns: int
    ended_ns: int
    attempts: int
    """Failures in a row."""
    undo: str
    """What would take it back, in words; empty: nothing does."""


class BlastShape(msgspec.Struct, frozen=True):
    """Whom the plan touches, as known when it was made."""

    nodes: int
    pods: int
    jobs: int
    ranks: int
    gpus: int
    names: list[str]


class ApprovalShape(msgspec.Struct, frozen=True):
    """Who said yes to it."""

    who: str
    how: str
    """How they proved who they are and that they may."""
    time_ns: int
    expires_ns: int


class PlanShape(msgspec.Struct, frozen=True):
    """A plan as it stands."""

    id: str
    incident: str
    decision: str
    rule: str
    state: PlanState
    reason: str
    digest: str
    """Of steps, targets and uids: what an approval is bound to."""
    steps: list[StepShape]
    blast: BlastShape
    made_ns: int
    deadline_ns: int
    """Not begun by then, it lapses; 0: never."""
    updated_ns: int
    undoes: str
    """Id of the plan that it takes back; empty: none."""
    holder: str
    generation: int
    approval: ApprovalShape | None

    @classmethod
    def of(cls, entry: PlanEntry) -> "PlanShape":
        """From the journal."""
        plan, approval = entry.plan, entry.approval
        return cls(
            id=plan.id,
            incident=plan.incident,
            decision=plan.decision,
            rule=plan.rule,
            state=entry.state,
            reason=entry.reason,
            digest=plan.digest,
            steps=[
                StepShape(
                    kind=step.kind,
                    target=TargetShape(step.target.kind, step.target.namespace, step.target.name, step.target.uid),
                    arguments=dict(step.arguments),
                    words=step.words or f"{step.kind.value.replace('_', ' ')} {step.target}",
                    state=at.state,
                    detail=at.detail,
                    began_ns=at.began_ns,
                    ended_ns=at.ended_ns,
                    attempts=at.attempts,
                    undo=_undo(plan, index),
                )
                for index, (step, at) in enumerate(zip(plan.steps, entry.steps))
            ],
            blast=BlastShape(
                plan.blast.nodes,
                plan.blast.pods,
                plan.blast.jobs,
                plan.blast.ranks,
                plan.blast.gpus,
                list(plan.blast.names),
            ),
            made_ns=plan.made_ns,
            deadline_ns=plan.deadline_ns,
            updated_ns=entry.updated_ns,
            undoes=entry.undoes,
            holder=entry.holder,
            generation=entry.generation,
            approval=(
                ApprovalShape(approval.who, approval.how, approval.time_ns, approval.expires_ns) if approval else None
            ),
        )


class CardShape(msgspec.Struct, frozen=True):
    """All that a person needs to say yes or no."""

    plan: PlanShape
    title: str
    """The incident's."""
    why: str
    """The decision's own sentence; for an undo, what it takes back."""
    guards: list[GuardShape]
    """What each guard said when it was decided."""
    evidence: list[EvidenceShape]
    """Of the incident's findings, the root's first; log lines in it are hostile."""

    @classmethod
    def of(
        cls, entry: PlanEntry, incident: Incident | None, findings: list[Finding], decisions: list[Decision]
    ) -> "CardShape":
        """`decisions`: all about the incident."""
        decision = decision_of(entry, decisions)
        shown = [evidence for finding in findings for evidence in finding.evidence][:MOST_EVIDENCE]
        undoes = f"takes back what {entry.undoes} did: {entry.reason}" if entry.undoes else ""
        return cls(
            plan=PlanShape.of(entry),
            title=incident.title if incident is not None else "the incident is no longer in the store",
            why=undoes or (decision.reason if decision is not None else entry.reason),
            guards=[GuardShape(w.guard, w.allows, w.reason) for w in decision.guards] if decision else [],
            evidence=[EvidenceShape.of(evidence) for evidence in shown],
        )


def decision_of(entry: PlanEntry, decisions: list[Decision]) -> Decision | None:
    """The one that the plan was made from, or the newest with the same plan."""
    by_id = {decision.id: decision for decision in decisions}
    same = [one for one in decisions if one.plan is not None and one.plan.digest == entry.plan.digest]
    return same[-1] if same else by_id.get(entry.plan.decision)


def _undo(plan: Plan, index: int) -> str:
    kind = plan.steps[index].kind
    return f"{UNDO[kind].value.replace('_', ' ')} {plan.steps[index].target}" if kind in UNDO else ""
