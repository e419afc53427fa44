"""What file and API say, handed to the watches: threads gather, each watch takes in at its own tick.

The view of the cluster (`agent/cluster`) is filled from the same lists and watches.

A watch's inventory belongs to the watch's thread. So the feed keeps what is said now, and a line of changes for each
watch that has asked; `Subscription.apply` works it off.
"""

import logging
import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.cluster.health import Probe
from agent.cluster.owners import Owners
from agent.cluster.view import LiveCluster
from agent.inventory.csv_file import ByName, CsvFile
from agent.inventory.kube_api import SERVICE_ACCOUNT, KubeApi
from agent.inventory.labels import Mapper
from agent.inventory.objects import Budget, Namespace, Node, Pod
from agent.inventory.watcher import Watcher
from agent.settings import InventorySettings
from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.inventory import Source
from detectors.model import Inventory

_log = logging.getLogger(__name__)

_Gone = tuple[Subject, str]
_Change = list[SubjectFacts] | _Gone | ByName


@dataclass(slots=True, eq=False, weakref_slot=True)
class Subscription:
    """One watch's line of changes."""

    _line: queue.SimpleQueue[_Change] = field(default_factory=queue.SimpleQueue)

    def put(self, change: _Change) -> None:
        """From the feed's threads."""
        self._line.put(change)

    def apply(self, inventory: Inventory, now_ns: int) -> int:
        """Tell an inventory what has come since the last call; returns how many changes. In the watch's thread."""
        applied = 0
        while True:
            try:
                change = self._line.get_nowait()
            except queue.Empty:
                return applied
            applied += 1
            if isinstance(change, list):
                inventory.tell(Source.KUBERNETES, change, now_ns)
            elif isinstance(change, tuple):
                inventory.untell(Source.KUBERNETES, change[0], now_ns, change[1])
            else:
                inventory.tell_by_name(Source.CSV, change, now_ns)


