"""The manifests on a real API server: what the agent's service account may and may not do, verb by verb."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from policies.cluster.needs import NEEDS
from policies.cluster.rbac import AGENT, LEASE, READS, manifests, roles_for_people, steps_of
from policies.model import ActionKind, Mode
from testcluster.admin import Admin, ApiError
from testcluster.control_plane import ControlPlane
from testcluster.objects import namespace
from testcluster.space import Space

NAMESPACE = "rbac-audit"
TARGETS = {
    "nodes": "/api/v1/nodes",
    "pods": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "jobs": f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs",
    "deployments": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    "statefulsets": f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets",
    "daemonsets": f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets",
    "replicasets": f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets",
    "cronjobs": f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs",
    "namespaces": "/api/v1/namespaces",
    "poddisruptionbudgets": f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
    "events": f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events",
    "configmaps": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "secrets": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "clusterrolebindings": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "mutating webhooks": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
}
VERBS = (
    ("create", "POST", ""),
    ("update", "PUT", "/a"),
    ("patch", "PATCH", "/a"),
    ("delete", "DELETE", "/a"),
    ("deletecollection", "DELETE", ""),
)
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
FORBIDDEN = [
    *((f"{verb} {what}", method, path + name) for what, path in TARGETS.items() for verb, method, name in VERBS),
    ("create pods/eviction", "POST", f"{TARGETS['pods']}/a/eviction"),
    ("create pods/exec", "POST", f"{TARGETS['pods']}/a/exec"),
    ("create pods/binding", "POST", f"{TARGETS['pods']}/a/binding"),
    ("patch pods/status", "PATCH", f"{TARGETS['pods']}/a/status"),
    ("patch pods/ephemeralcontainers", "PATCH", f"{TARGETS['pods']}/a/ephemeralcontainers"),
    ("get pods/log", "GET", f"{TARGETS['pods']}/a/log"),
    ("patch nodes/status", "PATCH", f"{TARGETS['nodes']}/a/status"),
    ("get nodes/proxy", "GET", f"{TARGETS['nodes']}/a/proxy/pods"),
    ("patch jobs/status", "PATCH", f"{TARGETS['jobs']}/a/status"),
    ("patch deployments/scale", "PATCH", f"{TARGETS['deployments']}/a/scale"),
    ("get secrets", "GET", f"{TARGETS['secrets']}/a"),
    ("list secrets", "GET", TARGETS["secrets"]),
    ("list configmaps", "GET", TARGETS["configmaps"]),
    ("create serviceaccounts/token", "POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{AGENT}/token"),
    ("get another lease", "GET", f"{LEASES}/{NAMESPACE}/leases/another"),
    ("update another lease", "PUT", f"{LEASES}/{NAMESPACE}/leases/another"),
    ("delete its own lease", "DELETE", f"{LEASES}/{NAMESPACE}/leases/{LEASE}"),
    ("create a lease elsewhere", "POST", f"{LEASES}/kube-system/leases"),
]


def apply(admin: Admin, made: list[dict[str, Any]]) -> None:
    for one in made:
        admin.apply(one)


def until_granted(admin: Admin, path: str) -> None:
    """The API server's authoriser follows its own watch of roles: a moment behind."""
    end = time.monotonic() + 20
    while True:
        try:
            admin.request("GET", path)
            return
        except ApiError as error:
            if error.status != 403 or time.monotonic() > end:
                raise
            time.sleep(0.05)


def make_namespace(admin: Admin) -> None:
    """Also where one of that name is still being taken away: tests may come in any order, with others between."""
    end = time.monotonic() + 60
    while True:
        try:
            admin.create(namespace(NAMESPACE))
            return
        except ApiError as error:
            if error.status != 409 or time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def agent(control_plane: ControlPlane) -> Iterator[Admin]:
    """Whoever bears the token of the agent's service account in audit mode."""
    admin = control_plane.admin
    make_namespace(admin)
    made = manifests(Mode.AUDIT, list(ActionKind), namespace=NAMESPACE)
    apply(admin, made)
    client = control_plane.client(admin.token_request(AGENT, NAMESPACE))
    until_granted(client, "/api/v1/nodes")
    yield client
    for one in made:
        if one["kind"].startswith("ClusterRole"):
            admin.delete(one["kind"], one["metadata"]["name"])
    admin.delete("Namespace", NAMESPACE)


