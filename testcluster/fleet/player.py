"""The fleet at work: jobs follow their pods, faults are laid on, batches leave. Told the time; no thread, no I/O."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from agent.simulate.fleet import Fleet
from agent.simulate.job_plan import Phase
from agent.simulate.world import GROUPS, QUARTER_NS, World
from collectors.model import Batch, Origin
from policies.cluster_view import PodView
from testcluster.fleet.gangs import Gang, Gangs
from testcluster.fleet.training import TIMEOUT_SECONDS, ClusterJob, job_subject, plan_for

Exit = Callable[[Sequence[PodView], int], None]
FOREVER_NS = 2**62


class Player:
    """One fleet. Belongs to one thread."""

    def __init__(
        self,
        fleet: Fleet,
        start_ns: int,
        *,
        exits: Exit,
        tell: Callable[[str], None] = lambda _line: None,
        logs: Path | None = None,
        seed: int = 0,
        nccl_timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`exits`: containers of these pods have ended with this exit code; `tell` hears what happens, a line each;
        `logs`: folder for the kernel and training logs as they are written."""
        self.fleet = fleet
        self._nccl_timeout_seconds = nccl_timeout_seconds
        self.world = World(fleet, start_ns, FOREVER_NS, np.random.default_rng(seed), logs, Origin.TEST)
        self.gangs = Gangs(fleet.gpus_per_node)
        self.jobs: dict[str, ClusterJob] = {}
        """By the owner's uid."""
        self.dark: set[int] = set()
        """Nodes without power."""
        self._exits, self._tell = exits, tell
        self._steps = 0
        self._by_name = {node.name: node.index for node in fleet.nodes}
        for node in fleet.nodes:
            # spread over five seconds, as collectors' beats are
            self.world.at(start_ns + node.index % (5 * GROUPS) * QUARTER_NS, self._starter(node.index))

    @property
    def now_ns(self) -> int:
        """The fleet's clock."""
        return self.world.now_ns

    def node(self, name: str) -> int | None:
        """The place of a node in the fleet."""
        return self._by_name.get(name)

    def job_at(self, node: int) -> ClusterJob | None:
        """The job whose ranks are on a node's cards."""
        return next((job for job in self.jobs.values() if node in job.nodes and job.phase is not Phase.OFF), None)

    def see_pods(self, pods: Iterable[PodView]) -> None:
        """What the API server tells of pods."""
        for line in self.gangs.see(pods, self.now_ns):
            self._tell(line)

    def pod_gone(self, uid: str) -> None:
        """A pod was deleted."""
        self.gangs.gone(uid, self.now_ns)

    def step(self) -> list[tuple[int, Batch]]:
        """The next quarter of a second, and the batches that leave at its end, by node."""
        for uid, gang in self.gangs.gangs.items():
            self._follow(uid, gang)
        batches = self.world.step(self._steps)
        self._steps += 1
        return batches

    @property
    def next_ns(self) -> int:
        """The time that the next step comes to."""
        return self.world.start_ns + self._steps * QUARTER_NS

    def goodbyes(self) -> list[tuple[int, Batch]]:
        """The fleet stops: every collector's last batch."""
        for node in self.fleet.nodes:
            self.world.stop_collector(node.index, word=True)
        return self.step()

    def _starter(self, node: int) -> Callable[[], None]:
        return lambda: self.world.start_collector(node)

    def _follow(self, uid: str, gang: Gang) -> None:
        job = self.jobs.get(uid)
        running = gang.running()
        here = {pod.uid for pod in running}
        lost = [place for place, pod in enumerate(gang.plays) if pod and pod not in here]
        if lost and job is not None:
            gang.plays = tuple("" if place in lost else pod for place, pod in enumerate(gang.plays))
            if job.phase is not Phase.OFF:
                self._tell(f"job {job.plan.name}: {len(lost)} of {len(gang.plays)} pods are gone, their ranks end")
            everything = [place for place, pod in enumerate(gang.plays) if not pod]
            job.lose(everything if len(everything) == len(gang.plays) else lost)
        if not gang.is_whole(self.now_ns) or gang.plays == tuple(pod.uid for pod in running):
            return
        nodes = [self._by_name.get(pod.node, -1) for pod in running]
        if -1 in nodes or self.dark.intersection(nodes):
            return
        if job is None or job.ranks != len(running) * self.fleet.gpus_per_node:
            job = self.jobs[uid] = self._job(uid, running, nodes)
        gang.plays = tuple(pod.uid for pod in running)
        where = ", ".join(pod.node for pod in running)
        self._tell(f"job {job.plan.name}: all {len(running)} pods run; its {job.ranks} ranks start on {where}")
        job.start_in(running, nodes)

    def _job(self, uid: str, pods: Sequence[PodView], nodes: list[int]) -> ClusterJob:
        subject = job_subject(self.fleet.cluster, pods[0])
        plan = plan_for(subject.id, len(pods) * self.fleet.gpus_per_node, self._nccl_timeout_seconds)
        return ClusterJob(self.world, plan, subject, nodes, lambda: self._exited(uid))

    def _exited(self, uid: str) -> None:
        gang, job = self.gangs.gangs[uid], self.jobs[uid]
        pods = [gang.pods[pod] for pod in gang.plays if pod in gang.pods]
        alive = [pod for pod in pods if self._by_name.get(pod.node) not in self.dark]
        gang.exited.update(pod.uid for pod in pods)
        gang.plays = tuple("" for _ in gang.plays)
        self._tell(f"job {job.plan.name}: its processes have ended; {len(alive)} pods exit with code 1")
        self._exits(alive, 1)
