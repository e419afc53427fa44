"""Who may do what in the played cluster: the agent, by its mode, and two people."""

from testcluster.admin import Admin, Object
from testcluster.objects import cluster_role, meta, namespace, role, rule, service_account

AGENT_NAMESPACE = AGENT = "watchstander"
PEOPLE = {"alice": ("sre",), "bob": ("researchers",)}
"""Users of the cluster and their groups: SREs may approve, researchers may look."""
JOB_KINDS = (
    (("batch",), "jobs"),
    (("jobset.x-k8s.io",), "jobsets"),
    (("leaderworkerset.x-k8s.io",), "leaderworkersets"),
    (("trainer.kubeflow.org",), "trainjobs"),
)
LOOK = [
    rule(("get", "list", "watch"), ("nodes", "pods", "namespaces")),
    rule(("get", "list", "watch"), ("poddisruptionbudgets",), ("policy",)),
    *(rule(("get", "list", "watch"), (plural,), groups) for groups, plural in JOB_KINDS),
    rule(("create",), ("tokenreviews",), ("authentication.k8s.io",)),
    rule(("create",), ("subjectaccessreviews",), ("authorization.k8s.io",)),
]
"""All that an agent in audit mode may do, beside its own Lease."""
ACT = [
    rule(("patch",), ("nodes", "nodes/status")),
    rule(("create",), ("pods/eviction",)),
    rule(("delete",), ("pods",)),
    rule(("create",), ("events",), ("events.k8s.io",)),
    *(rule(("patch",), (plural,), groups) for groups, plural in JOB_KINDS),
]
"""What carrying out plans needs on top."""
OWN = [rule(("get", "list", "watch", "create", "update", "patch"), ("leases",), ("coordination.k8s.io",))]


def grant(admin: Admin, mode: str) -> None:
    """Make the agent's account and roles, and the people's."""
    admin.create(namespace(AGENT_NAMESPACE))
    admin.create(service_account(AGENT, AGENT_NAMESPACE))
    rules = LOOK if mode == "audit" else [*LOOK, *ACT]
    admin.create_all(cluster_role(f"{AGENT}-{mode}", rules, AGENT, AGENT_NAMESPACE))
    admin.create_all(role(AGENT, OWN, AGENT, AGENT_NAMESPACE))
    ours = ("watchstander.io",)
    look, approve = rule(("get",), ("incidents",), ours), rule(("approve",), ("plans",), ours)
    acknowledge = rule(("update",), ("incidents",), ours)
    admin.create_all(_group_role("watchstander-reader", [look], "researchers"))
    admin.create_all(_group_role("watchstander-approver", [look, acknowledge, approve], "sre"))


def _group_role(name: str, rules: list[Object], group: str) -> tuple[Object, Object]:
    api = "rbac.authorization.k8s.io"
    granted = {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": meta(name), "rules": rules}
    bound = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta(name),
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "Group", "name": group, "apiGroup": api}],
    }
    return granted, bound
