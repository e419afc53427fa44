"""A journal in memory, a cluster of a few nodes with faults to order, and an executor between them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from policies.executor import Executor, Patience, entry_for
from policies.journal import OVER, PlanEntry, PlanState, Progress, Stale, StepState
from policies.model import GuardWord
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan

SECOND = 1_000_000_000
NOW = 1_795_317_140 * SECOND


def node(name: str = "gpu-07") -> Target:
    return Target("v1", "Node", "", name, f"uid-{name}")


def job(name: str = "llama") -> Target:
    return Target("batch/v1", "Job", "training", name, f"uid-{name}")


def plan(
    *steps: Step, incident: str = "INC-aaaa1111", made_ns: int = NOW, deadline_ns: int = NOW + 3600 * SECOND
) -> Plan:
    steps = steps or (Step(StepKind.CORDON, node(), words="cordon node gpu-07"),)
    return make_plan(incident, "DEC-1", "gpu-off-the-bus", steps, Blast(nodes=1), made_ns, deadline_ns=deadline_ns)


def three_steps(name: str = "gpu-07", **more: Any) -> Plan:
    """Cordon, drain, restart the job."""
    return plan(
        Step(StepKind.CORDON, node(name), words=f"cordon node {name}"),
        Step(StepKind.EVICT, node(name), words=f"evict the pods of node {name}"),
        Step(StepKind.RESTART_JOB, job(), words="restart job llama"),
        **more,
    )


class MemoryJournal:
    """`policies.journal.Journal` with its rules, and a list of what was written."""

    def __init__(self) -> None:
        self.entries: dict[str, PlanEntry] = {}
        self.audit: list[tuple[str, str, str]] = []
        self.before_write: Callable[[PlanEntry], None] = lambda entry: None

    def open(self, entry: PlanEntry) -> PlanEntry:
        held = self.entries.get(entry.plan.id)
        if held is not None and held.state not in OVER:
            return held
        opened = msgspec.structs.replace(entry, version=held.version + 1 if held else 1)
        self.entries[entry.plan.id] = opened
        self.audit.append((entry.plan.id, "plan", entry.reason))
        return opened

    def get(self, plan_id: str) -> PlanEntry | None:
        return self.entries.get(plan_id)

    def unfinished(self) -> list[PlanEntry]:
        found = [entry for entry in self.entries.values() if entry.state not in OVER]
        return sorted(found, key=lambda entry: (entry.plan.made_ns, entry.plan.id))

    def write(self, entry: PlanEntry, *, actor: str, what: str, detail: str) -> PlanEntry:
        self.before_write(entry)
        held = self.entries[entry.plan.id]
        if held.version != entry.version or held.generation > entry.generation:
            raise Stale("overtaken")
        written = msgspec.structs.replace(entry, version=entry.version + 1)
        self.entries[entry.plan.id] = written
        self.audit.append((entry.plan.id, what, detail))
        return written


class SmallCluster:
    """What the steps have made true; each look at a step that is true already changes nothing."""

    def __init__(self) -> None:
        self.true: set[tuple[StepKind, str]] = set()
        self.writes: list[tuple[StepKind, str]] = []
        self.answers: dict[StepKind, list[Progress | Exception]] = {}
        """Given out first, one a look; then the step works."""
        self.lost: set[StepKind] = set()
        """Steps whose effect does not show when it is looked for."""
        self.before_advance: Callable[[Plan, int], None] = lambda plan, index: None
        self.looks = 0

    def advance(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        self.before_advance(plan, step_index)
        self.looks += 1
        step = plan.steps[step_index]
        waiting = self.answers.get(step.kind)
        if waiting:
            answer = waiting.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        key = (step.kind, step.target.name)
        if key in self.true:
            return Progress(StepState.DONE, "it is so")
        self.true.add(key)
        self.writes.append(key)
        return Progress(StepState.DONE, "done", changed=True)

    def verify(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        step = plan.steps[step_index]
        if step.kind in self.lost or (step.kind, step.target.name) not in self.true:
            return Progress(StepState.FAILED, "node is schedulable")
        return Progress(StepState.DONE, "it shows")


class World:
    """All of it, with a clock that only moves when it is told to."""

    def __init__(self, *, generation: int | None = 1, patience: Patience | None = None) -> None:
        self.now_ns = NOW
        self.journal = MemoryJournal()
        self.cluster = SmallCluster()
        self.generation: int | None = generation
        self.against: dict[str, str] = {}
        """Guards that say no, and why."""
        self.unknown = ""
        """Why the guards can say nothing."""
        self.unwanted = ""
        """Why no plan is wanted any more."""
        self.asked: list[tuple[str, int, list[str]]] = []
        self.told: list[str] = []
        self.patience = patience
        self.executor = self.another("agent-1")

    def another(self, holder: str, generation: Callable[[int], int | None] | None = None) -> Executor:
        """One more executor over the same journal and cluster: a restart, or a second leader."""
        return Executor(
            self.journal,
            self.cluster,
            self.judge,
            lambda: self.now_ns,
            holder=holder,
            generation=generation or (lambda now_ns: self.generation),
            patience=self.patience,
            stands=lambda entry: "" if entry.is_undo else self.unwanted,
            acted=lambda entry, index: self.told.append(f"acted {entry.plan.steps[index].kind}"),
            mitigated=lambda entry: self.told.append("mitigated"),
        )

    def judge(self, entry: PlanEntry, index: int, beside: Iterable[PlanEntry]) -> list[GuardWord]:
        self.asked.append((entry.plan.id, index, [other.plan.id for other in beside]))
        if self.unknown:
            raise RetryLater(self.unknown)
        return [GuardWord(guard, False, why) for guard, why in self.against.items()]

    def open(self, plan_: Plan, state: PlanState = PlanState.READY) -> PlanEntry:
        return self.journal.open(entry_for(plan_, state))

    def run(self, seconds: float = 0.0, executor: Executor | None = None) -> None:
        """Passes, one a second, until so much time has gone by."""
        until = self.now_ns + int(seconds * SECOND)
        while True:
            for entry in (executor or self.executor).due():
                (executor or self.executor).carry_on(entry)
            if self.now_ns >= until:
                return
            self.now_ns += SECOND

    def state(self, plan_: Plan) -> PlanState:
        return self.journal.entries[plan_.id].state

    def reason(self, plan_: Plan) -> str:
        return self.journal.entries[plan_.id].reason

    def words(self, plan_: Plan) -> list[str]:
        """What the audit holds about a plan."""
        return [f"{what}: {detail}" for id_, what, detail in self.journal.audit if id_ == plan_.id]


__all__ = [
    "NOW",
    "SECOND",
    "FixConfiguration",
    "GiveUp",
    "MemoryJournal",
    "RetryLater",
    "SmallCluster",
    "World",
    "job",
    "node",
    "plan",
    "three_steps",
]
