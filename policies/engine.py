"""Incidents in, decisions out. Nothing here touches a cluster.

Every decision says in a sentence what would be done and why, or why nothing. The decision to do nothing is one too.
With a view of the cluster a decision comes with its plan: the steps, their targets by uid, and the digest that a person
approves.
"""

import base64
import hashlib
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from collectors.model import LIVE_ONLY, Origin
from detectors.model import Finding, Incident, IncidentState, Inventory
from policies.agenda import Agenda
from policies.around import Around
from policies.attempt import Attempt, attempt_at
from policies.cel import Given, Plain
from policies.cluster_view import ClusterView, Taken
from policies.explain import Explained, rule_words
from policies.facts import Facts, gather
from policies.guard_settings import GuardSettings
from policies.guards import GuardContext, stricter
from policies.history import times
from policies.model import ActionKind, Decision, Mode, Verdict
from policies.plan import Plan, StepKind
from policies.planner import NOTHING_LACKING, CanRestart, any_gang
from policies.rules import Compiled, Policy, Rule
from policies.sentences import sentence, what
from policies.succession import held_up
from policies.surroundings import Surroundings
from policies.under_way import pending_of
from policies.undo import UndoBook

REMEMBERED = 10_000
"""Resolved incidents whose last decision is kept, so that nothing is decided twice. The oldest are forgotten."""
MOST_AGAIN = 200
"""Incidents decided again by themselves in one tick; the others have their turn in the next ones."""
AGAIN_SECONDS = 10
"""A guard's no is asked again after so long."""
ASK_AGAIN_SECONDS = 30
"""What a person is asked for is planned anew after so long: pods come and go, and the digest with them."""
AUDIT_AGAIN_SECONDS = 60
"""In audit nobody waits for either."""
NS = 1_000_000_000

ViewOf = Callable[[], ClusterView | None]


