"""Taking back: what was done and no open incident asks for any more becomes a plan of its own.

Two reasons. The incident is resolved, has stayed so for the rule's `healthy_seconds`, and the rule says
`undo_when_resolved`. Or the root was found late, elsewhere, and a step was taken on the old one: then a person is
asked, also in an agent that enforces. Only what Watchstander did itself is taken back, as `ClusterView.taken` and the
node tell, and never while another open incident is about the node.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from collectors.model import Subject, SubjectKind
from policies.cluster_view import OWN_CORDON, ClusterView, NodeView, Taken
from policies.facts import Facts
from policies.guards import GuardContext, judge_all, refusing, stricter
from policies.history import standing
from policies.model import Action, ActionKind, Decision, Mode, Verdict
from policies.plan import UNDO, Plan, Step, StepKind, make_plan
from policies.reach import blast_of, reach_of
from policies.rules import Policy, Rule

NS = 1_000_000_000
LOOK_SECONDS = 5
MOST_REMEMBERED = 2_000
"""Plans that may be taken back; the oldest are forgotten first, people find their cordons by the annotation."""
_FORWARD = {back: step for step, back in UNDO.items()}
_ACTIONS = {
    StepKind.UNCORDON: ActionKind.CORDON,
    StepKind.UNTAINT: ActionKind.TAINT,
    StepKind.UNLABEL: ActionKind.LABEL,
    StepKind.CLEAR_CONDITION: ActionKind.CONDITION,
}


@dataclass(slots=True)
class _Acted:
    plan: Plan
    said: Decision | None = None
    """The last decision to take it back."""


class UndoBook:
    """Plans that were decided, by id, with what became of their incidents."""

    def __init__(self) -> None:
        self._acted: dict[str, _Acted] = {}
        self._standing: dict[str, frozenset[str]] = {}
        """Open incidents: uids of nodes that they are about."""
        self._facts: dict[str, Facts] = {}
        """Of incidents with plans here."""
        self._over: set[str] = set()
        self._looked_ns = 0

    def note(self, plan: Plan) -> None:
        """A plan was decided, or a person is asked for it."""
        if plan.undo:
            held = self._acted.pop(plan.id, None)
            self._acted[plan.id] = held or _Acted(plan)
            if len(self._acted) > MOST_REMEMBERED:
                self._forget(next(iter(self._acted)))

    def restore(self, decision: Decision) -> None:
        """From the store, oldest first: a plan, or the decision to take one back."""
        plan = decision.plan
        if plan is None:
            return
        if not plan.undoes:
            self.note(plan)
        elif plan.undoes in self._acted:
            self._acted[plan.undoes].said = decision

    def stand(self, facts: Facts, nodes: frozenset[str]) -> None:
        """An incident is open and is about these nodes."""
        self._over.discard(facts.incident.id)
        if nodes:
            self._standing[facts.incident.id] = nodes
        else:
            self._standing.pop(facts.incident.id, None)
        self._learn(facts)

    def over(self, facts: Facts) -> None:
        """An incident is resolved, or its findings belong to another."""
        self._standing.pop(facts.incident.id, None)
        self._learn(facts)
        if facts.incident.id in self._facts:
            self._over.add(facts.incident.id)

    def decide(
        self, view: ClusterView, taken: Sequence[Taken], policy: Policy, mode: Mode, now_ns: int
    ) -> list[Decision]:
        """Decisions that have changed since the last look."""
        if not self._acted or now_ns - self._looked_ns < LOOK_SECONDS * NS:
            return []
        self._looked_ns = now_ns
        asked = frozenset(uid for nodes in self._standing.values() for uid in nodes)
        made: list[Decision] = []
        for plan_id, acted in list(self._acted.items()):
            incident = acted.plan.incident
            facts = self._facts.get(incident)
            if facts is None:
                continue  # since a restart nobody has spoken of it yet
            steps = _steps(acted.plan, view, standing(taken, incident))
            if not steps:
                if incident in self._over and self._is_settled(facts, acted, now_ns):
                    self._forget(plan_id)
                continue
            free = tuple(step for step in steps if step.target.uid not in asked)
            if free:
                decision = self._decision(acted.plan, free, facts, view, policy, mode, now_ns)
                if decision is not None and (acted.said is None or _essence(acted.said) != _essence(decision)):
                    acted.said = decision
                    made.append(decision)
        return made

    def context(
        self,
        plan: Plan,
        view: ClusterView | None,
        policy: Policy,
        mode: Mode,
        now_ns: int,
        done: frozenset[int],
        approved_by: str,
    ) -> GuardContext | None:
        """For the guards, right before a step of an undo; None where its incident is not known."""
        facts = self._facts.get(plan.incident)
        if facts is None:
            return None
        return GuardContext(
            facts=replace(facts, now_ns=now_ns),
            rule=_rule(policy, plan.rule),
            mode=self._mode(facts, mode),
            now_ns=now_ns,
            settings=policy.guards,
            view=view,
            plan=plan,
            done=done,
            approved_by=approved_by,
        )

    def stands(self, plan: Plan) -> str:
        """Why an undo is no longer what is wanted; empty while it is."""
        acted = self._acted.get(plan.undoes)
        if acted is None or acted.said is None or acted.said.plan is None:
            return ""
        asked = {uid for nodes in self._standing.values() for uid in nodes}
        again = sorted(step.target.name for step in plan.steps if step.target.uid in asked)
        if again:
            return f"an open incident is about node {again[0]} again"
        return "" if acted.said.plan.digest == plan.digest else f"decision {acted.said.id} has taken its place"

    def _decision(
        self,
        acted: Plan,
        steps: tuple[Step, ...],
        facts: Facts,
        view: ClusterView,
        policy: Policy,
        mode: Mode,
        now_ns: int,
    ) -> Decision | None:
        rule = _rule(policy, acted.rule)
        late = self._late(facts)
        if not late and not (facts.incident.id in self._over and rule.undo_when_resolved):
            return None
        if not late and facts.incident.resolved_ns is not None:
            age_ns = now_ns - facts.incident.resolved_ns
            if age_ns < rule.healthy_seconds * NS:
                return None
        identity = hashlib.sha256(f"undo/{acted.id}/{now_ns}".encode()).digest()
        decision_id = "DEC-" + base64.b32encode(identity[:5]).decode("ascii")
        blast = blast_of(reach_of(steps, view))
        deadline_ns = now_ns + policy.guards.plan.lapse_seconds * NS
        plan = make_plan(
            acted.incident, decision_id, rule.name, steps, blast, now_ns, deadline_ns=deadline_ns, undoes=acted.id
        )
        held = self._mode(facts, mode)
        context = GuardContext(
            facts=replace(facts, now_ns=now_ns),
            rule=rule,
            mode=held,
            now_ns=now_ns,
            settings=policy.guards,
            view=view,
            plan=plan,
        )
        words = judge_all(context)
        held = stricter(held, rule.mode)
        verdict = {Mode.AUDIT: Verdict.WOULD_DO, Mode.APPROVE: Verdict.ASK, Mode.ENFORCE: Verdict.DO}[held]
        if refusing(words):
            verdict = Verdict.REFUSED
        doing = " and ".join(dict.fromkeys(step.words for step in steps))
        against = "; ".join(word.reason for word in words if not word.allows)
        why = "the root was found elsewhere since" if late else "the incident is resolved and has stayed so"
        mood = {Verdict.DO: "will take back", Verdict.ASK: "asks to take back"}.get(verdict, "would take back")
        not_done = f"; not done: {against}" if against and verdict is not Verdict.ASK else ""
        return Decision(
            id=decision_id,
            incident=acted.incident,
            rule=rule.name,
            mode=held,
            verdict=verdict,
            actions=tuple(_action(step, facts.incident.subject.cluster) for step in steps),
            guards=words,
            reason=f"{mood} plan {acted.id} ({doing}): {why}{not_done}",
            decided_ns=now_ns,
            origin=facts.incident.origin,
            plan=plan,
        )

    def _late(self, facts: Facts) -> bool:
        """Whether the steps were taken on what is not the root: it is open and elsewhere, or joined another."""
        return facts.incident.id not in self._over or not facts.incident.findings

    def _mode(self, facts: Facts, mode: Mode) -> Mode:
        return stricter(mode, Mode.APPROVE) if self._late(facts) else mode

    def _is_settled(self, facts: Facts, acted: _Acted, now_ns: int) -> bool:
        """Whether nothing of a plan can still show as done: it was over long ago, or was taken back."""
        return acted.said is not None or now_ns - (facts.incident.resolved_ns or now_ns) > 3600 * NS

    def _learn(self, facts: Facts) -> None:
        if any(acted.plan.incident == facts.incident.id for acted in self._acted.values()):
            self._facts[facts.incident.id] = facts

    def _forget(self, plan_id: str) -> None:
        incident = self._acted.pop(plan_id).plan.incident
        if not any(acted.plan.incident == incident for acted in self._acted.values()):
            self._facts.pop(incident, None)
            self._over.discard(incident)


def _steps(plan: Plan, view: ClusterView, done: dict[tuple[str, str], int]) -> tuple[Step, ...]:
    """The steps that would take a plan back and still have something to take back."""
    found = []
    for step in plan.undo:
        node = view.node(step.target.uid)
        if node is not None and (_FORWARD[step.kind].value, step.target.uid) in done and _shows(step, node):
            words = f"{step.kind.value.replace('_', ' ')} node {node.name}"
            found.append(Step(step.kind, step.target, step.arguments, words))
    return tuple(found)


def _shows(step: Step, node: NodeView) -> bool:
    """Whether the node still bears what the step takes back. Cordons: only our own."""
    told = step.arguments
    if step.kind is StepKind.UNCORDON:
        return node.unschedulable and OWN_CORDON in node.annotations
    if step.kind is StepKind.UNTAINT:
        return f"{told.get('key')}={told.get('value', '')}:{told.get('effect')}" in node.taints
    if step.kind is StepKind.UNLABEL:
        return node.labels.get(told.get("key", "")) == told.get("value")
    return True


def _rule(policy: Policy, name: str) -> Rule:
    """The rule by its name; one that is no longer in the file asks a person and takes nothing back by itself."""
    found = next((one.rule for one in policy.rules if one.rule.name == name), None)
    return found or Rule(name=name, description="no longer in the policy", actions=(), mode=Mode.APPROVE)


def _action(step: Step, cluster: str) -> Action:
    subject = Subject(cluster, SubjectKind.NODE, step.target.uid)
    return Action(_ACTIONS[step.kind], subject, step.target.name, undo=f"this takes it back: {step.words}")


def _essence(decision: Decision) -> tuple[object, ...]:
    digest = decision.plan.digest if decision.plan is not None else ""
    return decision.verdict, digest, tuple((word.guard, word.allows) for word in decision.guards)
