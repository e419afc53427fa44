"""Incidents in, decisions out. Nothing here touches a cluster.

Every decision says in a sentence what would be done and why, or why nothing. The decision to do nothing is one too.
"""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from collectors.model import LIVE_ONLY, Origin
from detectors.correlation import cause_words, where
from detectors.model import Finding, Incident, IncidentState, Inventory
from policies.facts import WITNESS, Facts, gather
from policies.guards import GUARDS, HOLDING, stricter
from policies.model import Action, ActionKind, Decision, GuardWord, Mode, Verdict
from policies.rules import Compiled, Rule

REMEMBERED = 10_000
"""Incidents whose last decision is kept, so that nothing is decided twice. Beyond it the oldest are forgotten."""

_VERB: dict[ActionKind, str] = {
    ActionKind.NOTIFY: "tell people",
    ActionKind.CORDON: "cordon node {name}",
    ActionKind.TAINT: "taint node {name}",
    ActionKind.LABEL: "label node {name}",
    ActionKind.CONDITION: "set a condition on node {name}",
    ActionKind.EVICT: "evict the pods of node {name}",
    ActionKind.RESTART_JOB: "restart job {name}",
    ActionKind.RESET_GPU: "have the GPU reset on node {name}",
    ActionKind.REBOOT_NODE: "have node {name} rebooted",
}

_UNDO: dict[ActionKind, str] = {
    ActionKind.NOTIFY: "",
    ActionKind.CORDON: "uncordon node {name}",
    ActionKind.TAINT: "remove the taint from node {name}",
    ActionKind.LABEL: "remove the label from node {name}",
    ActionKind.CONDITION: "clear the condition of node {name}",
    ActionKind.EVICT: "none: evicted pods are scheduled anew by their owners",
    ActionKind.RESTART_JOB: "none: the job goes on from its last checkpoint",
    ActionKind.RESET_GPU: "none: a reset is over when it is done",
    ActionKind.REBOOT_NODE: "none: a reboot is over when it is done",
}


class PolicyEngine:
    """Applies a policy's rules to incidents. The first rule that matches decides."""

    def __init__(
        self, rules: Sequence[Compiled], mode: Mode = Mode.AUDIT, as_live: frozenset[Origin] = LIVE_ONLY
    ) -> None:
        """`as_live`: origins that are decided in this mode; all others in audit."""
        self.mode = mode
        self._as_live = as_live
        self._rules = tuple(rules)
        self._last: OrderedDict[str, Decision] = OrderedDict()
        self._due_ns: dict[str, int] = {}

    def decide(
        self, incident: Incident, findings: Sequence[Finding], inventory: Inventory, now_ns: int
    ) -> Decision | None:
        """What to do about an incident; None where neither verdict, actions nor a guard's yes or no has changed.

        `findings` must hold the incident's own and may hold others. `now_ns` is the agent's clock, Unix ns.
        """
        facts = gather(incident, findings, inventory, now_ns, self._as_live)
        decision = self._decision(facts)
        last = self._last.get(incident.id)
        if last is not None and _essence(last) == _essence(decision):
            return None
        self._last[incident.id] = decision
        self._last.move_to_end(incident.id)
        while len(self._last) > REMEMBERED:
            self._due_ns.pop(self._last.popitem(last=False)[0], None)
        return decision

    def due(self, now_ns: int) -> tuple[str, ...]:
        """Incidents whose rule has waited long enough (G11) since it said no: decide them again though unchanged."""
        return tuple(sorted(incident for incident, due_ns in self._due_ns.items() if now_ns >= due_ns))

    def restore(self, decisions: Iterable[Decision]) -> None:
        """Take the last decisions from the store, oldest first, so that a restart does not decide anew.

        A wait that was running is taken up when the incident is next decided: decide open incidents once after it.
        """
        for decision in decisions:
            self._last[decision.incident] = decision
            self._last.move_to_end(decision.incident)

    def _decision(self, facts: Facts) -> Decision:
        self._due_ns.pop(facts.incident.id, None)
        if facts.incident.state is IncidentState.RESOLVED:
            because = facts.incident.resolved_because or "its findings have cleared"
            return self._nothing(facts, "", f"nothing to do: the incident is resolved, {because}")
        rule, problems = self._matching(facts)
        note = "".join(f" (rule {name} could not be judged and counts as no: {why})" for name, why in problems)
        if rule is None:
            return self._nothing(facts, "", f"nothing to do: no rule is about {_what(facts)}{note}")
        actions, missing = _actions(facts, rule)
        if not actions:
            why = "; ".join(missing) or f"rule {rule.name} asks for no action"
            return self._nothing(facts, rule.name, f"nothing to do: {_what(facts)}: {why}{note}")
        guards = _guards(facts, rule, self.mode, actions)
        refusing = [word for word in guards if not word.allows and word.guard not in HOLDING]
        if any(word.guard == "G11" for word in refusing):
            self._due_ns[facts.incident.id] = facts.incident.opened_ns + rule.wait_seconds * 1_000_000_000
        left_out = f"; left out: {'; '.join(missing)}" if missing else ""
        return Decision(
            id=_decision_id(facts),
            incident=facts.incident.id,
            rule=rule.name,
            mode=self._mode(facts, rule),
            verdict=Verdict.REFUSED if refusing else Verdict.WOULD_DO,
            actions=actions,
            guards=guards,
            reason=f"{_sentence(facts, actions, guards)}{left_out}{note}",
            decided_ns=facts.now_ns,
            origin=facts.incident.origin,
        )

    def _matching(self, facts: Facts) -> tuple[Rule | None, list[tuple[str, str]]]:
        values = facts.values()
        problems: list[tuple[str, str]] = []
        for compiled in self._rules:
            rule = compiled.rule
            if rule.kinds and facts.incident.kind not in rule.kinds:
                continue
            if compiled.condition is None:
                return rule, problems
            judgement = compiled.condition.judge(values)
            if judgement.problem:
                problems.append((rule.name, judgement.problem))
            if judgement.holds:
                return rule, problems
        return None, problems

    def _mode(self, facts: Facts, rule: Rule) -> Mode:
        return stricter(self.mode, rule.mode) if facts.as_live else Mode.AUDIT

    def _nothing(self, facts: Facts, rule: str, reason: str) -> Decision:
        return Decision(
            id=_decision_id(facts),
            incident=facts.incident.id,
            rule=rule,
            mode=self.mode if facts.as_live else Mode.AUDIT,
            verdict=Verdict.NOTHING,
            actions=(),
            guards=(),
            reason=reason,
            decided_ns=facts.now_ns,
            origin=facts.incident.origin,
        )


