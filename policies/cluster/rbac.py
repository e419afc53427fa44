"""The agent's rights as manifests: what it reads in every mode, what it may do on top where it may act, and roles for
people. Least privilege: nothing is granted that the chosen actions do not need (`needs.py`, which tests hold it to).
"""

from collections.abc import Iterable
from typing import Any

from policies.cluster.needs import ANY_RESTART, JOB_NEEDS, TEMPLATE_NEEDS, UNPROVEN_NEEDS, Need, needs_of
from policies.model import ActionKind, Mode
from policies.plan import UNDO, StepKind

Manifest = dict[str, Any]

API = "rbac.authorization.k8s.io/v1"
GROUP = "watchstander.io"
"""Of the resources that stand for the agent's own doors. They exist in RBAC alone."""
AGENT = "watchstander-agent"
ACTS = "watchstander-agent-acts"
COLLECTOR = "watchstander-collector"
LEASE = "watchstander"

READS: tuple[Need, ...] = (
    *(
        (group, resource, verb)
        for group, resource in (("", "nodes"), ("", "pods"), ("", "namespaces"), ("policy", "poddisruptionbudgets"))
        for verb in ("get", "list", "watch")
    ),
    ("jobset.x-k8s.io", "jobsets", "get"),
    ("leaderworkerset.x-k8s.io", "leaderworkersets", "get"),
    ("ray.io", "rayclusters", "get"),
    ("authentication.k8s.io", "tokenreviews", "create"),
    ("authorization.k8s.io", "subjectaccessreviews", "create"),
)
"""What audit mode reads and asks; nothing in it changes anything."""

PEOPLE: dict[str, tuple[Need, ...]] = {
    "watchstander-viewer": ((GROUP, "incidents", "get"),),
    "watchstander-operator": ((GROUP, "incidents", "get"), (GROUP, "incidents", "update")),
    "watchstander-approver": (
        (GROUP, "incidents", "get"),
        (GROUP, "incidents", "update"),
        (GROUP, "plans", "approve"),
    ),
    "watchstander-admin": (
        (GROUP, "agents", "update"),
        (GROUP, "incidents", "get"),
        (GROUP, "incidents", "update"),
        (GROUP, "plans", "approve"),
    ),
    COLLECTOR: ((GROUP, "batches", "create"),),
}
"""ClusterRoles to be bound to people (and the last to collectors), in the whole cluster or in a namespace."""


def steps_of(actions: Iterable[ActionKind]) -> frozenset[StepKind]:
    """Every kind of step that the planner makes of these actions, and their undo.

    A node is cordoned before pods leave it, whoever is moved may be asked to save first (P1), and a node that no
    remedy helped is labelled for repair (P3).
    """
    kinds = {StepKind(action.value) for action in actions if action is not ActionKind.NOTIFY}
    if kinds & {StepKind.EVICT, StepKind.RESET_GPU, StepKind.REBOOT_NODE}:
        kinds |= {StepKind.CORDON, StepKind.EVICT, StepKind.CHECKPOINT}
    if kinds & {StepKind.RESET_GPU, StepKind.REBOOT_NODE}:
        kinds.add(StepKind.LABEL)
    if StepKind.RESTART_JOB in kinds:
        kinds.add(StepKind.CHECKPOINT)
    return frozenset(kinds | {UNDO[kind] for kind in kinds if kind in UNDO})


def manifests(
    mode: Mode,
    actions: Iterable[ActionKind],
    *,
    namespace: str = "watchstander",
    account: str = AGENT,
    jobs: frozenset[str] = frozenset(JOB_NEEDS),
    unproven: frozenset[str] = frozenset(),
    templates: frozenset[str] = frozenset(),
    template_namespace: str = "",
    lease: str = LEASE,
) -> list[Manifest]:
    """Service account, roles and bindings for one mode; in audit the actions do not matter.

    `jobs`, `unproven`: kinds that may be restarted (`needs.py`). `templates`: kinds of what is created for resets and
    reboots; Jobs among them in `template_namespace` only (empty: the agent's own).
    """
    made = [
        _named("v1", "ServiceAccount", account, namespace),
        *_cluster_role(AGENT, READS, account, namespace),
        *_lease_role(lease, account, namespace),
    ]
    steps = steps_of(actions) if mode is not Mode.AUDIT else frozenset()
    if steps:
        foreign = {need[:2] for kind, own in JOB_NEEDS.items() if kind not in jobs for need in own if need[0]}
        needs = {need for need in needs_of(steps, jobs) if need[:2] not in foreign}
        if StepKind.RESTART_JOB in steps:
            needs |= {*ANY_RESTART, *(need for kind in unproven for need in UNPROVEN_NEEDS[kind])}
        if steps & {StepKind.RESET_GPU, StepKind.REBOOT_NODE}:
            needs |= {need for kind in templates - {"Job"} for need in TEMPLATE_NEEDS[kind]}
            if "Job" in templates:
                within = template_namespace or namespace
                made += _role("Role", ACTS, within, rules(TEMPLATE_NEEDS["Job"]), account, namespace)
        made += _cluster_role(ACTS, needs, account, namespace)
    return made


def roles_for_people() -> list[Manifest]:
    """ClusterRoles without bindings: whom to give them to is the cluster's own affair."""
    return [{**_named(API, "ClusterRole", name), "rules": rules(needs)} for name, needs in PEOPLE.items()]


def rules(needs: Iterable[Need]) -> list[Manifest]:
    """Rules that grant exactly these, resources of one group with the same verbs together."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for group, resource, verb in needs:
        verbs.setdefault((group, resource), set()).add(verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), held in sorted(verbs.items()):
        together.setdefault((group, tuple(sorted(held))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(held)}
        for (group, held), resources in together.items()
    ]


def _lease_role(lease: str, account: str, namespace: str) -> list[Manifest]:
    """Its own Lease by name. A name cannot be named where something is created: that right is for the namespace."""
    group, resources = ["coordination.k8s.io"], ["leases"]
    granted = [
        {"apiGroups": group, "resources": resources, "verbs": ["create"]},
        {"apiGroups": group, "resources": resources, "verbs": ["get", "update"], "resourceNames": [lease]},
    ]
    return _role("Role", AGENT, namespace, granted, account, namespace)


def _cluster_role(name: str, needs: Iterable[Need], account: str, namespace: str) -> list[Manifest]:
    return _role("ClusterRole", name, "", rules(needs), account, namespace)


def _role(kind: str, name: str, within: str, granted: list[Manifest], account: str, namespace: str) -> list[Manifest]:
    """A role and its binding to the agent's account."""
    return [
        {**_named(API, kind, name, within), "rules": granted},
        {
            **_named(API, f"{kind}Binding", name, within),
            "roleRef": {"apiGroup": API.partition("/")[0], "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]


def _named(api: str, kind: str, name: str, namespace: str = "") -> Manifest:
    metadata = {"name": name, "labels": {"app.kubernetes.io/name": "watchstander"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata}
