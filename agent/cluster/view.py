"""The live view of the cluster, filled by the inventory feed's own watches. Thread-safe; reading costs no request.

Written by the threads of the watches, read by the watch, the executor and the API. What is handed out is immutable, and
stands as it was when it was asked for.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from agent.cluster.health import Health
from agent.cluster.owners import Owners, Question, ladder
from agent.cluster.people import word_of
from agent.cluster.read import budget_view, has_gpus, is_over, node_view, pod_view, ready_since_ns
from agent.cluster.tallies import Tallies
from agent.inventory.objects import Budget, Namespace, Node, Pod
from agent.settings import ClusterSettings, InventorySettings, Settings
from collectors.errors import WatchError
from policies.cluster_view import BudgetView, NodeView, Owner, Place, PodView, Taken, Tally
from policies.node_words import NodeWords, repeats

NS = 1_000_000_000
MOST_WORDS = 10_000
"""Words of people that are remembered; guards ask about hours."""


@dataclass(slots=True)
class Elsewhere:
    """What the view is told of by others: the journal, the lease, the pause switch."""

    taken: Callable[[int], Iterable[Taken]] = lambda since_ns: ()
    leader: Callable[[int], str] = lambda now_ns: ""
    paused: Callable[[], str] = lambda: ""


@dataclass(slots=True)
class _Gang:
    """What is known above an owner that was asked about."""

    above: tuple[Owner, ...] = ()
    pods: set[str] = field(default_factory=set)


class LiveCluster:
    """Implements `policies.cluster_view.ClusterView`."""

    def __init__(
        self,
        inventory: InventorySettings,
        settings: ClusterSettings,
        clock: Callable[[], int],
        health: Health,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`clock` gives Unix ns. `elsewhere` may be set later."""
        self._inventory = inventory
        self.settings = settings
        self.clock = clock
        self.health = health
        self.elsewhere = elsewhere or Elsewhere()
        self.owners: Owners | None = None
        self._lock = threading.Lock()
        self._nodes: dict[str, NodeView] = {}
        self._all_nodes: tuple[NodeView, ...] | None = ()
        self._uid_of: dict[str, str] = {}
        """Name to uid."""
        self._not_ready: dict[str, int] = {}
        """uid to since when, Unix ns."""
        self._pods: dict[str, PodView] = {}
        self._pods_on: dict[str, dict[str, PodView]] = {}
        self._pods_of: dict[str, set[str]] = {}
        """uid of an owner, at whatever height, to the uids of its GPU pods."""
        self._chains: dict[str, tuple[tuple[Owner, ...], str]] = {}
        """uid of a GPU pod to its owners, the lowest first, and the question it asks."""
        self._gangs: dict[str, _Gang] = {}
        self._held: dict[str, int] = {}
        """Name of a node to the GPUs that its pods hold."""
        self._tallies = Tallies()
        self._budgets: dict[str, BudgetView] = {}
        self._namespaces: dict[str, tuple[str, dict[str, str]]] = {}
        """Name to uid and labels."""
        self._words: deque[Taken] = deque(maxlen=MOST_WORDS)
        self._book: NodeWords | None = None
        """Where words are kept over a restart."""
        self._unread: str = ""
        """Why what is kept there is not known yet."""
        self._read_ns = 0

    def remember(self, words: NodeWords, steps: Callable[[int], Iterable[Taken]]) -> None:
        """Keep people's words there from now on, and know those that are kept. Before the feed begins.

        `steps`: what the journal says was carried out since a time; an uncordon from before our last cordon is old.
        """
        self.elsewhere.taken = steps
        self._book, self._unread = words, "they were not read yet"
        self._load()

    def problem(self, now_ns: int) -> str:
        """See ClusterView. What was done must be known too: limits and cool-downs are counted by it."""
        with self._lock:
            since = list(self._not_ready.values())
            nodes = len(self._nodes)
        waiting = self.owners.waiting if self.owners is not None else 0
        if self._unread and abs(now_ns - self._read_ns) > NS:
            self._load()
        unread = f"what people said on nodes is not known: {self._unread}" if self._unread else ""
        return self.health.problem(now_ns, nodes, since, waiting) or self._steps(now_ns)[1] or unread

    def leader(self, now_ns: int) -> str:
        """See ClusterView."""
        return self.elsewhere.leader(now_ns)

    def paused(self) -> str:
        """See ClusterView."""
        return self.elsewhere.paused()

    def node(self, uid: str) -> NodeView | None:
        """See ClusterView."""
        return self._nodes.get(uid)

    def node_named(self, name: str) -> NodeView | None:
        """The node that bears a name now."""
        with self._lock:
            return self._nodes.get(self._uid_of.get(name, ""))

    def nodes(self) -> Iterable[NodeView]:
        """See ClusterView."""
        with self._lock:
            if self._all_nodes is None:
                self._all_nodes = tuple(self._nodes.values())
            return self._all_nodes

    def tally(self, place: Place, name: str = "") -> Tally:
        """See ClusterView."""
        with self._lock:
            return self._tallies.of(place, name)

    def pods_on(self, node_name: str) -> Iterable[PodView]:
        """See ClusterView."""
        with self._lock:
            return tuple(self._pods_on.get(node_name, {}).values())

    def pods_of(self, owner_uid: str) -> Iterable[PodView]:
        """See ClusterView."""
        with self._lock:
            return tuple(self._pods[uid] for uid in sorted(self._pods_of.get(owner_uid, ())))

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        """See ClusterView."""
        return self._namespaces.get(namespace, ("", {}))[1]

    def namespaces(self) -> tuple[str, ...]:
        """Names of all that there are."""
        with self._lock:
            return tuple(self._namespaces)

    def budgets(self, namespace: str) -> Iterable[BudgetView]:
        """See ClusterView."""
        with self._lock:
            return tuple(one for one in self._budgets.values() if one.namespace == namespace)

    def taken(self, since_ns: int) -> Iterable[Taken]:
        """See ClusterView: the journal's, and people's words on nodes. While the journal cannot be read there are only
        the words, and `problem` says so."""
        with self._lock:
            words = [word for word in self._words if word.time_ns >= since_ns]
        return sorted([*self._steps(since_ns)[0], *words], key=lambda one: one.time_ns)

    def put_nodes(self, nodes: Iterable[Node]) -> None:
        """Nodes that are there, new or changed."""
        now_ns = self.clock()
        read = [(one, node_view(one, self._inventory, self.settings.problem_conditions)) for one in nodes]
        said: list[Taken] = []
        with self._lock:
            for node, view in read:
                if not view.uid or not (view.uid in self._nodes or has_gpus(node, self._inventory)):
                    continue  # one that had GPUs counts on while its device plugin is away
                other = self._uid_of.get(view.name)
                if other is not None and other != view.uid:
                    self._drop_node(other)
                before = self._nodes.get(view.uid)
                word = word_of(node, view, before, now_ns)
                if word is not None and (before is not None or not self._said_before(word)):
                    said.append(word)
                self._nodes[view.uid], self._uid_of[view.name] = view, view.uid
                if view.ready:
                    self._not_ready.pop(view.uid, None)
                else:
                    self._not_ready[view.uid] = ready_since_ns(node) or now_ns
                self._tallies.put(view, self._held.get(view.name, 0))
            self._words.extend(said)
            self._all_nodes = None
        if self._book is not None:
            for word in said:
                self._book.keep(word)

    def drop_node(self, uid: str) -> None:
        """A node that is gone."""
        with self._lock:
            self._drop_node(uid)

    def put_pods(self, pods: Iterable[Pod]) -> None:
        """Pods that are there, new or changed."""
        asked: list[Question] = []
        with self._lock:
            for pod in pods:
                uid = pod.metadata.uid
                if not uid:
                    continue
                if is_over(pod):
                    self._drop_pod(uid)
                    continue
                view = pod_view(pod, None, self._inventory.gpu_resources)
                chain, question = ladder(pod.metadata)
                by = question.by if question is not None and view.gpus else ""
                if self._chains.get(uid, ((), ""))[1] != by:
                    self._drop_pod(uid)
                self._take_out(uid)
                if view.gpus:
                    self._chains[uid] = (chain, by)
                if by and question is not None:
                    self._gangs.setdefault(by, _Gang()).pods.add(uid)
                    asked.append(question)
                self._put_pod(view, chain)
        if self.owners is not None:
            for question in asked:
                self.owners.ask(question)

    def drop_pod(self, uid: str) -> None:
        """A pod that is gone."""
        with self._lock:
            self._drop_pod(uid)

    def told_owners(self, by: str, above: tuple[Owner, ...]) -> None:
        """What stands above an owner that was asked about."""
        with self._lock:
            gang = self._gangs.get(by)
            if gang is None or not above:
                return
            gang.above = above
            for uid in gang.pods:
                self._put_pod(self._pods[uid], self._chains[uid][0])

    def put_budgets(self, budgets: Iterable[Budget]) -> None:
        """PodDisruptionBudgets that are there, new or changed."""
        with self._lock:
            for one in budgets:
                view = budget_view(one)
                if view is None:
                    self._budgets.pop(one.metadata.uid, None)
                else:
                    self._budgets[one.metadata.uid] = view

    def drop_budget(self, uid: str) -> None:
        """A budget that is gone."""
        with self._lock:
            self._budgets.pop(uid, None)

    def put_namespaces(self, namespaces: Iterable[Namespace]) -> None:
        """Namespaces that are there, new or changed."""
        with self._lock:
            for one in namespaces:
                self._namespaces[one.metadata.name] = (one.metadata.uid, one.metadata.labels or {})

    def drop_namespace(self, uid: str) -> None:
        """A namespace that is gone."""
        with self._lock:
            for name in [name for name, held in self._namespaces.items() if held[0] == uid]:
                del self._namespaces[name]

    def _load(self) -> None:
        """Know the words that are kept. Where they cannot be read, what shows on a node counts as said just now, and
        nothing may act until they can."""
        if self._book is None:
            return
        self._read_ns = self.clock()
        try:
            kept = list(self._book.load())
        except WatchError as error:
            self._unread = str(error)
            return
        with self._lock:
            self._words.extendleft(reversed(kept))
            self._unread = ""

    def _said_before(self, word: Taken) -> bool:
        """Whether what shows on a node that is seen first was heard before the restart."""
        kept = [one for one in self._words if one.node == word.node and one.what == word.what]
        if not kept:
            return False
        steps, unknown = self._steps(max(one.time_ns for one in kept))
        return not unknown and repeats(word, kept, steps)

    def _steps(self, since_ns: int) -> tuple[Iterable[Taken], str]:
        """The journal's steps, or why they are not known: a store that is away must not stop the watch."""
        try:
            return self.elsewhere.taken(since_ns), ""
        except WatchError as error:
            return (), f"what was done lately is not known: {error}"

    def _drop_node(self, uid: str) -> None:
        node = self._nodes.pop(uid, None)
        if node is None:
            return
        if self._uid_of.get(node.name) == uid:
            del self._uid_of[node.name]
        self._not_ready.pop(uid, None)
        self._tallies.drop(uid)
        self._all_nodes = None

    def _put_pod(self, pod: PodView, chain: tuple[Owner, ...]) -> None:
        """Lay a pod, or the same pod with more owners known, where it is looked for."""
        by = self._chains.get(pod.uid, ((), ""))[1]
        if by:
            chain = (*chain, *self._gangs[by].above)
        if chain and pod.owner != chain[-1]:
            pod = msgspec.structs.replace(pod, owner=chain[-1])
        before = self._pods.get(pod.uid)
        self._pods[pod.uid] = pod
        if pod.node:
            self._pods_on.setdefault(pod.node, {})[pod.uid] = pod
            self._hold(pod.node, pod.gpus - (before.gpus if before is not None else 0))
        if pod.gpus:
            for owner in chain:
                self._pods_of.setdefault(owner.uid, set()).add(pod.uid)

    def _take_out(self, uid: str) -> None:
        """Forget a pod, but not what is known of its gang."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        on = self._pods_on.get(pod.node)
        if on is not None:
            on.pop(uid, None)
            if not on:
                del self._pods_on[pod.node]
            self._hold(pod.node, -pod.gpus)
        chain, by = self._chains.pop(uid, ((), ""))
        for owner in (*chain, *(self._gangs[by].above if by else ())):
            held = self._pods_of.get(owner.uid)
            if held is not None:
                held.discard(uid)
                if not held:
                    del self._pods_of[owner.uid]

    def _drop_pod(self, uid: str) -> None:
        by = self._chains.get(uid, ((), ""))[1]
        self._take_out(uid)
        if by:
            gang = self._gangs[by]
            gang.pods.discard(uid)
            if not gang.pods:
                del self._gangs[by]
                if self.owners is not None:
                    self.owners.forget(by)

    def _hold(self, node_name: str, gpus: int) -> None:
        if not gpus:
            return
        held = self._held.get(node_name, 0) + gpus
        if held:
            self._held[node_name] = held
        else:
            self._held.pop(node_name, None)
        node = self._nodes.get(self._uid_of.get(node_name, ""))
        if node is not None:
            self._tallies.put(node, held)


def cluster_of(settings: Settings, clock: Callable[[], int]) -> LiveCluster | None:
    """The view that the settings ask for: one wherever the Kubernetes API is watched. Empty until the feed fills it."""
    if not settings.inventory.kubernetes:
        return None
    return LiveCluster(settings.inventory, settings.cluster, clock, Health(settings.cluster))
