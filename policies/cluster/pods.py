"""Pods of a node as a drain sees them: which it evicts, and why it leaves the others."""

from collections.abc import Sequence
from datetime import datetime

from policies.cluster.client import Json, KubeClient, path_of
from policies.cluster.marks import annotations, labels
from policies.cluster_view import PROTECTED

MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a static pod's image in the API: the kubelet would only make it anew."""
MOST_NAMES = 5
"""So many are named in a sentence."""


def pods_on(client: KubeClient, node_name: str) -> list[Json]:
    """All pods bound to a node, of all namespaces."""
    query = {"fieldSelector": f"spec.nodeName={node_name}"}
    return list(client.get(path_of("v1", "pods"), query).get("items") or ())


def pods_labelled(client: KubeClient, namespace: str, selector: str) -> list[Json]:
    """The pods of a namespace with these labels."""
    return list(client.get(path_of("v1", "pods", namespace), {"labelSelector": selector}).get("items") or ())


def uid(pod: Json) -> str:
    """Of the pod: another under its name has another."""
    return str(pod["metadata"]["uid"])


def name(pod: Json) -> str:
    """`namespace/name`."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def names(pods: list[Json]) -> str:
    """The first few, for a sentence."""
    more = f" and {len(pods) - MOST_NAMES} more" if len(pods) > MOST_NAMES else ""
    return ", ".join(name(pod) for pod in pods[:MOST_NAMES]) + more


def holds_gpus(pod: Json, resources: Sequence[str]) -> bool:
    """Whether a container asks for one of these, or the pod has resource claims (which may be GPUs)."""
    spec = pod.get("spec", {})
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked = [key for one in containers for key in ((one.get("resources") or {}).get("limits") or {})]
    found = any(key == one or (one.endswith("-") and key.startswith(one)) for key in asked for one in resources)
    return found or bool(spec.get("resourceClaims"))


def is_over(pod: Json) -> bool:
    """Its containers have ended for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_ending(pod: Json) -> bool:
    """It was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def controller(pod: Json) -> Json:
    """The ownerReference of its controller; empty where it has none."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def left_because(pod: Json) -> str:
    """Why a drain leaves this pod where it is; empty: it does not."""
    if MIRROR in annotations(pod):
        return "static"
    if controller(pod).get("kind") == "DaemonSet":
        return "DaemonSet"
    if is_over(pod):
        return "finished"
    if "true" in (labels(pod).get(PROTECTED), annotations(pod).get(PROTECTED)):
        return "protected"
    return ""


def overdue_seconds(pod: Json, server_ns: int) -> float:
    """How long after the end of its grace period an ending pod is still there; by the API server's clock."""
    until = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"]).timestamp()
    return max(0.0, server_ns / 1e9 - until)
