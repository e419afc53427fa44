"""Why the policy decides as it does about one incident: every rule, every guard."""

import msgspec

from agent.access.cut import WITHHELD
from agent.access.sight import OutOfReach
from agent.api.operation import Call, NoQuery, operation
from agent.api.routes.incidents import found
from agent.api.shapes import DecisionShape
from agent.server.policy_file import PolicyFile
from agent.watch import Watch
from detectors.model import Incident, Inventory
from policies.engine import PolicyEngine
from policies.explain import Explained, RuleWord
from policies.guards import GUARDS
from policies.model import Mode, Verdict


class GuardSaid(msgspec.Struct, frozen=True):
    """One guard at one incident."""

    guard: str
    says_no_when: str
    allows: bool | None
    """null: it was not asked, since nothing is wanted that it has a word in."""
    reason: str


class PolicyExplanation(msgspec.Struct, frozen=True):
    """Every rule in the order in which they are asked, every guard, and what would come of it now."""

    incident: str
    policy: str
    """The policy file; empty for the policy that ships."""
    digest: str
    """sha256 of that file, hex."""
    mode: Mode
    verdict: Verdict
    """What a decision would come to now."""
    rules: list[RuleWord]
    guards: list[GuardSaid]
    """All, by id, as they stand now."""
    left_out: list[str]
    """What the rule asks for and is not in the plan, and why."""
    hidden: int
    """Lines of plan, undo and what is left out that are not shown to readers of single namespaces, whom they may not
    concern; the reasons of rules and guards are withheld from them too."""
    steps: list[str]
    """Of the plan, in their order, in words; none without a view of the cluster."""
    undo: list[str]
    decision: DecisionShape | None
    """The last one that was written down; its guards' words are those of its time."""


def explain_policy(call: Call[NoQuery]) -> PolicyExplanation:
    """GET /v1/incidents/{id}/policy"""
    seen, limited = found(call), call.visible.limited
    if not seen.whole:
        raise OutOfReach(f"why the policy decides so about {seen.incident.id} rests on more than you may read")
    incident, findings = seen.incident, seen.findings
    decisions = call.visible.decisions(seen)
    watch = _watch(call, incident)
    if watch is not None:
        now_ns = call.now_ns if watch.policy.takes_for_live(incident.origin) else incident.updated_ns
        told = watch.policy.explain(incident, findings, watch.engine.inventory, now_ns)
    else:
        file: PolicyFile = call.request.app.state.policy
        engine = PolicyEngine(file.policy.rules, guards=file.policy.guards)
        told = engine.explain(incident, findings, Inventory(), incident.updated_ns)
    steps = [step.words for step in told.plan.steps] if told.plan is not None else []
    undo = [step.words for step in told.plan.undo] if told.plan is not None else []
    return PolicyExplanation(
        incident=incident.id,
        policy=told.file,
        digest=told.digest,
        mode=told.mode,
        verdict=told.verdict,
        rules=[msgspec.structs.replace(rule, reason=WITHHELD) for rule in told.rules] if limited else told.rules,
        guards=_guards(told, limited=limited),
        left_out=[] if limited else list(told.left_out),
        hidden=len(told.left_out) + len(steps) + len(undo) if limited else 0,
        steps=[] if limited else steps,
        undo=[] if limited else undo,
        decision=DecisionShape.of(decisions[-1]) if decisions else None,
    )


def _guards(told: Explained, *, limited: bool) -> list[GuardSaid]:
    said = {word.guard: msgspec.structs.replace(word, reason=WITHHELD) if limited else word for word in told.guards}
    unasked = "not asked: nothing is wanted that touches the cluster"
    if said and told.plan is None and "G18" not in said:
        unasked = "not asked: no view of the cluster, decided in audit by what telemetry knows"
    return [
        GuardSaid(
            guard=guard.id,
            says_no_when=guard.says_no_when,
            allows=said[guard.id].allows if guard.id in said else None,
            reason=said[guard.id].reason if guard.id in said else unasked,
        )
        for guard in GUARDS.values()
    ]


def _watch(call: Call[NoQuery], incident: Incident) -> Watch | None:
    spaces = call.request.app.state.watches
    watch = spaces.get(incident.origin, incident.subject.cluster) if spaces is not None else None
    return watch if isinstance(watch, Watch) else None


ROUTES = [
    operation(
        "GET",
        "/v1/incidents/{id}/policy",
        explain_policy,
        query=NoQuery,
        answer=PolicyExplanation,
        summary="Why the policy decides so: every rule, every guard, the plan as it would be now",
        right="read",
        errors=(404,),
        cut=True,
    )
]
