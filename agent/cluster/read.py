"""From Kubernetes objects to what guards and plans see of them. Strings that many share are kept once."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from agent.inventory.objects import Budget, Meta, Node, Pod
from agent.inventory.sharing import share
from agent.settings import InventorySettings
from policies.cluster_view import BudgetView, NodeView, Owner, PodView
from policies.holders import KEPT_ANNOTATIONS, held_by

OURS = "watchstander.io/"
MIRROR = "kubernetes.io/config.mirror"
LONGEST_VALUE = 64
"""Of a pod's annotation by others: guards ask for marks (`true`, `false`, any). What is longer is cut."""
_DROPPED_ANNOTATIONS = (
    MIRROR,
    "kubernetes.io/config.",
    "kubectl.kubernetes.io/last-applied-configuration",
    "cni.projectcalico.org/",
    "k8s.v1.cni.cncf.io/",
    "k8s.ovn.org/",
)
"""What kubelet, kubectl and network leave on each pod, different on every one."""
_SHARED_CHARS = 8
_DROPPED_LABELS = ("feature.node.kubernetes.io/cpu-", "beta.kubernetes.io/")
"""Dozens on each node, and no policy is about CPU flags."""
_OVER = frozenset({"Succeeded", "Failed"})
_LONGEST = 253


def has_gpus(node: Node, settings: InventorySettings) -> bool:
    """Whether a node is one with GPUs, as the inventory sees it."""
    capacity = node.status.capacity if node.status else None
    return (
        gpus_in(capacity, settings.gpu_resources) > 0
        or (node.metadata.labels or {}).get("nvidia.com/gpu.present") == "true"
    )


def is_over(pod: Pod) -> bool:
    """Whether a pod has ended: it holds nothing any more."""
    return pod.status is not None and pod.status.phase in _OVER


def node_view(node: Node, settings: InventorySettings, problem_conditions: Iterable[str] = ()) -> NodeView:
    """A node."""
    meta, status, spec = node.metadata, node.status, node.spec
    labels = {
        share(key): share(value) for key, value in (meta.labels or {}).items() if not key.startswith(_DROPPED_LABELS)
    }
    kept = {
        share(key): value
        for key, value in (meta.annotations or {}).items()
        if key.startswith(OURS) or key in KEPT_ANNOTATIONS
    }
    taints = (spec.taints if spec else None) or ()
    conditions = {one.type: one.status for one in (status.conditions if status else None) or ()}
    unschedulable = bool(spec and spec.unschedulable)
    return NodeView(
        name=meta.name,
        uid=meta.uid,
        labels=labels,
        annotations=kept,
        unschedulable=unschedulable,
        taints=tuple(share(f"{one.key}={one.value}:{one.effect}") for one in taints),
        ready=conditions.get("Ready") == "True",
        deleting=meta.deletion_timestamp is not None,
        gpus=gpus_in(status.allocatable if status else None, settings.gpu_resources),
        rack=_first(labels, settings.rack_labels),
        domain=_first(labels, settings.domain_labels),
        pool=_first(labels, settings.pool_labels),
        held_by=share(
            held_by(labels, kept, (one.key for one in taints), conditions, cordoned_by(node), problem_conditions)
        ),
        boot_id=(status.node_info.boot_id if status and status.node_info else "")[:_LONGEST],
    )


def cordoned_by(node: Node) -> tuple[str, ...] | None:
    """Who set `spec.unschedulable`, by the API server's notes; None where the node takes pods."""
    if node.spec is None or not node.spec.unschedulable:
        return None
    noted = node.metadata.managed_fields or ()
    return tuple(one.manager for one in noted if b'"f:unschedulable"' in bytes(one.fields))


def ready_since_ns(node: Node) -> int:
    """When the node became ready, or ceased to be; 0 where nobody has told."""
    for one in (node.status.conditions if node.status else None) or ():
        if one.type == "Ready":
            return time_ns(one.last_transition_time)
    return 0


def cordoned_since_ns(node: Node) -> int:
    """When the node was cordoned, as its taint says; 0 where nobody has told."""
    for one in (node.spec.taints if node.spec else None) or ():
        if one.key == "node.kubernetes.io/unschedulable":
            return time_ns(one.time_added)
    return 0


def pod_view(pod: Pod, owner: Owner | None, gpu_resources: Iterable[str]) -> PodView:
    """A pod; `owner`: of the gang."""
    meta = pod.metadata
    annotations = meta.annotations or {}
    return PodView(
        namespace=share(meta.namespace),
        name=meta.name,
        uid=meta.uid,
        node=share(pod.spec.node_name),
        owner=owner,
        labels={share(key): share(value) for key, value in (meta.labels or {}).items()},
        annotations={
            share(key): value if key.startswith(OURS) else _mark(value)
            for key, value in annotations.items()
            if not key.startswith(_DROPPED_ANNOTATIONS)
        },
        phase=share(pod.status.phase if pod.status else ""),
        gpus=_asked(pod, tuple(gpu_resources)),
        mirror=MIRROR in annotations,
        deleting=meta.deletion_timestamp is not None,
        priority=pod.spec.priority or 0,
        created_ns=time_ns(meta.creation_timestamp),
    )


def budget_view(budget: Budget) -> BudgetView | None:
    """A PodDisruptionBudget; None where it is about no pod."""
    selector = budget.spec.selector if budget.spec else None
    if selector is None:
        return None
    return BudgetView(
        namespace=share(budget.metadata.namespace),
        name=budget.metadata.name,
        match_labels=selector.match_labels or {},
        match_expressions=tuple(
            (one.key, one.operator, tuple(one.values or ())) for one in selector.match_expressions or ()
        ),
        allowed=budget.status.disruptions_allowed if budget.status else 0,
    )


def controller_of(meta: Meta) -> Owner | None:
    """What made an object."""
    for one in meta.owner_references or ():
        if one.controller and one.uid:
            return Owner(share(one.api_version), share(one.kind), share(one.name), share(one.uid))
    return None


def time_ns(text: str | None) -> int:
    """Unix ns of an RFC 3339 time as the API server writes it; 0 where it is none."""
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) * 1_000


def gpus_in(resources: Mapping[str, str | int] | None, names: Iterable[str]) -> int:
    """How many GPUs (or parts of them) are named; a resource that ends in `-` stands for all that begin so."""
    found = 0
    for name in names if resources else ():
        for key, value in (resources or {}).items():
            if key == name or (name.endswith("-") and key.startswith(name)):
                found += _whole(value)
    return found


def _mark(value: str) -> str:
    return share(value) if len(value) <= _SHARED_CHARS else value[:LONGEST_VALUE]


def _whole(value: str | int) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _asked(pod: Pod, names: tuple[str, ...]) -> int:
    """What the pod holds: containers together, or the dearest init container, which runs before them."""
    each: list[list[int]] = [[], []]
    for place, containers in enumerate((pod.spec.containers, pod.spec.init_containers or ())):
        for container in containers:
            held = container.resources
            each[place].append(gpus_in(held.limits or held.requests, names) if held is not None else 0)
    return max(sum(each[0]), max(each[1], default=0))


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name][:_LONGEST] for name in names if labels.get(name)), "")
