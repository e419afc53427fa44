"""An engine beside a cluster that obeys at once: what is decided to be done shows in the view at the next tick."""

from dataclasses import dataclass, field

import msgspec
from cluster_cases import cluster
from policy_cases import SECOND

from detectors.correlation import Correlator
from detectors.model import Finding, Incident, Inventory
from policies.cluster_view import OWN_CORDON, LaidOutCluster, NodeView, Place, Taken, Tally
from policies.engine import PolicyEngine
from policies.model import Decision, Mode, Verdict
from policies.plan import Plan, StepKind
from policies.rules import Policy

_NO_MORE = {StepKind.UNCORDON: StepKind.CORDON}


class Indexed:
    """A laid out cluster as it stands now, with everything at hand: fast for a thousand nodes."""

    def __init__(self, laid: LaidOutCluster) -> None:
        self._laid = laid
        self._nodes = {node.uid: node for node in laid.all_nodes}
        self._tallies: dict[tuple[Place, str], Tally] = {}

    def __getattr__(self, name: str):
        return getattr(self._laid, name)

    def node(self, uid: str) -> NodeView | None:
        return self._nodes.get(uid)

    def tally(self, place: Place, name: str = "") -> Tally:
        if (place, name) not in self._tallies:
            self._tallies[place, name] = self._laid.tally(place, name)
        return self._tallies[place, name]


@dataclass
class World:
    """Time goes by ticks; incidents come from a real correlator."""

    policy: Policy
    view: LaidOutCluster = field(default_factory=cluster)
    known: Inventory = field(default_factory=Inventory)
    mode: Mode = Mode.ENFORCE
    obeys: bool = True
    """Whether plans that are to be done are carried out at once."""
    decisions: list[Decision] = field(default_factory=list)
    cordoned_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.correlator = Correlator("c")
        self.shown = Indexed(self.view)
        self.engine = PolicyEngine(self.policy.rules, self.mode, guards=self.policy.guards, view=lambda: self.shown)
        self.findings: dict[str, Finding] = {}
        self.incidents: dict[str, Incident] = {}

    def tick(self, now: float, *findings: Finding) -> list[Decision]:
        """Look at what is new, then at what is due; the decisions that are news."""
        now_ns = int(now * SECOND)
        self.shown = Indexed(self.view)
        self.findings.update((one.id, one) for one in findings)
        changed = {one.id: one for one in self.correlator.update(list(findings), now_ns)}
        self.incidents.update(changed)
        again = {id_: self.incidents[id_] for id_ in self.engine.due(now_ns) if id_ in self.incidents}
        made = []
        for incident in {**changed, **again}.values():
            own = [self.findings[id_] for id_ in incident.findings]
            decision = self.engine.decide(incident, own, self.known, now_ns)
            if decision is not None:
                made.append(decision)
        made += self.engine.undo_due(now_ns)
        for decision in made if self.obeys else []:
            if decision.verdict is Verdict.DO and decision.plan is not None:
                self.carry_out(decision.plan, now)
        self.decisions += made
        return made

    def run(self, start: float, end: float, step: float = 5) -> list[Decision]:
        """Ticks without news."""
        made: list[Decision] = []
        now = start
        while now <= end:
            made += self.tick(now)
            now += step
        return made

    def carry_out(self, plan: Plan, now: float) -> None:
        """As the executor does: each step shows, is journaled, and the engine hears that the plan is over."""
        kind = self.incidents[plan.incident].kind.value
        for step in plan.steps:
            uid = step.target.uid
            job = step.kind is StepKind.RESTART_JOB
            self.view.done.append(
                Taken(
                    int(now * SECOND),
                    step.kind.value,
                    "" if job else uid,
                    plan.incident,
                    kind,
                    uid if job else "",
                    plan.rule,
                )
            )
            for index, node in enumerate(self.view.all_nodes):
                if node.uid == uid and step.kind is StepKind.CORDON and not node.unschedulable:
                    marked = {**node.annotations, OWN_CORDON: plan.id}
                    self.view.all_nodes[index] = msgspec.structs.replace(
                        node, unschedulable=True, held_by="watchstander", annotations=marked
                    )
                    self.cordoned_at.append(now)
                elif node.uid == uid and step.kind is StepKind.UNCORDON:
                    left = {key: value for key, value in node.annotations.items() if key != OWN_CORDON}
                    self.view.all_nodes[index] = msgspec.structs.replace(
                        node, unschedulable=False, held_by="", annotations=left
                    )
        self.engine.plan_ended(plan.id)

    def cordoned(self) -> list[str]:
        """Names of the nodes that are closed."""
        return [node.name for node in self.view.all_nodes if node.unschedulable]

    def verdicts(self) -> list[str]:
        """Of all decisions so far, in order."""
        return [decision.verdict.value for decision in self.decisions]
