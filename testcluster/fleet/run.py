"""A fleet in real time: told of pods by the API server, asked for faults at its desk, sending as collectors do."""

import contextlib
import logging
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.cluster.read import controller_of, node_view, pod_view
from agent.inject.control import Laid, Request
from agent.inventory.kube_api import KubeApi
from agent.inventory.objects import Node, Page, Pod
from agent.inventory.watcher import Watcher
from agent.settings import InventorySettings
from collectors.collector import Identity
from collectors.errors import GiveUp, RetryLater
from collectors.model import Batch, Origin
from collectors.sending.delivery import Delivery
from collectors.sending.endpoint import Endpoint
from collectors.settings import SpoolSettings
from policies.cluster_view import NodeView
from testcluster.admin import Admin
from testcluster.fleet.desk import Asked, Desk
from testcluster.fleet.faults import lay
from testcluster.fleet.kubelets import Kubelets
from testcluster.fleet.machines import machines
from testcluster.fleet.player import Player
from testcluster.fleet.training import TIMEOUT_SECONDS

_log = logging.getLogger(__name__)

NS = 1_000_000_000
FLUSH_SECONDS = 3.0
LOSSES_NS = 5 * NS


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Where everything is."""

    api: KubeApi
    """Of the cluster: reads nodes and pods."""
    admin: Admin
    """The same, for what kubelets write."""
    cluster: str
    """As the agent's `inventory.cluster` has it."""
    agent: Endpoint
    directory: Path
    """Where the desk's socket lies."""
    logs: Path | None = None
    seed: int = 0
    nccl_timeout_seconds: float = TIMEOUT_SECONDS


class RunningFleet:
    """Reads the cluster, plays, sends, until stopped."""

    def __init__(self, settings: FleetSettings, tell: Callable[[str], None]) -> None:
        """`tell` hears what happens, a line each. FixConfiguration where there is nothing to play."""
        self._settings, self._tell = settings, tell
        self._resources = InventorySettings().gpu_resources
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        fleet, left_out = machines(settings.cluster, self._nodes())
        for line in left_out:
            tell(line)
        self._kubelets = Kubelets(settings.admin)
        start_ns = (time.time_ns() // NS + 1) * NS
        self.player = Player(
            fleet,
            start_ns,
            exits=self._kubelets.containers_ended,
            tell=tell,
            logs=settings.logs,
            seed=settings.seed,
            nccl_timeout_seconds=settings.nccl_timeout_seconds,
        )
        self._spools = Path(tempfile.mkdtemp(prefix="fleet-spools-"))
        self._deliveries = [self._delivery(node.index) for node in fleet.nodes]

    def run(self, stop: threading.Event) -> None:
        """Play until told to stop; then every collector says goodbye."""
        pods = Watcher(self._settings.api, "/api/v1/pods", Pod, self._see, lambda uid, _why: self._drop(uid))
        following = threading.Thread(target=lambda: pods.run(stop), name="pods", daemon=True)
        desk = Desk(self._settings.directory, self._ask)
        following.start()
        told_ns = 0
        try:
            while not stop.is_set():
                self._take_in()
                while self.player.next_ns <= time.time_ns():
                    self._send(self.player.step())
                if self.player.now_ns - told_ns > LOSSES_NS:
                    told_ns = self.player.now_ns
                    for delivery in self._deliveries:
                        delivery.tell_losses(told_ns)
                stop.wait(max(0.0, (self.player.next_ns - time.time_ns()) / NS))
        finally:
            desk.close()
            self._settings.api.hang_up()
            self._send(self.player.goodbyes())
            self._end()
            following.join(FLUSH_SECONDS)

    def _nodes(self) -> Iterator[NodeView]:
        settings = InventorySettings()
        page = msgspec.json.decode(self._settings.api.get("/api/v1/nodes", {"limit": "5000"}), type=Page)
        for raw in page.items or ():
            yield node_view(msgspec.json.decode(raw, type=Node), settings)

    def _delivery(self, place: int) -> Delivery:
        node = self.player.fleet.nodes[place]
        identity = Identity(self._settings.cluster, node.subject, node.name, node.boot_id, "", Origin.TEST)
        return Delivery.open(SpoolSettings(), self._spools / node.name, self._settings.agent, identity)

    def _send(self, batches: list[tuple[int, Batch]]) -> None:
        for place, batch in batches:
            self._deliveries[place].hand_over(batch)

    def _end(self) -> None:
        threads = [threading.Thread(target=one.finish, args=(FLUSH_SECONDS,)) for one in self._deliveries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._kubelets.stop()
        shutil.rmtree(self._spools, ignore_errors=True)
        self.player.world.close()

    # From other threads: everything is done on the player's own.

    def _see(self, pods: list[Pod]) -> None:
        seen = [pod_view(pod, controller_of(pod.metadata), self._resources) for pod in pods]
        self._inbox.put(lambda: self.player.see_pods(seen))

    def _drop(self, uid: str) -> None:
        self._inbox.put(lambda: self.player.pod_gone(uid))

    def _ask(self, asked: Asked) -> None:
        request, answer = asked
        self._inbox.put(lambda: answer.put(self._answer(request)))

    def _take_in(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._inbox.get_nowait()()

    def _answer(self, request: Request) -> Laid:
        if not request.fault:
            return Laid(self.player.now_ns, standing(self.player))
        try:
            said = lay(self.player, request, self._kubelets.node_ready)
        except (GiveUp, RetryLater) as error:
            return Laid(refused=str(error))
        self._tell(f"laid: {said}")
        node = self.player.node(request.node)
        job = None if node is None else self.player.job_at(node)
        return Laid(self.player.now_ns, said, job="" if job is None else job.plan.name)


def standing(player: Player) -> str:
    """How the fleet stands, in lines."""
    lines = [f"{len(player.fleet.nodes)} nodes of {player.fleet.gpus_per_node} GPUs are played"]
    for job in player.jobs.values():
        at = ", ".join(player.fleet.nodes[node].name for node in job.nodes)
        steady = (player.now_ns - job.settled_ns) / 1e9
        since = f", steady for {steady:.0f} s" if job.phase == "running" else ""
        lines.append(f"job {job.plan.name}: {job.phase}, step {job.step}{since}, on {at}")
    return "\n".join(lines)
