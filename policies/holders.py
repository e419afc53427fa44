"""Who keeps pods off a node: what others leave on it, as a table.

A node that somebody else holds counts as unavailable, and what they did is never undone. Sources: the keys are those
that the projects' own code and manuals name (docs/kubernetes.md has the same table; a test holds the two together).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from policies.cluster_view import OWN_CORDON

OWN_TAINTS = "watchstander.io/"
"""Keys of our own taints begin so."""
OWN_MANAGER = "watchstander"
"""Our field manager, as our writes name it."""
PERSON = "person"
OURSELVES = "watchstander"


class On(StrEnum):
    """Where a sign stands."""

    TAINT = "taint"
    LABEL = "label"
    ANNOTATION = "annotation"
    CONDITION = "condition"


class Sign(msgspec.Struct, frozen=True):
    """One thing that tells that somebody holds a node."""

    holder: str
    on: On
    key: str
    """One that ends in `*` stands for all that begin so (taints only)."""
    values: tuple[str, ...] = ()
    """Only these count; empty: any."""


def _all(holder: str, on: On, keys: str, values: tuple[str, ...] = ()) -> tuple[Sign, ...]:
    return tuple(Sign(holder, on, key, values) for key in keys.split())


SIGNS: tuple[Sign, ...] = (
    # NVSentinel: fault-quarantine's annotations, its state machine's label. `remediation-*` are left out: they stay on
    # nodes long after (its issue 1416); while it holds a node, an annotation says so.
    *_all("nvsentinel", On.ANNOTATION, "quarantineHealthEventIsCordoned", ("True",)),
    *_all("nvsentinel", On.ANNOTATION, "quarantineHealthEventAppliedTaints"),
    *_all(
        "nvsentinel",
        On.LABEL,
        "dgxc.nvidia.com/nvsentinel-state",
        ("quarantined", "draining", "drain-succeeded", "drain-failed", "remediating"),
    ),
    *_all("cluster-autoscaler", On.TAINT, "ToBeDeletedByClusterAutoscaler DeletionCandidateOfClusterAutoscaler"),
    *_all("karpenter", On.TAINT, "karpenter.sh/disrupted karpenter.sh/disruption karpenter.sh/unregistered"),
    *_all("kured", On.ANNOTATION, "weave.works/kured-reboot-in-progress"),
    # GPU operator: driver upgrade (`upgrade-required` only waits its turn) and MIG reconfiguration
    *_all(
        "gpu-operator",
        On.LABEL,
        "nvidia.com/gpu-driver-upgrade-state",
        (
            "cordon-required",
            "wait-for-jobs-required",
            "pod-deletion-required",
            "drain-required",
            "node-maintenance-required",
            "pod-restart-required",
            "validation-required",
            "uncordon-required",
            "upgrade-failed",
        ),
    ),
    *_all("gpu-operator", On.LABEL, "nvidia.com/mig.config.state", ("pending", "rebooting")),
    *_all("medik8s", On.TAINT, "medik8s.io/*"),
    *_all("drain", On.CONDITION, "DrainScheduled", ("True",)),
    *_all("out-of-service", On.TAINT, "node.kubernetes.io/out-of-service"),
    *_all(
        "cloud-maintenance",
        On.TAINT,
        "cloud.google.com/impending-node-termination aws-node-termination-handler/* "
        "node.cloudprovider.kubernetes.io/shutdown node.cloudprovider.kubernetes.io/uninitialized",
    ),
    *_all("cloud-maintenance", On.LABEL, "cloud.google.com/active-node-maintenance", ("ONGOING", "true")),
    *_all(
        "cloud-maintenance",
        On.CONDITION,
        "VMEventScheduled FreezeScheduled RebootScheduled RedeployScheduled PreemptScheduled TerminateScheduled",
        ("True",),
    ),
    *_all(
        "eks-node-monitoring-agent",
        On.CONDITION,
        "AcceleratedHardwareReady KernelReady NetworkingReady StorageReady ContainerRuntimeReady",
        ("False",),
    ),
    *_all(
        "node-problem-detector",
        On.CONDITION,
        "KernelDeadlock ReadonlyFilesystem XfsShutdown CperHardwareErrorFatal FilesystemCorruptionProblem "
        "FrequentKubeletRestart FrequentDockerRestart FrequentContainerdRestart FrequentUnregisterNetDevice "
        "KubeletUnhealthy KubeletProblem ContainerRuntimeUnhealthy ContainerRuntimeProblem CorruptDockerOverlay2",
        ("True",),
    ),
)
"""The first that a node bears names its holder."""

_RANK = {sign: place for place, sign in enumerate(SIGNS)}
_EXACT: dict[On, dict[str, Sign]] = {
    on: {sign.key: sign for sign in SIGNS if sign.on is on and not sign.key.endswith("*")} for on in On
}
_PREFIXES = tuple((sign.key[:-1], sign) for sign in SIGNS if sign.key.endswith("*"))
KEPT_ANNOTATIONS = frozenset(_EXACT[On.ANNOTATION])


def held_by(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    taints: Iterable[str],
    conditions: Mapping[str, str],
    cordoned_by: Iterable[str] | None,
    more_conditions: Iterable[str] = (),
) -> str:
    """Who holds a node: `taints` are their keys, `conditions` type to status. Empty: nobody.

    Others come before ourselves: what two hold is not ours to give back. `cordoned_by`: who set `spec.unschedulable`,
    as the API server has noted it, where it is set, else None. `more_conditions`: types that count as
    node-problem-detector's when `True`. A cordon that nobody has signed is a person's; one that another than we set is
    theirs, though our annotation still stands there from before.
    """
    keys = list(taints)
    found = [
        *_met(On.LABEL, labels),
        *_met(On.ANNOTATION, annotations),
        *_met(On.CONDITION, conditions),
        *(sign for key in keys if (sign := _EXACT[On.TAINT].get(key)) is not None),
        *(sign for key in keys for prefix, sign in _PREFIXES if key.startswith(prefix)),
    ]
    if found:
        return min(found, key=_RANK.__getitem__).holder
    if any(conditions.get(kind) == "True" for kind in more_conditions):
        return "node-problem-detector"
    if cordoned_by is not None:
        ours = OWN_CORDON in annotations and all(setter == OWN_MANAGER for setter in cordoned_by)
        return OURSELVES if ours else PERSON
    return OURSELVES if any(key.startswith(OWN_TAINTS) for key in keys) else ""


def _met(on: On, said: Mapping[str, str]) -> list[Sign]:
    return [
        sign
        for key, sign in _EXACT[on].items()
        if (value := said.get(key)) and (not sign.values or value in sign.values)
    ]