def _essence(decision: Decision) -> tuple[Verdict, tuple[Action, ...], tuple[tuple[str, bool], ...]]:
    """What must change to make a new decision. A guard's figures may move without changing its word."""
    return decision.verdict, decision.actions, tuple((word.guard, word.allows) for word in decision.guards)


def _decision_id(facts: Facts) -> str:
    digest = hashlib.sha256(f"{facts.incident.id}/{facts.now_ns}".encode()).digest()
    return "DEC-" + base64.b32encode(digest[:5]).decode("ascii")


def _actions(facts: Facts, rule: Rule) -> tuple[tuple[Action, ...], list[str]]:
    """The rule's actions with their targets, and why some have none."""
    actions: list[Action] = []
    missing: list[str] = []
    for kind in rule.actions:
        if kind is ActionKind.NOTIFY:
            actions.append(Action(kind=kind, target=facts.incident.subject, target_name=""))
            continue
        of_job = kind is ActionKind.RESTART_JOB
        target, name = (facts.job, facts.job_name) if of_job else (facts.node, facts.node_name)
        words = kind.value.replace("_", " ")
        if target is None:
            missing.append(f"cannot {words}: no {'job' if of_job else 'node'} is known here")
        elif of_job and not facts.interrupted:
            missing.append(f"no need to {words}: job {name} has not been interrupted")
        else:
            actions.append(Action(kind=kind, target=target, target_name=name, undo=_UNDO[kind].format(name=name)))
    return tuple(actions), missing


def _guards(facts: Facts, rule: Rule, agent: Mode, actions: tuple[Action, ...]) -> tuple[GuardWord, ...]:
    """What each guard says. Telling people touches nothing, so that only G2 has a word in it."""
    if all(action.kind is ActionKind.NOTIFY for action in actions):
        return (GUARDS["G2"](facts, rule, agent),)
    return tuple(guard(facts, rule, agent) for guard in GUARDS.values())


def _what(facts: Facts) -> str:
    """The probable cause and its place: `uncorrectable memory error on GPU 3 of node a (rank 3)`."""
    root = facts.root
    if root is None:
        return facts.incident.title
    return f"{cause_words(root)} on {where(root)}"


def _sentence(facts: Facts, actions: tuple[Action, ...], guards: tuple[GuardWord, ...]) -> str:
    verbs = [_VERB[action.kind].format(name=action.target_name) for action in actions]
    doing = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    seen = " and ".join(WITNESS[family] for family in facts.families)
    against = [word.reason for word in guards if not word.allows]
    refused = f"; not done: {'; '.join(against)}" if against else ""
    return f"would {doing}: {_what(facts)}{f', seen {seen}' if seen else ''}{refused}"
