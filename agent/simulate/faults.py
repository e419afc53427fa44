"""What can go wrong: a fault begins, has its consequences, ends, and says so in the truth.

A fault is begun when its job has made steps for a while (`Faults.begin` waits for that): a fault in a start-up is
another story. What follows from a cause by itself (a time-out after 600 s, the crash of a job, a second crash on the
same card) belongs to that cause and is no phase of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.simulate.cards import NS
from agent.simulate.job import Job, settled
from agent.simulate.job_plan import Phase
from agent.simulate.truth import Phase as Told
from agent.simulate.truth import Truth
from agent.simulate.world import World

ON_CARDS = frozenset({"ecc_correctable_storm", "row_remap", "rack_cooling", "collector_lost", "thermal_throttle"})
"""Kinds that do not wait for their job to settle."""
OF_LOSS, LOSS_LINES = frozenset({"loss_nan", "loss_divergence"}), 24
"""Kinds of the loss wait until so many lines have shown what the loss is like since the start: before the 20th nobody
can know (`detectors.loss`), and a loss that is wrong from its start is another story."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it is to be brought about; -1 and None: drawn."""

    kind: str
    at_ns: int
    job: Job | None = None
    rank: int = -1
    node: int = -1
    gpu: int = -1
    rack: str = ""
    lasts_seconds: float = 0.0
    """0: drawn by kind, or for good where it does not pass by itself."""
    severity: float = 0.0
    """By kind: stretch of a step, delay in seconds, errors a second, share of clock that is left. 0: drawn."""
    everywhere: bool = False
    """Slow loaders: on all ranks."""
    crashes_again: bool | None = None
    """A lost card: whether the job is started on it once more."""


@dataclass(slots=True)
class Faults:
    """Brings faults about. `spares`: nodes that no job uses."""

    world: World
    truth: Truth
    jobs: list[Job]
    spares: list[int]
    kinds: "Mapping[str, Begin]"
    """What begins each kind (`agent.simulate.fault_kinds.KINDS`)."""
    settle_seconds: float = 40.0
    _bad_nodes: set[int] = field(default_factory=set)

    def begin(self, fault: Fault) -> None:
        """Bring a fault about at its time, or as soon as its job has settled."""
        self.world.at(fault.at_ns, lambda: self._try(fault))

    def _try(self, fault: Fault) -> None:
        job = fault.job
        if job is not None and fault.kind not in ON_CARDS and not settled(job, self._settles(fault.kind, job)):
            if not job.ended:
                self.world.after(1.0, lambda: self._try(fault))
            return
        if job is not None and fault.kind in ON_CARDS and job.phase in (Phase.OFF, Phase.BROKEN) and not job.ended:
            self.world.after(1.0, lambda: self._try(fault))  # a node without power corrects no errors
            return
        if job is not None and fault.node >= 0 and fault.node not in job.nodes:
            return
        self.kinds[fault.kind](self, fault)

    def _settles(self, kind: str, job: Job) -> float:
        """Seconds of steps before a fault."""
        if kind not in OF_LOSS:
            return self.settle_seconds
        return max(self.settle_seconds, LOSS_LINES * job.plan.log_every * job.plan.step_seconds)

    # --- shared parts ---

    def told(self, fault: Fault, root: str, *roots: str, guilty: dict[str, Any] | None = None, **said: Any) -> Told:
        """Write a fault into the truth."""
        job = fault.job
        names = {"job": job.plan.name, "jobs": (job.plan.name,)} if job is not None else {}
        return self.truth.begin(
            "fault", fault.kind, self.world.now_ns, guilty=guilty or {}, root=root, roots=roots, **(names | said)
        )

    def where(self, job: Job, rank: int) -> dict[str, Any]:
        """A rank's place, by name."""
        node, gpu = job.place_of(rank)
        return {"node": self.world.fleet.nodes[node].name, "gpu": gpu, "rank": rank}

    def rank(self, fault: Fault) -> int:
        """The rank it is about, drawn where it is not given; rank 0 is as likely as any."""
        job = fault.job
        if job is None:
            raise ValueError(f"{fault.kind} without a job")
        if fault.rank >= 0:
            return fault.rank % job.ranks
        if fault.node >= 0:
            found = job.rank_at(fault.node, max(fault.gpu, 0))
            if found is not None:
                return found
        return int(self.world.rng.integers(job.ranks))

    def lasts(self, fault: Fault, bounds: tuple[float, float]) -> float:
        """Seconds."""
        return fault.lasts_seconds or self.world.uniform(bounds)

    def over(self, told: Told) -> None:
        """A phase ends now."""
        told.end_ns = self.world.now_ns

    def over_when_running(self, job: Job, told: Told) -> None:
        """A phase ends when the job makes steps again."""
        job.when_running.append(lambda: self.over(told))

    def follows(self, told: Told, what: str) -> None:
        """Something that followed."""
        told.story.append((self.world.now_ns / NS, what))

    def replace_node(self, job: Job, node: int) -> bool:
        """Put a spare in a bad node's place; False where there is none."""
        usable = [spare for spare in self.spares if spare not in self._bad_nodes]
        if node not in job.nodes:
            return True
        if not usable:
            return False
        spare = usable[0]
        self.spares.remove(spare)
        self._bad_nodes.add(node)
        job.move(node, spare)
        return True


Begin = Callable[[Faults, Fault], None]