@pytest.mark.parametrize(("what", "method", "path"), FORBIDDEN, ids=[what for what, _, _ in FORBIDDEN])
def test_in_audit_mode_the_api_server_forbids(agent: Admin, what: str, method: str, path: str) -> None:
    patch = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
    with pytest.raises(ApiError) as caught:
        agent.request(method, path, None if method == "GET" else {}, **patch)

    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/pods",
        "/api/v1/namespaces",
        "/apis/policy/v1/poddisruptionbudgets",
    ],
)
def test_in_audit_mode_it_reads_what_it_needs(agent: Admin, path: str) -> None:
    assert agent.request("GET", path)["kind"]


def test_in_audit_mode_it_holds_its_own_lease(agent: Admin) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}}
    made = agent.request("POST", path, {**lease, "spec": {"holderIdentity": "a"}})
    made["spec"]["holderIdentity"] = "b"
    agent.request("PUT", f"{path}/{LEASE}", made)

    assert agent.request("GET", f"{path}/{LEASE}")["spec"]["holderIdentity"] == "b"


def test_in_audit_mode_it_may_ask_who_somebody_is_and_what_they_may(agent: Admin) -> None:
    access = {"resourceAttributes": {"verb": "patch", "resource": "nodes"}, "user": "nobody"}
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": access}
    answer = agent.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", asked)

    assert agent.review_token("not-a-token").get("authenticated", False) is False
    assert answer["status"]["allowed"] is False


def test_the_audit_log_holds_no_write_of_the_agent_that_was_let_through_but_its_lease_and_its_questions(
    agent: Admin, control_plane: ControlPlane
) -> None:
    """After all the tests above, in whatever order: by the API server's own account."""
    done = [w for w in control_plane.writes(f"system:serviceaccount:{NAMESPACE}:{AGENT}") if w.code < 300]

    assert {write.resource for write in done} <= {"leases", "tokenreviews", "subjectaccessreviews"}


def may(admin: Admin, user: str, group: str, resource: str, verb: str, namespace: str = "") -> bool:
    """By SubjectAccessReview."""
    name, _, sub = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": name, "subresource": sub, "namespace": namespace}
    groups = ["system:serviceaccounts", "system:authenticated"]
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    return bool(admin.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)["status"]["allowed"])


NEVER = [
    ("", "secrets", "get"),
    ("", "secrets", "list"),
    ("", "configmaps", "get"),
    ("", "serviceaccounts/token", "create"),
    ("", "pods/exec", "create"),
    ("", "pods", "create"),
    ("", "nodes", "delete"),
    ("rbac.authorization.k8s.io", "clusterroles", "update"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("apps", "deployments", "patch"),
]


@pytest.mark.parametrize("action", [kind for kind in ActionKind if kind is not ActionKind.NOTIFY])
def test_where_it_may_act_each_verb_of_an_action_works_and_no_other_actions_does(
    cluster: Space, action: ActionKind
) -> None:
    admin, account = cluster.admin, f"acts-{action.value.replace('_', '-')}"
    made = manifests(Mode.ENFORCE, [action], namespace=cluster.namespace, account=account)
    for one in made:  # names of its own: tests of one control plane must not change each other's roles
        if one["kind"].startswith("ClusterRole"):
            one["metadata"]["name"] = one["metadata"]["name"].replace(AGENT, account)
        if one["kind"] == "ClusterRoleBinding":
            one["roleRef"]["name"] = one["roleRef"]["name"].replace(AGENT, account)
    apply(admin, made)
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    wanted = {need for step in steps_of([action]) for need in NEEDS[step]} | set(READS)
    others = {need for needs in NEEDS.values() for need in needs} - wanted
    try:
        until_granted(cluster.plane.client(admin.token_request(account, cluster.namespace)), "/api/v1/nodes")
        refused = {need for need in wanted if not may(admin, user, *need)}
        too_much = {need for need in {*others, *NEVER} if may(admin, user, *need)}
    finally:
        for one in made:
            if one["kind"].startswith("ClusterRole"):
                admin.delete(one["kind"], one["metadata"]["name"])

    assert (refused, too_much) == (set(), set())


def test_the_roles_for_people_are_taken_by_the_api_server(cluster: Space) -> None:
    apply(cluster.admin, roles_for_people())
    held = {one["metadata"]["name"] for one in cluster.admin.list("ClusterRole")}

    assert {one["metadata"]["name"] for one in roles_for_people()} <= held
