"""Kubernetes identities against a real API server, asked with the rights that audit mode has and no others."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.access.authorise import Identity, NodeBinding, Role
from agent.access.kubernetes import RIGHTS, KubernetesIdentities
from agent.access.plan_rights import missing_rights
from agent.settings import KubernetesAccessSettings
from policies.cluster.client import KubeClient
from policies.cluster.rbac import AGENT, manifests, roles_for_people
from policies.model import Mode
from policies.plan import Blast, Step, StepKind, Target, make_plan
from testcluster.admin import Admin
from testcluster.objects import cluster_role, meta, rule, service_account
from testcluster.space import Space

API = "rbac.authorization.k8s.io/v1"


@pytest.fixture
def identities(cluster: Space, tmp_path: Path) -> Iterator[KubernetesIdentities]:
    """An agent's, in audit mode."""
    admin = cluster.admin
    made = manifests(Mode.AUDIT, (), namespace=cluster.namespace)
    for one in made:
        if one["kind"] == "ClusterRoleBinding":  # a name of its own: the roles are the same for all
            one["metadata"]["name"] = f"{AGENT}-{cluster.namespace}"
    for one in [*made, *roles_for_people()]:
        admin.apply(one)
    own = tmp_path / "token"
    own.write_text(admin.token_request(AGENT, cluster.namespace))
    found = KubernetesIdentities(
        KubernetesAccessSettings(enabled=True, remember_seconds=0.05, remember_refusal_seconds=0.05),
        lambda: KubeClient.at(cluster.plane.url, own, cluster.plane.ca_file),
        time.time_ns,
        cluster="prod",
        namespaces=lambda: ["default", cluster.namespace],
    )
    yield found
    admin.delete("ClusterRoleBinding", f"{AGENT}-{cluster.namespace}")


def bind(admin: Admin, role: str, account: str, of: str, namespace: str = "") -> str:
    """Give an account one of the roles for people; in one namespace where it is named."""
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    name = f"{role}-{account}-{of}"
    admin.create(
        {
            "apiVersion": API,
            "kind": kind,
            "metadata": meta(name, namespace),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": of}],
        }
    )
    return name


def until(identities: KubernetesIdentities, token: str, holds: Callable[[Identity | None], bool]) -> Identity | None:
    """Wait for the whole answer: it is some ten reviews, and the authoriser learns of a binding by a watch of its own,
    so that the first of them may be refused and the last allowed."""
    end = time.monotonic() + 20
    while not holds(found := identities.ask(token.encode())):
        if time.monotonic() > end:
            raise AssertionError(f"it does not come to hold; last: {found}")
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("role", "roles"),
    [
        ("watchstander-viewer", (Role.READ,)),
        ("watchstander-operator", (Role.READ, Role.ACKNOWLEDGE)),
        ("watchstander-approver", (Role.READ, Role.ACKNOWLEDGE, Role.APPROVE)),
        ("watchstander-admin", tuple(RIGHTS)),
    ],
)
def test_a_person_has_the_role_that_they_are_bound_to(
    cluster: Space, identities: KubernetesIdentities, role: str, roles: tuple[Role, ...]
) -> None:
    admin = cluster.admin
    admin.create(service_account("jane", cluster.namespace))
    token = admin.token_request("jane", cluster.namespace, audience="watchstander")
    nothing = identities.ask(token.encode())
    bound = bind(admin, role, "jane", cluster.namespace)
    found = until(identities, token, lambda who: who is not None and (who.roles, who.namespaces) == (roles, None))
    admin.delete("ClusterRoleBinding", bound)

    assert (nothing and nothing.roles, found and found.name) == (
        (),
        f"kubernetes:system:serviceaccount:{cluster.namespace}:jane",
    )


def test_a_role_bound_in_one_namespace_holds_there_only(cluster: Space, identities: KubernetesIdentities) -> None:
    admin = cluster.admin
    admin.create(service_account("jane", cluster.namespace))
    token = admin.token_request("jane", cluster.namespace)
    bind(admin, "watchstander-approver", "jane", cluster.namespace, cluster.namespace)
    roles = (Role.READ, Role.ACKNOWLEDGE, Role.APPROVE)
    found = until(identities, token, lambda who: who is not None and who.roles == roles)

    assert found is not None
    assert (found.namespaces, found.by_namespace) == ((cluster.namespace,), ((cluster.namespace, roles),))


def test_a_token_for_somebody_else_and_one_whose_account_is_gone_are_nobodys(
    cluster: Space, identities: KubernetesIdentities
) -> None:
    admin = cluster.admin
    admin.create(service_account("jane", cluster.namespace))
    vault = admin.token_request("jane", cluster.namespace, audience="vault")
    ours = admin.token_request("jane", cluster.namespace, audience="watchstander")
    before = [identities.ask(vault.encode()), identities.ask(ours.encode())]
    admin.delete("ServiceAccount", "jane", cluster.namespace)
    after = until(identities, ours, lambda who: who is None)

    assert ([who is not None for who in before], after) == ([False, True], None)


def test_a_collectors_token_binds_it_to_the_node_of_its_pod(cluster: Space, identities: KubernetesIdentities) -> None:
    admin = cluster.admin
    (name,) = cluster.add_nodes(1)
    admin.create(service_account("collector", cluster.namespace))
    (pod,) = cluster.run_job("collect", pods=1, gpus=0, serviceAccountName="collector")
    token = admin.token_request(
        "collector", cluster.namespace, audience="watchstander-ingest", pod=pod["metadata"]["name"]
    )
    without = identities.ask(token.encode())
    bound = bind(admin, "watchstander-collector", "collector", cluster.namespace)
    found = until(identities, token, lambda who: who is not None)
    admin.delete("ClusterRoleBinding", bound)

    assert without is None
    assert found is not None
    assert (found.roles, found.node) == (
        (Role.INGEST,),
        NodeBinding("prod", admin.get("Node", name)["metadata"]["uid"]),
    )


def test_who_approves_a_plan_may_do_by_hand_what_it_does_or_is_told_what_not(
    cluster: Space, identities: KubernetesIdentities
) -> None:
    admin = cluster.admin
    admin.create(service_account("jane", cluster.namespace))
    node = Target("v1", "Node", "", "gpu-1", "uid-1")
    job = Target("batch/v1", "Job", cluster.namespace, "train", "uid-2")
    steps = (Step(StepKind.CORDON, node), Step(StepKind.RESTART_JOB, job), Step(StepKind.EVICT, node))
    plan = make_plan("INC-1", "DEC-1", "rule", steps, Blast(), 1)
    who = identities.ask(admin.token_request("jane", cluster.namespace).encode())
    assert who is not None
    assert who.user is not None
    user = who.user
    before = missing_rights(identities, user, plan, [cluster.namespace])
    granted = [
        rule(["patch"], ["nodes"]),
        rule(["create"], ["pods/eviction"]),
        rule(["patch"], ["jobs"], ["batch"]),
    ]
    made = cluster_role(f"hands-{cluster.namespace}", granted, "jane", cluster.namespace)
    admin.create_all(made)
    end = time.monotonic() + 20
    while (after := missing_rights(identities, user, plan, [cluster.namespace])) and time.monotonic() < end:
        time.sleep(0.05)
    for one in made:
        admin.delete(one["kind"], one["metadata"]["name"])

    missing = (
        f"create pods/eviction in namespace {cluster.namespace}",
        f"patch jobs train in namespace {cluster.namespace}",
        "patch nodes gpu-1",
    )
    assert (before, after) == ("; ".join(f"may not {one}" for one in missing), "")
