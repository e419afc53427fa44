"""Objects of the API for the tests of the view, small."""

from typing import Any

import msgspec

from agent.cluster.health import Health
from agent.cluster.view import LiveCluster
from agent.inventory.objects import Budget, Namespace, Node, Pod
from agent.settings import ClusterSettings, InventorySettings

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def live(clock: Clock | None = None, **settings: Any) -> LiveCluster:
    """A view that nobody fills but the test."""
    chosen = ClusterSettings(**settings)
    return LiveCluster(InventorySettings(), chosen, clock or Clock(), Health(chosen))


def a_node(
    name: str = "n1",
    *,
    uid: str = "",
    gpus: int = 8,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    conditions: dict[str, str] | None = None,
    unschedulable: bool = False,
    ready: str = "True",
    changed: str = "2027-01-15T07:00:00Z",
    **metadata: Any,
) -> Node:
    """A node; `changed`: when its readiness did."""
    said = {"Ready": ready, **(conditions or {})}
    return _node(
        {
            "metadata": {
                "name": name,
                "uid": uid or f"uid-{name}",
                "labels": labels or {},
                "annotations": annotations or {},
                **metadata,
            },
            "spec": {"unschedulable": unschedulable, "taints": taints or []},
            "status": {
                "capacity": {"cpu": "192", "nvidia.com/gpu": str(gpus)} if gpus else {"cpu": "192"},
                "allocatable": {"nvidia.com/gpu": str(gpus)},
                "conditions": [
                    {"type": kind, "status": status, "lastTransitionTime": changed} for kind, status in said.items()
                ],
                "nodeInfo": {"bootID": f"boot-{name}"},
            },
        }
    )


def _node(said: Any) -> Node:
    """As the watcher reads it: from JSON."""
    return msgspec.json.decode(msgspec.json.encode(said), type=Node)


def a_pod(
    name: str = "p1",
    *,
    on: str = "n1",
    gpus: int = 8,
    owner: tuple[str, str, str, str] | None = ("batch/v1", "Job", "train", "uid-train"),
    namespace: str = "ml",
    phase: str = "Running",
    labels: dict[str, str] | None = None,
    created: str = "2027-01-15T07:00:00Z",
    uid: str = "",
    **metadata: Any,
) -> Pod:
    """A pod; `owner`: API version, kind, name, uid."""
    references = []
    if owner is not None:
        keys = ("apiVersion", "kind", "name", "uid")
        references = [{**dict(zip(keys, owner)), "controller": True}]
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid or f"uid-{name}",
                "labels": labels or {},
                "ownerReferences": references,
                "creationTimestamp": created,
                **metadata,
            },
            "spec": {
                "nodeName": on,
                "priority": 7,
                "containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)} if gpus else {"cpu": "1"}}}],
            },
            "status": {"phase": phase},
        },
        Pod,
    )


def a_budget(name: str, selector: Any, *, namespace: str = "ml", allowed: int = 0) -> Budget:
    """A PodDisruptionBudget."""
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
            "spec": {"selector": selector} if selector is not None else {},
            "status": {"disruptionsAllowed": allowed},
        },
        Budget,
    )


def a_namespace(name: str, uid: str = "", **labels: str) -> Namespace:
    """A namespace."""
    return msgspec.convert({"metadata": {"name": name, "uid": uid or f"uid-{name}", "labels": labels}}, Namespace)