class InventoryFeed:
    """Owns the threads. `start` once, `stop` once; `subscribe` at any time, from any thread."""

    def __init__(
        self, settings: InventorySettings, api: KubeApi | None = None, cluster: LiveCluster | None = None
    ) -> None:
        """`api`: where to list and watch; None: nowhere, the file alone. `cluster`: a view to be filled too."""
        self.settings = settings
        self._api = api
        self._mapper = Mapper(settings.cluster, settings)
        self._lock = threading.Lock()
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        """A watch that is no more takes its line with it."""
        self._facts: dict[Subject, SubjectFacts] = {}
        self._by_name: ByName = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.file = CsvFile(Path(settings.csv)) if settings.csv else None
        self.nodes: Watcher[Node] | None = None
        self.pods: Watcher[Pod] | None = None
        self.budgets: Watcher[Budget] | None = None
        self.namespaces: Watcher[Namespace] | None = None
        self.cluster = cluster
        if api is not None:
            pace = (settings.page, settings.watch_seconds)
            self.nodes = Watcher(api, "/api/v1/nodes", Node, self._put_nodes, self._dropper(SubjectKind.NODE), *pace)
            self.pods = Watcher(api, "/api/v1/pods", Pod, self._put_pods, self._dropper(SubjectKind.POD), *pace)
            if cluster is not None:
                self._fill(cluster, api, pace)

    @property
    def problems(self) -> list[str]:
        """Why something does not come in now, one line each."""
        said = [self.file.problem if self.file else ""]
        watchers = (self.nodes, self.pods, self.budgets, self.namespaces)
        said += [watcher.problem for watcher in watchers if watcher is not None]
        return [problem for problem in said if problem]

    def start(self) -> None:
        """Begin to gather. Nodes are listed before pods, whose nodes they are."""
        if self.file is not None:
            self.poll_file()
            self._begin("inventory-csv", self._follow_file)
        if self.nodes is not None and self.pods is not None:
            self._begin("inventory-nodes", lambda: self.nodes.run(self._stop) if self.nodes else None)
            self._begin("inventory-pods", self._follow_pods)
        if self.cluster is not None and self.budgets is not None and self.namespaces is not None:
            self._begin("cluster-budgets", lambda: self.budgets.run(self._stop) if self.budgets else None)
            self._begin("cluster-namespaces", lambda: self.namespaces.run(self._stop) if self.namespaces else None)
            owners, probe = self.cluster.owners, self.cluster.health.probe
            if owners is not None:
                self._begin("cluster-owners", lambda: owners.run(self._stop))
            if probe is not None:
                self._begin("cluster-probe", lambda: probe.run(self._stop))

    def stop(self, seconds: float = 5.0) -> None:
        """End the threads."""
        self._stop.set()
        if self._api is not None:
            self._api.hang_up()
        if self.cluster is not None and self.cluster.owners is not None:
            self.cluster.owners.end()
        for thread in self._threads:
            thread.join(seconds)

    def subscribe(self) -> Subscription:
        """A line of changes that begins with all that is said now."""
        subscription = Subscription()
        with self._lock:
            if self._facts:
                subscription.put(list(self._facts.values()))
            if self._by_name:
                subscription.put(self._by_name)
            self._subscriptions.add(subscription)
        return subscription

    def poll_file(self) -> None:
        """Read the file where it has changed."""
        read = self.file.poll() if self.file is not None else None
        if read is None:
            return
        for problem in read.problems:
            _log.warning("inventory: %s", problem)
        with self._lock:
            self._by_name = read.by_name
            self._hand_on(read.by_name)

    def _fill(self, cluster: LiveCluster, api: KubeApi, pace: tuple[int, float]) -> None:
        """Let the view have what comes, and watch for it what the inventory does not need."""
        budgets, namespaces = "/apis/policy/v1/poddisruptionbudgets", "/api/v1/namespaces"
        self.budgets = Watcher(
            api, budgets, Budget, cluster.put_budgets, lambda uid, because: cluster.drop_budget(uid), *pace
        )
        self.namespaces = Watcher(
            api, namespaces, Namespace, cluster.put_namespaces, lambda uid, because: cluster.drop_namespace(uid), *pace
        )
        named = {"nodes": self.nodes, "pods": self.pods, "budgets": self.budgets, "namespaces": self.namespaces}
        cluster.health.watchers = {name: watcher for name, watcher in named.items() if watcher is not None}
        cluster.health.probe = Probe(api, cluster.settings, cluster.clock)
        cluster.owners = Owners(api, cluster.told_owners)

    def _follow_pods(self) -> None:
        """Pods know their nodes by name: let the nodes come first, unless they cannot be had."""
        nodes, pods = self.nodes, self.pods
        if nodes is None or pods is None:
            return
        while not (nodes.complete or nodes.problem):
            if self._stop.wait(0.02):
                return
        pods.run(self._stop)

    def _begin(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow_file(self) -> None:
        told = ""
        while not self._stop.wait(self.settings.csv_seconds):
            self.poll_file()
            problem = self.file.problem if self.file is not None else ""
            if problem and problem != told:
                _log.warning("inventory: %s", problem)
            told = problem

    def _put_nodes(self, nodes: list[Node]) -> None:
        if self.cluster is not None:
            self.cluster.put_nodes(nodes)
        with self._lock:
            self._put([facts for node in nodes for facts in self._mapper.node(node)])

    def _put_pods(self, pods: list[Pod]) -> None:
        if self.cluster is not None:
            self.cluster.put_pods(pods)
        with self._lock:
            facts: list[SubjectFacts] = []
            for pod in pods:
                told = self._mapper.pod(pod)
                facts += told
                if not told and self._mapper.is_known(pod.metadata.uid):
                    self._put(facts)
                    facts = []
                    self._drop(SubjectKind.POD, pod.metadata.uid, "ended")
            self._put(facts)

    def _dropper(self, kind: SubjectKind) -> Callable[[str, str], None]:
        def drop(uid: str, because: str) -> None:
            if self.cluster is not None:
                (self.cluster.drop_node if kind is SubjectKind.NODE else self.cluster.drop_pod)(uid)
            with self._lock:
                self._drop(kind, uid, because)

        return drop

    def _put(self, facts: list[SubjectFacts]) -> None:
        new = [one for one in facts if self._facts.get(one.subject) != one]
        if new:
            self._facts.update((one.subject, one) for one in new)
            self._hand_on(new)

    def _drop(self, kind: SubjectKind, uid: str, because: str) -> None:
        for subject in self._mapper.gone(kind, uid):
            if self._facts.pop(subject, None) is not None:
                self._hand_on((subject, because))
        self._mapper.forget_empty_jobs()

    def _hand_on(self, change: _Change) -> None:
        for subscription in list(self._subscriptions):
            subscription.put(change)


def feed_of(
    settings: InventorySettings, environment: dict[str, str], cluster: LiveCluster | None = None
) -> InventoryFeed | None:
    """The feed that the settings ask for; None where they ask for none. FixConfiguration where they cannot be met.

    `cluster`: a view that is filled where the Kubernetes API is watched.
    """
    api: KubeApi | None = None
    if settings.kubernetes and settings.kubernetes_url:
        token = Path(settings.kubernetes_token_file) if settings.kubernetes_token_file else SERVICE_ACCOUNT / "token"
        ca = Path(settings.kubernetes_ca_file) if settings.kubernetes_ca_file else SERVICE_ACCOUNT / "ca.crt"
        api = KubeApi(settings.kubernetes_url, token, ca, settings.request_seconds)
    elif settings.kubernetes:
        api = KubeApi.in_cluster(environment, settings.request_seconds)
    return InventoryFeed(settings, api, cluster) if api is not None or settings.csv else None
