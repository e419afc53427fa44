"""Builders for what tests put into a cluster: plain manifests, small enough to read, big enough to be taken as real."""

from collections.abc import Iterable, Mapping
from typing import Any

from testcluster.admin import Object

IMAGE = "registry.invalid/trainer:1"
"""Never pulled: KWOK runs no containers."""
NEVER_ENDS = {"testcluster.watchstander.io/never-ends": "true"}
"""Label of a pod whose containers take no notice of SIGTERM: deleted or evicted, it stays Terminating."""


def ends_after(duration: str) -> dict[str, str]:
    """Annotation of a pod whose containers take so long to end after SIGTERM: `5s`."""
    return {"testcluster.watchstander.io/ends-after": duration}


def meta(name: str, namespace: str = "", labels: Mapping[str, str] | None = None, **more: Any) -> Object:
    """`metadata`, without the empty fields."""
    found = {"name": name, "namespace": namespace, "labels": dict(labels or {}), **more}
    return {key: value for key, value in found.items() if value}


def gpu_node(
    name: str,
    gpus: int = 8,
    rack: str = "",
    pool: str = "",
    clique: str = "",
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Mapping[str, str]] = (),
) -> Object:
    """A node with GPUs; rack, pool and NVLink domain by the labels that the agent's inventory reads by default."""
    named = {
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/rack": rack,
        "karpenter.sh/nodepool": pool,
        "nvidia.com/gpu.clique": clique,
        "nvidia.com/gpu.present": "true" if gpus else "",
        "nvidia.com/gpu.product": "NVIDIA-H200" if gpus else "",
        **(labels or {}),
    }
    resources = {"cpu": "192", "memory": "2048Gi", "ephemeral-storage": "2048Gi", "pods": "110"}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, labels={key: value for key, value in named.items() if value}),
        "spec": {"taints": [dict(taint) for taint in taints]} if taints else {},
        "status": {"capacity": dict(resources), "allocatable": dict(resources)},
    }


def namespace(name: str, labels: Mapping[str, str] | None = None) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta(name, labels=labels)}


def pod_spec(gpus: int = 0, restart: str = "Always", **more: Any) -> Object:
    """One container, with so many GPUs; `more` are further fields of the spec, `nodeSelector` say."""
    container: Object = {"name": "main", "image": IMAGE, "command": ["train"]}
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {"containers": [container], "restartPolicy": restart, "terminationGracePeriodSeconds": 30, **more}


def pod(name: str, namespace: str, gpus: int = 0, labels: Mapping[str, str] | None = None, **more: Any) -> Object:
    """A bare pod, without an owner."""
    metadata = meta(name, namespace, labels)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(gpus, **more)}


def indexed_job(
    name: str,
    namespace: str,
    pods: int = 4,
    gpus: int = 8,
    labels: Mapping[str, str] | None = None,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> Object:
    """A training job: one pod a rank group, each with its completion index; `more` are fields of the pod's spec."""
    return _job(name, namespace, pods, gpus, labels, pod_labels, pod_annotations, "Indexed", more)


def plain_job(
    name: str,
    namespace: str,
    pods: int = 1,
    gpus: int = 8,
    labels: Mapping[str, str] | None = None,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> Object:
    """A Job without indexes."""
    return _job(name, namespace, pods, gpus, labels, pod_labels, pod_annotations, "NonIndexed", more)


def _job(
    name: str,
    namespace: str,
    pods: int,
    gpus: int,
    labels: Mapping[str, str] | None,
    pod_labels: Mapping[str, str] | None,
    pod_annotations: Mapping[str, str] | None,
    mode: str,
    more: Mapping[str, Any],
) -> Object:
    metadata = {"labels": {"app": name, **(pod_labels or {})}, "annotations": dict(pod_annotations or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(name, namespace, labels),
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "completionMode": mode,
            "backoffLimit": 1000,
            "template": {"metadata": metadata, "spec": pod_spec(gpus, "Never", **more)},
        },
    }


def deployment(name: str, namespace: str, replicas: int = 2, gpus: int = 0, **more: Any) -> Object:
    """An inference server, say."""
    return _workload("apps/v1", "Deployment", name, namespace, gpus, more) | {
        "spec": {"replicas": replicas, **_selected(name, gpus, more)}
    }


def daemon_set(name: str, namespace: str, **more: Any) -> Object:
    """One pod on every node, cordoned ones too."""
    return _workload("apps/v1", "DaemonSet", name, namespace, 0, more)


def _workload(api: str, kind: str, name: str, namespace: str, gpus: int, more: Mapping[str, Any]) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": meta(name, namespace), "spec": _selected(name, gpus, more)}


def _selected(name: str, gpus: int, more: Mapping[str, Any]) -> Object:
    labels = {"app": name}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(gpus, **more)},
    }


def disruption_budget(
    name: str,
    namespace: str,
    app: str,
    *,
    min_available: int | str = 1000,
    max_unavailable: int | str | None = None,
) -> Object:
    """For the pods labelled `app`; as it stands it allows no eviction at all.

    `max_unavailable`, and percentages, want an owner with a scale subresource: over a Job's pods such a budget never
    allows anything (condition SyncFailed).
    """
    limit = {"minAvailable": min_available} if max_unavailable is None else {"maxUnavailable": max_unavailable}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta(name, namespace),
        "spec": {"selector": {"matchLabels": {"app": app}}, **limit},
    }


def service_account(name: str, namespace: str) -> Object:
    """Without any right."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name, namespace)}


def rule(verbs: Iterable[str], resources: Iterable[str], groups: Iterable[str] = ("",)) -> Object:
    """One rule of a role."""
    return {"verbs": list(verbs), "resources": list(resources), "apiGroups": list(groups)}


def cluster_role(name: str, rules: Iterable[Object], account: str, namespace: str) -> tuple[Object, Object]:
    """A ClusterRole, and the binding that gives it to a service account."""
    return _role("ClusterRole", name, "", rules, account, namespace)


def role(name: str, rules: Iterable[Object], account: str, namespace: str) -> tuple[Object, Object]:
    """A Role in the account's own namespace, and its binding."""
    return _role("Role", name, namespace, rules, account, namespace)


def _role(
    kind: str, name: str, within: str, rules: Iterable[Object], account: str, namespace: str
) -> tuple[Object, Object]:
    api = "rbac.authorization.k8s.io/v1"
    granted = {"apiVersion": api, "kind": kind, "metadata": meta(name, within), "rules": list(rules)}
    bound = {
        "apiVersion": api,
        "kind": f"{kind}Binding",
        "metadata": meta(name, within),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    return granted, bound