class PolicyEngine:
    """Applies a policy's rules to incidents. The first rule that matches decides. Safe for threads."""

    def __init__(
        self,
        rules: Sequence[Compiled],
        mode: Mode = Mode.AUDIT,
        as_live: frozenset[Origin] = LIVE_ONLY,
        *,
        guards: GuardSettings | None = None,
        view: ViewOf | None = None,
        can_restart: CanRestart = any_gang,
        lacking: Mapping[ActionKind, str] = NOTHING_LACKING,
    ) -> None:
        """`as_live`: origins that are decided in this mode; all others in audit, without a view. `view`: asked at each
        decision; None, or a function that gives None: no cluster is known. `can_restart`: why a kind of job cannot be
        restarted; `lacking`: actions that this agent has no means for, and why."""
        self.mode = mode
        self._as_live = as_live
        self._policy = Policy(tuple(rules), guards or GuardSettings())
        self._view = view or (lambda: None)
        self._can_restart = can_restart
        self._lacking = lacking
        self._last: OrderedDict[str, Decision] = OrderedDict()
        self._open: set[str] = set()
        """Incidents that are not resolved: their decisions are never forgotten."""
        self._facts: dict[str, tuple[Facts, Rule]] = {}
        """Of incidents whose last decision has a plan."""
        self._ripe_ns: dict[str, int] = {}
        self._agenda = Agenda()
        self._surroundings = Surroundings()
        self._under_way = self._surroundings.under_way
        self._undo = UndoBook()
        self._failed: dict[str, str] = {}
        """Digest of a plan that failed, to why: the very same is not tried again by itself."""
        self._taken: tuple[int, tuple[Taken, ...]] = (-1, ())
        self._inbox: deque[tuple[str, str, str]] = deque()
        self._lock = threading.RLock()
        self.refusals: Counter[str] = Counter()
        """Decisions that a guard refused, by its id, since the start."""
        self.verdicts: Counter[str] = Counter()
        """Decisions by verdict, since the start."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def waiting(self) -> int:
        """Incidents that will be decided again by themselves."""
        return len(self._agenda)

    def takes_for_live(self, origin: Origin) -> bool:
        """Whether incidents of this origin may be acted on."""
        return origin in self._as_live

    def adopt(self, policy: Policy) -> None:
        """Decide by another policy from now on; open incidents are due at once. From any thread."""
        with self._lock:
            self._policy = policy
            self.again(self._open)

    def again(self, incidents: Iterable[str]) -> None:
        """These are due at once, though nothing about them has changed: after a restart, say."""
        with self._lock:
            for incident in incidents:
                self._agenda.put(incident, 0)

    def decide(
        self, incident: Incident, findings: Sequence[Finding], inventory: Inventory, now_ns: int
    ) -> Decision | None:
        """What to do about an incident; None where neither verdict, actions nor a guard's yes or no has changed.

        `findings` must hold the incident's own and may hold others. `now_ns` is the agent's clock, Unix ns.
        """
        with self._lock:
            self._listen(now_ns)
            facts = gather(incident, findings, inventory, now_ns, self._as_live)
            decision = self._decision(facts)
            if decision is None:
                return None
            last = self._last.get(incident.id)
            if last is not None and _essence(last) == _essence(decision):
                return None  # also a plan that has ended: it is not carried out again by itself
            self._remember(decision)
            if decision.verdict is Verdict.DO and decision.plan is not None:
                self._begin(decision.plan, facts)
            self.verdicts[decision.verdict.value] += 1
            return decision

    def due(self, now_ns: int) -> tuple[str, ...]:
        """Incidents to decide again though unchanged: a wait is over, a guard may have let go, an ask wants renewal."""
        with self._lock:
            self._listen(now_ns)
            return tuple(sorted(self._agenda.due(now_ns, MOST_AGAIN)))

    def undo_due(self, now_ns: int) -> list[Decision]:
        """Decisions to take back what no open incident asks for any more; each a plan of its own."""
        view = self._view()
        if view is None:
            return []
        with self._lock:
            self._listen(now_ns)
            for incident in self._under_way.seen(self._lately(view, now_ns), now_ns):
                if incident in self._open:
                    self._agenda.put(incident, now_ns)
            made = self._undo.decide(view, self._lately(view, now_ns), self._policy, self.mode, now_ns)
            self.verdicts.update(decision.verdict.value for decision in made)
            return made

    def plan_ended(self, plan_id: str, *, failed_because: str = "") -> None:
        """A plan is over. From any thread. `failed_because`: it failed, and the very same is not tried again."""
        self._inbox.append((plan_id, "ended", failed_because))

    def plan_began(self, plan: Plan) -> None:
        """A plan was approved and begins: others count it from now on. From any thread."""
        with self._lock:
            held = self._facts.get(plan.incident)
            if held is not None and not plan.undoes and self._under_way.plan(plan.incident) != plan:
                self._begin(plan, held[0])

    def context_for(
        self,
        plan: Plan,
        now_ns: int,
        *,
        done: Iterable[int] = (),
        approved_by: str = "",
        beside: Iterable[Plan] = (),
    ) -> GuardContext | None:
        """What the guards are asked about a plan right before a step. From any thread.

        `done`: indices of steps that were carried out or skipped. `beside`: plans that the view may not show yet. None:
        its incident is not known here (yet), or it has no plan now: wait, or see `stands`.
        """
        with self._lock:
            if plan.undoes:
                return self._undo.context(
                    plan, self._view(), self._policy, self.mode, now_ns, frozenset(done), approved_by
                )
            held = self._facts.get(plan.incident)
            if held is None:
                return None
            facts, rule = held
            return GuardContext(
                facts=replace(facts, now_ns=now_ns),
                rule=rule,
                mode=self.mode,
                now_ns=now_ns,
                settings=self._policy.guards,
                view=self._view(),
                plan=plan,
                around=self._around(facts, beside),
                done=frozenset(done),
                approved_by=approved_by,
                ripe_ns=self._ripe_ns.get(plan.incident, 0) or plan.made_ns,
            )

    def stands(self, plan: Plan) -> str:
        """Why a plan is no longer what is wanted; empty while it is. From any thread, to be asked between steps."""
        with self._lock:
            if plan.undoes:
                return self._undo.stands(plan)
            last = self._last.get(plan.incident)
            if last is None:
                return ""
            if last.plan is None or last.plan.digest != plan.digest:
                return f"decision {last.id} has taken its place: {last.reason}"
            wanted = last.verdict in (Verdict.DO, Verdict.ASK) or held_up(last)
            return "" if wanted else f"decision {last.id}: {last.reason}"

    def explain(self, incident: Incident, findings: Sequence[Finding], inventory: Inventory, now_ns: int) -> Explained:
        """Every rule's word on an incident, and what each guard says now. Decides and changes nothing."""
        with self._lock:
            facts = gather(incident, findings, inventory, now_ns, self._as_live)
            view = self._view() if facts.as_live else None
            words = rule_words(self._policy.rules, facts, self._values(facts, view))
            rule, _ = self._matching(facts, view)
            if rule is None or incident.state is IncidentState.RESOLVED:
                return Explained(words, self._policy.file, self._policy.digest)
            attempt = self._attempt(facts, rule, view)
            return Explained(
                words,
                self._policy.file,
                self._policy.digest,
                mode=self._mode(facts, rule),
                verdict=self._verdict(facts, rule, attempt) if attempt.actions else Verdict.NOTHING,
                guards=attempt.words,
                left_out=attempt.left_out,
                plan=attempt.plan,
            )

    def restore(self, decisions: Iterable[Decision]) -> None:
        """Take the last decisions from the store, oldest first, so that a restart does not decide anew.

        Waits, crowds and plans under way are taken up when the incident is next decided: decide open incidents once
        after it.
        """
        with self._lock:
            for decision in decisions:
                plan = decision.plan
                if plan is not None and plan.undoes:
                    self._undo.restore(decision)
                    continue
                self._last[decision.incident] = decision
                self._last.move_to_end(decision.incident)
                if plan is not None and decision.verdict in (Verdict.DO, Verdict.ASK):
                    self._undo.restore(decision)

    def _decision(self, facts: Facts) -> Decision | None:
        incident = facts.incident
        self._agenda.drop(incident.id)
        if incident.state is IncidentState.RESOLVED:
            self._over(facts)
            because = incident.resolved_because or "its findings have cleared"
            return self._nothing(facts, "", f"nothing to do: the incident is resolved, {because}")
        self._open.add(incident.id)
        view = self._view() if facts.as_live else None
        rule, problems = self._matching(facts, view)
        note = "".join(f" (rule {name} could not be judged and counts as no: {why})" for name, why in problems)
        if rule is None:
            self._stand(facts, None)
            return self._nothing(facts, "", f"nothing to do: no rule is about {what(facts)}{note}")
        self._stand(facts, rule)
        if self._goes_on(facts, rule):
            return None
        attempt = self._attempt(facts, rule, view)
        if not attempt.actions:
            why = "; ".join(attempt.left_out) or f"rule {rule.name} asks for no action"
            self._later(facts, rule, attempt)
            return self._nothing(facts, rule.name, f"nothing to do: {what(facts)}: {why}{note}")
        verdict = self._verdict(facts, rule, attempt)
        self._settle(facts, rule, attempt, verdict)
        left_out = f"; left out: {'; '.join(attempt.left_out)}" if attempt.left_out else ""
        failed = self._failed.get(attempt.plan.digest, "") if attempt.plan is not None else ""
        if failed and verdict is Verdict.REFUSED:
            left_out += f"; the same plan failed before: {failed}"
        return Decision(
            id=_decision_id(facts),
            incident=incident.id,
            rule=rule.name,
            mode=self._mode(facts, rule),
            verdict=verdict,
            actions=attempt.actions,
            guards=attempt.words,
            reason=f"{sentence(facts, verdict, attempt.actions, attempt.words)}{left_out}{note}",
            decided_ns=facts.now_ns,
            origin=incident.origin,
            plan=attempt.plan,
        )

    def _attempt(self, facts: Facts, rule: Rule, view: ClusterView | None) -> Attempt:
        return attempt_at(
            facts,
            rule,
            self.mode,
            self._policy.guards,
            view,
            self._lately(view, facts.now_ns) if view is not None else (),
            self._around(facts),
            decision_id=_decision_id(facts),
            ripe_ns=self._ripe_ns.get(facts.incident.id, 0),
            can_restart=self._can_restart,
            lacking=self._lacking,
        )

    def _verdict(self, facts: Facts, rule: Rule, attempt: Attempt) -> Verdict:
        if attempt.refusing:
            return Verdict.REFUSED
        mode = self._mode(facts, rule)
        if mode is Mode.AUDIT:
            return Verdict.WOULD_DO
        if attempt.plan is None:
            return Verdict.DO  # telling people touches nothing
        if attempt.plan.digest in self._failed:
            return Verdict.REFUSED
        return Verdict.DO if mode is Mode.ENFORCE else Verdict.ASK

    def _settle(self, facts: Facts, rule: Rule, attempt: Attempt, verdict: Verdict) -> None:
        """What a decision means for the next ones."""
        incident, now_ns = facts.incident.id, facts.now_ns
        self.refusals.update(word.guard for word in attempt.all_refusing)
        if attempt.ripe and attempt.plan is not None:
            self._ripe_ns.setdefault(incident, now_ns)
        else:
            self._ripe_ns.pop(incident, None)
        self._under_way.drop(incident)
        if attempt.plan is not None:
            self._facts[incident] = (facts, rule)
            if verdict in (Verdict.DO, Verdict.ASK):
                self._undo.note(attempt.plan)
        self._later(facts, rule, attempt)

    def _later(self, facts: Facts, rule: Rule, attempt: Attempt) -> None:
        """When to look again though nothing changes."""
        incident, now_ns = facts.incident, facts.now_ns
        waits = any(word.guard == "G11" for word in attempt.refusing)
        due = [incident.opened_ns + rule.wait_seconds * NS] if waits else []
        if attempt.plan is not None and not waits:
            held_up = attempt.refusing or attempt.all_refusing
            seconds = AGAIN_SECONDS if held_up else ASK_AGAIN_SECONDS
            due.append(now_ns + (AUDIT_AGAIN_SECONDS if self._mode(facts, rule) is Mode.AUDIT else seconds) * NS)
        if attempt.again_ns:
            due.append(attempt.again_ns)
        if due:
            self._agenda.put(incident.id, min(due))

    def _goes_on(self, facts: Facts, rule: Rule) -> bool:
        """Whether a plan is under way that is still what is wanted: it is not made anew at each of its own steps."""
        plan = self._under_way.plan(facts.incident.id)
        last = self._last.get(facts.incident.id)
        if plan is None or last is None or last.plan is None or last.plan.digest != plan.digest:
            return False
        nodes = {step.target.uid for step in plan.steps if step.target.kind == "Node"}
        still = nodes <= {place.subject.id for place in facts.places}
        if plan.rule == rule.name and still:
            self._agenda.put(facts.incident.id, facts.now_ns + ASK_AGAIN_SECONDS * NS)
            self._facts[facts.incident.id] = (facts, rule)
            return True
        self._under_way.drop(facts.incident.id)
        return False

    def _begin(self, plan: Plan, facts: Facts) -> None:
        self._surroundings.begin(plan, facts, self._policy.guards)

    def _stand(self, facts: Facts, rule: Rule | None) -> None:
        """Which nodes an open incident is about: they make crowds, and nothing done there is taken back."""
        touches = rule is not None and any(action is not ActionKind.NOTIFY for action in rule.actions)
        self._undo.stand(facts, self._surroundings.stand(facts, touches=touches))

    def _over(self, facts: Facts) -> None:
        self._open.discard(facts.incident.id)
        self._surroundings.over(facts.incident.id)
        self._ripe_ns.pop(facts.incident.id, None)
        self._undo.over(facts)

    def _around(self, facts: Facts, beside: Iterable[Plan] = ()) -> Around:
        others = []
        for plan in beside:
            if not plan.undoes:
                held = self._facts.get(plan.incident)
                others.append(pending_of(plan, held[0].incident.kind.value if held is not None else ""))
        return self._surroundings.around(facts, self._policy.guards, others)

    def _lately(self, view: ClusterView, now_ns: int) -> tuple[Taken, ...]:
        """What was done, read once a tick."""
        if self._taken[0] != now_ns:
            seconds = max(self._policy.guards.attempts.node_seconds, 7 * 86_400)
            self._taken = (now_ns, tuple(view.taken(now_ns - seconds * NS)))
        return self._taken[1]

    def _matching(self, facts: Facts, view: ClusterView | None) -> tuple[Rule | None, list[tuple[str, str]]]:
        values = Given(self._values(facts, view))
        problems: list[tuple[str, str]] = []
        for compiled in self._policy.rules:
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

    def _values(self, facts: Facts, view: ClusterView | None = None) -> dict[str, Plain]:
        attempts = 0
        if view is not None and facts.node is not None:
            taken, kind = self._lately(view, facts.now_ns), facts.incident.kind.value
            kinds = (StepKind.CORDON, StepKind.RESET_GPU, StepKind.REBOOT_NODE)
            attempts = sum(len(times(taken, step, facts.node.id, kind)) for step in kinds)
        return facts.values(view, attempts)

    def _mode(self, facts: Facts, rule: Rule) -> Mode:
        return stricter(self.mode, rule.mode) if facts.as_live else Mode.AUDIT

    def _nothing(self, facts: Facts, rule: str, reason: str) -> Decision:
        self._under_way.drop(facts.incident.id)
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

    def _remember(self, decision: Decision) -> None:
        self._last[decision.incident] = decision
        self._last.move_to_end(decision.incident)
        if len(self._last) - len(self._open) > REMEMBERED:
            oldest = next((incident for incident in self._last if incident not in self._open), None)
            if oldest is not None:
                del self._last[oldest]
                self._facts.pop(oldest, None)

    def _listen(self, now_ns: int) -> None:
        """What the executor has told of plans."""
        while self._inbox:
            plan_id, _, failed = self._inbox.popleft()
            incident = self._under_way.end(plan_id)
            last = self._last.get(incident)
            if failed and last is not None and last.plan is not None:
                self._failed[last.plan.digest] = failed
                if len(self._failed) > REMEMBERED:
                    del self._failed[next(iter(self._failed))]
            if incident in self._open:
                self._agenda.put(incident, now_ns)


def _essence(decision: Decision) -> tuple[object, ...]:
    """What must change to make a new decision. A guard's figures may move without changing its word."""
    shown = decision.plan.digest if decision.plan is not None and decision.verdict in _TO_BE_DONE else ""
    said = tuple((word.guard, word.allows) for word in decision.guards)
    return decision.verdict, decision.actions, said, shown


_TO_BE_DONE = (Verdict.DO, Verdict.ASK)


def _decision_id(facts: Facts) -> str:
    digest = hashlib.sha256(f"{facts.incident.id}/{facts.now_ns}".encode()).digest()
    return "DEC-" + base64.b32encode(digest[:5]).decode("ascii")
