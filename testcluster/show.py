"""The cluster in two tables, for people without kubectl."""

import json
from collections.abc import Iterable
from pathlib import Path

from collectors.errors import FixConfiguration
from testcluster.admin import Admin, Object
from testcluster.space import is_ready, phase

GPU = "nvidia.com/gpu"
SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


def admin_of(kubeconfig: Path) -> Admin:
    """The user of a kubeconfig as `ControlPlane.kubeconfig` writes it; FixConfiguration for another, or none."""
    try:
        found = json.loads(kubeconfig.read_text())
        cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
        return Admin(cluster["server"], user["token"], Path(cluster["certificate-authority"]))
    except (OSError, ValueError, LookupError, TypeError):
        raise FixConfiguration(f"{kubeconfig}: no kubeconfig of a test cluster; set KUBECONFIG to one") from None


def tables(admin: Admin) -> str:
    """Nodes with what holds them back and how many GPUs are taken; pods with where they run."""
    nodes, pods = admin.list("Node"), admin.list("Pod")
    taken: dict[str, int] = {}
    for pod in pods:
        if phase(pod) not in ("Succeeded", "Failed"):
            node = pod["spec"].get("nodeName", "")
            taken[node] = taken.get(node, 0) + _gpus(pod)
    lines: list[tuple[str, ...]] = [("NODE", "STATUS", "GPUS TAKEN", "RACK", "TAINTS")]
    lines += [_node(node, taken.get(node["metadata"]["name"], 0)) for node in nodes]
    more: list[tuple[str, ...]] = [("NAMESPACE", "POD", "STATUS", "NODE", "RESTARTED")]
    more += [_pod(pod) for pod in pods if pod["metadata"]["namespace"] not in SYSTEM_NAMESPACES]
    return f"{_aligned(lines)}\n\n{_aligned(more)}"


def _node(node: Object, taken: int) -> tuple[str, ...]:
    words = ["Ready" if is_ready(node) else "NotReady"]
    words += ["cordoned"] if node["spec"].get("unschedulable") else []
    taints = [f"{taint['key']}:{taint['effect']}" for taint in node["spec"].get("taints", [])]
    rack = node["metadata"]["labels"].get("topology.kubernetes.io/rack", "-")
    gpus = f"{taken} of {node['status']['allocatable'].get(GPU, 0)}"
    return node["metadata"]["name"], ", ".join(words), gpus, rack, " ".join(taints) or "-"


def _pod(pod: Object) -> tuple[str, ...]:
    metadata = pod["metadata"]
    status = "Terminating" if "deletionTimestamp" in metadata else phase(pod)
    attempt = metadata.get("labels", {}).get("jobset.sigs.k8s.io/restart-attempt", "-")
    return metadata["namespace"], metadata["name"], status, pod["spec"].get("nodeName", "-"), attempt


def _gpus(pod: Object) -> int:
    limits = [container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"]]
    return sum(int(limit.get(GPU, 0)) for limit in limits)


def _aligned(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
