"""What each kind of step asks of the API server. RBAC manifests and docs/actions.md are made from this table; tests act
with these rights and no others.
"""

from policies.plan import StepKind

Need = tuple[str, str, str]
"""(apiGroup, resource with its subresource, verb); the core group is empty."""

_NODE_READ: tuple[Need, ...] = (("", "nodes", "get"),)
_NODE_PATCH: tuple[Need, ...] = (*_NODE_READ, ("", "nodes", "patch"))
_CONDITION: tuple[Need, ...] = (
    *_NODE_READ,
    ("", "nodes/status", "patch"),
    ("events.k8s.io", "events", "create"),
)
_PODS_READ: tuple[Need, ...] = (("", "pods", "list"),)


def _switch(group: str, plural: str) -> tuple[Need, ...]:
    return ((group, plural, "get"), (group, plural, "patch"))


JOB_NEEDS: dict[str, tuple[Need, ...]] = {
    "Job": _switch("batch", "jobs"),
    "JobSet": _switch("jobset.x-k8s.io", "jobsets"),
    "TrainJob": _switch("trainer.kubeflow.org", "trainjobs"),
    "LeaderWorkerSet": (("leaderworkerset.x-k8s.io", "leaderworkersets", "get"), ("", "pods", "delete")),
    "Kueue": (("kueue.x-k8s.io", "workloads", "patch"),),
}
"""Kind of job (and Kueue, which stands in front of the others) -> what restarting it needs beside `ANY_RESTART`."""
UNPROVEN_NEEDS: dict[str, tuple[Need, ...]] = {
    **{
        kind: _switch("kubeflow.org", f"{kind.lower()}s")
        for kind in ("PyTorchJob", "TFJob", "XGBoostJob", "JAXJob", "MPIJob")
    },
    "RayJob": _switch("ray.io", "rayjobs"),
    "Job.volcano": (("batch.volcano.sh", "jobs", "get"), ("bus.volcano.sh", "commands", "create")),
}
"""The same for kinds that are off by default; to be granted only where they are switched on."""
TEMPLATE_NEEDS: dict[str, tuple[Need, ...]] = {
    "Job": (("batch", "jobs", "get"), ("batch", "jobs", "create")),
    "RebootNode": (
        ("janitor.dgxc.nvidia.com", "rebootnodes", "get"),
        ("janitor.dgxc.nvidia.com", "rebootnodes", "create"),
    ),
    "GPUReset": (("janitor.dgxc.nvidia.com", "gpuresets", "get"), ("janitor.dgxc.nvidia.com", "gpuresets", "create")),
}
"""What the objects of docs/actions.md's templates need; a Job only in the namespace that its template names."""

_OWNERS: tuple[Need, ...] = tuple(
    need for kind, needs in JOB_NEEDS.items() if kind != "Kueue" for need in needs if need[1] != "pods"
)
ANY_RESTART: tuple[Need, ...] = (*_PODS_READ, ("kueue.x-k8s.io", "workloads", "list"))
"""Whether Kueue manages a job is asked of every job, also where there is no Kueue: without this right, 403 hides it."""
_ANY_JOB: tuple[Need, ...] = tuple(need for needs in JOB_NEEDS.values() for need in needs)

NEEDS: dict[StepKind, tuple[Need, ...]] = {
    StepKind.CHECKPOINT: (*_OWNERS, ("leaderworkerset.x-k8s.io", "leaderworkersets", "patch")),
    StepKind.CORDON: _NODE_PATCH,
    StepKind.UNCORDON: _NODE_PATCH,
    StepKind.TAINT: _NODE_PATCH,
    StepKind.UNTAINT: _NODE_PATCH,
    StepKind.LABEL: _NODE_PATCH,
    StepKind.UNLABEL: _NODE_PATCH,
    StepKind.CONDITION: _CONDITION,
    StepKind.CLEAR_CONDITION: _CONDITION,
    StepKind.EVICT: (*_NODE_READ, *_PODS_READ, ("", "pods/eviction", "create")),
    StepKind.RESTART_JOB: (*ANY_RESTART, *_ANY_JOB),
    StepKind.RESET_GPU: (*_NODE_READ, *_PODS_READ),
    StepKind.REBOOT_NODE: (*_NODE_READ, *_PODS_READ),
}
"""Every kind of step. Resets and reboots need what their template creates on top (`TEMPLATE_NEEDS`)."""


def needs_of(kinds: frozenset[StepKind], jobs: frozenset[str] = frozenset(JOB_NEEDS)) -> tuple[Need, ...]:
    """What an agent needs that may take these steps, restarting these kinds of jobs only; sorted, each once."""
    wanted = {need for kind in kinds for need in NEEDS[kind]}
    other = {need for kind, needs in JOB_NEEDS.items() if kind not in jobs for need in needs}
    kept = {need for kind in jobs for need in JOB_NEEDS[kind]}
    return tuple(sorted(wanted - (other - kept)))
