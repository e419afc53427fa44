"""What the played cluster holds: 20 GPU nodes in five racks, and a training job of four pods, 32 ranks."""

from testcluster.admin import Admin
from testcluster.objects import ends_after, gpu_node, indexed_job, namespace
from testcluster.space import is_ready, phase

NODES, PER_RACK, GPUS = 20, 4, 8
NAMESPACE, JOB, PODS = "training", "llama", 4
ENDS_AFTER = "3s"
"""How long a pod of the job takes from SIGTERM to its end."""


def node_names(count: int = NODES) -> list[str]:
    """`gpu-node-01` and on."""
    return [f"gpu-node-{number:02d}" for number in range(1, count + 1)]


def build(admin: Admin, count: int = NODES, seconds: float = 60.0) -> None:
    """Make all of it; returns when the nodes are Ready and the job's pods run. GiveUp where that takes too long."""
    for number, name in enumerate(node_names(count)):
        rack = f"rack-{number // PER_RACK}"
        admin.create(gpu_node(name, GPUS, rack=rack, pool="h200", clique=f"{name}.0"))
    admin.wait_list("Node", lambda nodes: len(nodes) == count and all(map(is_ready, nodes)), seconds=seconds)
    admin.create(namespace(NAMESPACE))
    admin.wait("ServiceAccount", "default", bool, NAMESPACE, seconds)
    admin.create(indexed_job(JOB, NAMESPACE, PODS, GPUS, pod_annotations=ends_after(ENDS_AFTER)))
    admin.wait_list("Pod", _all_run, NAMESPACE, seconds=seconds)


def _all_run(pods: list[dict[str, object]]) -> bool:
    return len(pods) == PODS and all(phase(pod) == "Running" for pod in pods)
