"""Plans that are decided and not seen done, and what they hold: other decisions count them as if they had happened."""

from collections.abc import Iterable
from dataclasses import dataclass

from policies.around import Pending
from policies.cluster_view import Taken
from policies.plan import Plan, StepKind
from policies.reach import TAKES_OUT

NS = 1_000_000_000
SLACK_SECONDS = 3600
"""A plan that nobody reports on is forgotten so long after its deadlines: it cannot hold others up for good."""


@dataclass(frozen=True, slots=True)
class _Held:
    plan: Plan
    pending: Pending
    until_ns: int


class UnderWay:
    """By incident; one plan each."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def plan(self, incident: str) -> Plan | None:
        """The plan of an incident that is under way."""
        held = self._held.get(incident)
        return held.plan if held is not None else None

    def begin(self, plan: Plan, root_kind: str, slack_seconds: int, now_ns: int) -> None:
        """A plan was decided to be done, or approved."""
        until_ns = max(plan.deadline_ns, now_ns) + (slack_seconds + SLACK_SECONDS) * NS
        self._held[plan.incident] = _Held(plan, pending_of(plan, root_kind), until_ns)

    def end(self, plan_id: str) -> str:
        """A plan is over; the incident that it was about, empty where it was not under way."""
        for incident, held in self._held.items():
            if held.plan.id == plan_id:
                del self._held[incident]
                return incident
        return ""

    def drop(self, incident: str) -> None:
        """Whatever is under way for an incident is so no more."""
        self._held.pop(incident, None)

    def others(self, incident: str) -> tuple[Pending, ...]:
        """What is under way for all other incidents."""
        return tuple(held.pending for of, held in self._held.items() if of != incident)

    def seen(self, taken: Iterable[Taken], now_ns: int) -> list[str]:
        """Let go of plans whose every step was seen taken, and of those long past their deadline; their incidents."""
        by_incident: dict[str, set[tuple[str, str]]] = {}
        for one in taken:
            uid = one.job if one.what == StepKind.RESTART_JOB.value else one.node
            by_incident.setdefault(one.incident, set()).add((one.what, uid))
        over = [
            incident
            for incident, held in self._held.items()
            if now_ns > held.until_ns
            or {(s.kind.value, s.target.uid) for s in held.plan.steps if s.kind is not StepKind.CHECKPOINT}
            <= by_incident.get(incident, set())
        ]
        for incident in over:
            del self._held[incident]
        return over


def pending_of(plan: Plan, root_kind: str) -> Pending:
    """What a plan holds while it is under way."""
    nodes = {s.target.uid for s in plan.steps if s.target.kind == "Node" and s.kind in TAKES_OUT}
    jobs = {s.target.uid for s in plan.steps if s.kind is StepKind.RESTART_JOB}
    return Pending(plan.id, plan.incident, root_kind, tuple(sorted(nodes)), tuple(sorted(jobs)))
