"""Training workloads of the controllers that `testcluster.controllers` starts."""

from typing import Any

from testcluster.admin import Object
from testcluster.objects import IMAGE, meta, pod_spec

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""On a Job or JobSet: Kueue keeps it suspended until the queue has room."""


def job_set(name: str, namespace: str, pods: int = 4, gpus: int = 8, restarts: int = 10, **more: Any) -> Object:
    """A JobSet with one gang, the Indexed Job `NAME-workers-0`; any failed pod restarts all of it, so many times."""
    job = {
        "parallelism": pods,
        "completions": pods,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {"spec": pod_spec(gpus, "Never", **more)},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": meta(name, namespace),
        "spec": {
            "failurePolicy": {"maxRestarts": restarts},
            "replicatedJobs": [{"name": "workers", "replicas": 1, "template": {"spec": job}}],
        },
    }


def leader_worker_set(name: str, namespace: str, groups: int = 1, size: int = 4, gpus: int = 8, **more: Any) -> Object:
    """Groups of a leader and its workers; a pod that fails or goes takes its whole group with it."""
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": meta(name, namespace),
        "spec": {
            "replicas": groups,
            "leaderWorkerTemplate": {
                "size": size,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "workerTemplate": {"spec": pod_spec(gpus, **more)},
            },
        },
    }


def training_runtime(name: str, namespace: str, gpus: int = 8, **more: Any) -> Object:
    """What a TrainJob runs on: PyTorch, one pod a node."""
    labels = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    spec = pod_spec(gpus, "Never", **more)
    spec["containers"][0]["name"] = "node"
    job = {"metadata": {"labels": labels}, "spec": {"template": {"spec": spec}}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": meta(name, namespace, {"trainer.kubeflow.org/framework": "torch"}),
        "spec": {
            "mlPolicy": {"numNodes": 1, "torch": {}},
            "template": {"spec": {"replicatedJobs": [{"name": "node", "template": job}]}},
        },
    }


def train_job(name: str, namespace: str, runtime: str, nodes: int = 4) -> Object:
    """A Kubeflow TrainJob (Trainer v2); it makes a JobSet of its own name."""
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": meta(name, namespace),
        "spec": {
            "runtimeRef": {"name": runtime, "kind": "TrainingRuntime", "apiGroup": "trainer.kubeflow.org"},
            "trainer": {"numNodes": nodes, "image": IMAGE},
        },
    }


def queue(name: str, namespace: str, gpus: int) -> tuple[Object, Object, Object]:
    """A Kueue flavor and cluster queue with room for so many GPUs, and the local queue that a job names."""
    api = "kueue.x-k8s.io/v1beta2"
    flavor = {"apiVersion": api, "kind": "ResourceFlavor", "metadata": meta(name)}
    room = {"name": name, "resources": [{"name": "nvidia.com/gpu", "nominalQuota": gpus}]}
    cluster = {
        "apiVersion": api,
        "kind": "ClusterQueue",
        "metadata": meta(name),
        "spec": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": [room]}],
        },
    }
    local = {
        "apiVersion": api,
        "kind": "LocalQueue",
        "metadata": meta(name, namespace),
        "spec": {"clusterQueue": name},
    }
    return flavor, cluster, local
