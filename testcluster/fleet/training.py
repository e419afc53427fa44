"""A training job in the pods of a gang: it starts when the gang is whole, and ends with its pods or by itself.

It never restarts by itself: its controller makes new pods, on whatever nodes the scheduler finds.
"""

from collections.abc import Callable, Sequence

import numpy as np

from agent.simulate import parameters as p
from agent.simulate.cards import NS
from agent.simulate.job import Job
from agent.simulate.job_plan import JobPlan, Phase
from agent.simulate.parallel import Parallel
from agent.simulate.world import World
from collectors.model import Subject, SubjectKind
from collectors.processes.pod_log import pod_base
from policies.cluster_view import PodView

TIMEOUT_SECONDS = 60.0
"""NCCL's, as a careful team sets it (that of the recordings); its default is 600 s."""
FIRST_SAVE_SECONDS = 18.0
"""Of a job that has saved nothing yet, so that whatever is injected finds it with a checkpoint."""
DUMP_SECONDS = 3.0
"""From the last rank's end to the container's exit."""


class ClusterJob(Job):
    """One gang's training."""

    def __init__(
        self, world: World, plan: JobPlan, subject: Subject, nodes: list[int], exited: Callable[[], None]
    ) -> None:
        """`exited` is called when all its processes have ended by themselves, with an error."""
        super().__init__(world, plan, nodes)
        self.subject = subject
        self._exited = exited

    def start_in(self, pods: Sequence[PodView], nodes: Sequence[int]) -> None:
        """Its ranks come up in these pods, eight a pod, by rank."""
        self.release()
        self.nodes = list(nodes)
        self.step = self.saved_step
        for place, (pod, node) in enumerate(zip(pods, nodes, strict=True)):
            for card in self.world.fleet.nodes[node].cards:
                card.holder = {
                    "pod_uid": pod.uid,
                    "namespace": pod.namespace,
                    "pod": pod.name,
                    "container": "main",
                    "pid": str(41_000 + 100 * place + card.index),
                }
        self.start()

    def _run(self) -> None:
        super()._run()
        if not self.saved_step:
            self._next_save_ns = self.world.now_ns + int(FIRST_SAVE_SECONDS * NS)

    def lose(self, places: Sequence[int]) -> None:
        """Some of its pods are gone, by their place: SIGTERM, and their ranks end."""
        if self.phase is Phase.OFF:
            return
        wide = self.world.fleet.gpus_per_node
        dead = np.array([place * wide + i for place in places for i in range(wide)], np.int64)
        if len(dead) == self.ranks:
            self._new_phase(Phase.OFF)
            self._end_processes(dead, spread=1.0)
            return
        self._new_phase(Phase.BROKEN)
        self._stop(dead, p.STILL)
        self._end_processes(dead, spread=0.5)
        self.wait_until_timeout(dead)

    def _break_down(self) -> None:
        """Every process has ended: the containers exit with an error."""
        self._new_phase(Phase.OFF)
        self._end_processes(np.arange(self.ranks), spread=2.0)
        self.world.after(DUMP_SECONDS, self._exited)

    def release(self) -> None:
        """Its cards are free."""
        super().release()
        for node in self.nodes:
            for card in self.world.fleet.nodes[node].cards:
                if not card.job:
                    card.holder = {}


def job_subject(cluster: str, pod: PodView) -> Subject:
    """The job as a collector names it that follows pod logs with `job: "{namespace}/{pod_base}"`."""
    return Subject(cluster, SubjectKind.JOB, f"{pod.namespace}/{pod_base(pod.name)}")


def plan_for(name: str, ranks: int, timeout_seconds: float = TIMEOUT_SECONDS) -> JobPlan:
    """A job at the power cap with a step a second, so that its habit is known soon."""
    return JobPlan(
        name=name,
        parallel=Parallel(ranks),
        log="hugging_face",
        log_every=1,
        step_seconds=1.0,
        watts=p.WORK.watts,
        held_bytes=60 * p.GIB,
        start_seconds=6.0,
        first_step_seconds=3.0,
        save_every_seconds=180.0,
        save_seconds=4.0,
        sharded_save=True,
        evaluation_every_seconds=1800.0,
        evaluation_seconds=12.0,
        timeout_seconds=timeout_seconds,
        restart_seconds=0.0,
        launcher=True,
    )
