"""What guards and plans know of the cluster: nodes, GPU pods, budgets, and how fresh that is. Read only, no I/O.

The agent keeps a `ClusterView` up to date from its watches (`agent/cluster`); tests and `policy test` lay one out by
hand. `None` in its place means that no cluster is known: guards that need its word then say no to cluster actions.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import msgspec

OWN_CORDON = "watchstander.io/cordoned-by"
"""Annotation of a node that Watchstander cordoned: id of the plan. Only such a node is uncordoned again."""
OPT_OUT = "watchstander.io/managed"
"""Label of node, namespace or pod (annotation of a job too): `false` keeps Watchstander off (G3)."""
PROTECTED = "watchstander.io/protected"
"""Label or annotation of a pod: `true` means that nothing may evict it (G5)."""
CHECKPOINT = "watchstander.io/checkpoint"
"""Annotation of a job's top owner or its pods: how it can be asked to save before it is moved (P1)."""
SNOOZE = "watchstander.io/snooze-until"
"""Annotation of a node: RFC 3339 time until which it is left alone (G19)."""


class Owner(msgspec.Struct, frozen=True):
    """The controller of a pod, as its ownerReference names it."""

    api_version: str
    kind: str
    name: str
    uid: str


class NodeView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node."""

    name: str
    uid: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    unschedulable: bool = False
    taints: tuple[str, ...] = ()
    """`key=value:Effect`."""
    ready: bool = True
    deleting: bool = False
    gpus: int = 0
    """Allocatable."""
    rack: str = ""
    domain: str = ""
    """NVLink domain."""
    pool: str = ""
    held_by: str = ""
    """Who keeps pods off it: `watchstander`, `person`, `nvsentinel`, `node-problem-detector`, `cluster-autoscaler`,
    `karpenter`, `kured`, `drain` ..., as its taints, labels and annotations tell; empty: nobody."""
    boot_id: str = ""

    @property
    def unavailable(self) -> bool:
        """Whether new work cannot be placed there, whoever is the cause."""
        return self.unschedulable or not self.ready or self.deleting or bool(self.held_by)


class PodView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pod on a GPU node."""

    namespace: str
    name: str
    uid: str
    node: str
    """Name of its node; empty while it is not placed."""
    owner: Owner | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    phase: str = ""
    gpus: int = 0
    mirror: bool = False
    """A static pod of the kubelet's: it cannot be evicted."""
    deleting: bool = False
    priority: int = 0
    created_ns: int = 0


class BudgetView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A PodDisruptionBudget."""

    namespace: str
    name: str
    match_labels: dict[str, str] = {}
    match_expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """(key, operator, values)."""
    allowed: int = 0
    """`status.disruptionsAllowed`."""


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that was carried out, or one word of a person on a node; guards on rates and cool-downs count these."""

    time_ns: int
    what: str
    """A `StepKind`, or `uncordon_by_person`, `cordon_by_person`."""
    node: str = ""
    """uid."""
    incident: str = ""
    root_kind: str = ""
    """Kind of the incident's root finding."""
    job: str = ""
    """uid of the job's owner."""
    rule: str = ""


class Place(StrEnum):
    """What nodes are counted by."""

    FLEET = "fleet"
    POOL = "pool"
    RACK = "rack"
    DOMAIN = "domain"


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the nodes of a place stand."""

    nodes: int = 0
    unavailable: int = 0
    """Nodes that take no new work, whoever is the cause."""
    gpus: int = 0
    """Allocatable on all of them."""
    gpus_free: int = 0
    """On those that are available, held by no pod."""


class ClusterView(Protocol):
    """The cluster as last seen. Every method is safe to call from any thread, and costs no request."""

    def problem(self, now_ns: int) -> str:
        """Why this view or the API server cannot be trusted now, in one line; empty where it can (G18)."""
        ...

    def leader(self, now_ns: int) -> str:
        """Why this agent is not the leader; empty where it is (G21)."""
        ...

    def paused(self) -> str:
        """Who has paused all actions, and why; empty where nobody has (G20)."""
        ...

    def node(self, uid: str) -> NodeView | None:
        """By uid."""
        ...

    def nodes(self) -> Iterable[NodeView]:
        """All nodes with GPUs."""
        ...

    def tally(self, place: Place, name: str = "") -> Tally:
        """How the nodes of a place stand, kept as they change: microseconds, however many there are.

        `name`: of the pool, rack or NVLink domain; empty for the nodes of which none is known. Ignored for the fleet.
        """
        ...

    def pods_on(self, node_name: str) -> Iterable[PodView]:
        """All pods of a node with GPUs, those without GPUs too, unless they have ended."""
        ...

    def pods_of(self, owner_uid: str) -> Iterable[PodView]:
        """The GPU pods of a job, unless they have ended.

        By the uid of the object that owns the gang (a JobSet rather than its Jobs), which is also `PodView.owner`; the
        uids of the owners between it and the pods are known too.
        """
        ...

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        """Labels of a namespace; empty where unknown."""
        ...

    def budgets(self, namespace: str) -> Iterable[BudgetView]:
        """The PodDisruptionBudgets of a namespace."""
        ...

    def taken(self, since_ns: int) -> Iterable[Taken]:
        """What was done since then, the oldest first."""
        ...


class LaidOutCluster(msgspec.Struct, omit_defaults=True):
    """A cluster laid out whole: for tests, `policy test`, and anywhere a few hundred objects are all there is."""

    all_nodes: list[NodeView] = []
    all_pods: list[PodView] = []
    namespaces: dict[str, dict[str, str]] = {}
    all_budgets: list[BudgetView] = []
    done: list[Taken] = []
    trouble: str = ""
    not_leader: str = ""
    pause: str = ""

    def problem(self, now_ns: int) -> str:
        """See ClusterView."""
        return self.trouble

    def leader(self, now_ns: int) -> str:
        """See ClusterView."""
        return self.not_leader

    def paused(self) -> str:
        """See ClusterView."""
        return self.pause

    def node(self, uid: str) -> NodeView | None:
        """See ClusterView."""
        return next((node for node in self.all_nodes if node.uid == uid), None)

    def nodes(self) -> Iterable[NodeView]:
        """See ClusterView."""
        return self.all_nodes

    def tally(self, place: Place, name: str = "") -> Tally:
        """See ClusterView."""
        found = [node for node in self.all_nodes if place is Place.FLEET or getattr(node, place.value) == name]
        held = {node.name: sum(pod.gpus for pod in self.pods_on(node.name)) for node in found}
        return Tally(
            nodes=len(found),
            unavailable=sum(node.unavailable for node in found),
            gpus=sum(node.gpus for node in found),
            gpus_free=sum(max(0, node.gpus - held[node.name]) for node in found if not node.unavailable),
        )

    def pods_on(self, node_name: str) -> Iterable[PodView]:
        """See ClusterView."""
        return [pod for pod in self.all_pods if pod.node == node_name]

    def pods_of(self, owner_uid: str) -> Iterable[PodView]:
        """See ClusterView."""
        return [pod for pod in self.all_pods if pod.owner is not None and pod.owner.uid == owner_uid and pod.gpus]

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        """See ClusterView."""
        return self.namespaces.get(namespace, {})

    def budgets(self, namespace: str) -> Iterable[BudgetView]:
        """See ClusterView."""
        return [budget for budget in self.all_budgets if budget.namespace == namespace]

    def taken(self, since_ns: int) -> Iterable[Taken]:
        """See ClusterView."""
        return [one for one in self.done if one.time_ns >= since_ns]
