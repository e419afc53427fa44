"""An agent beside a real API server, with the rights of audit mode: who gets in, and what happens when it is away."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from running_agent import RunningAgent, make_batch, wait_for

from agent.settings import Settings
from collectors.model import Subject, SubjectKind
from policies.cluster.rbac import AGENT, manifests, roles_for_people
from policies.model import Mode
from testcluster.admin import Admin
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node, indexed_job, meta, namespace, service_account


@pytest.fixture
def beside(own_control_plane: ControlPlane, tmp_path: Path) -> Iterator[tuple[ControlPlane, RunningAgent]]:
    plane, admin = own_control_plane, own_control_plane.admin
    admin.create(namespace("watchstander"))
    admin.create(gpu_node("gpu-1"))
    for one in [*manifests(Mode.AUDIT, ()), *roles_for_people()]:
        admin.apply(one)
    token = tmp_path / "own"
    token.write_text(admin.token_request(AGENT, "watchstander"))
    said = {
        "listen": {"address": "127.0.0.1:0"},
        "access": {"kubernetes": {"enabled": True, "remember_seconds": 2, "remember_refusal_seconds": 0.1}},
        "inventory": {
            "cluster": "prod",
            "kubernetes": True,
            "kubernetes_url": plane.url,
            "kubernetes_token_file": str(token),
            "kubernetes_ca_file": str(plane.ca_file),
        },
    }
    agent = RunningAgent(tmp_path / "data", msgspec.convert(said, Settings), routes=[])
    agent.start()
    try:
        yield plane, agent
    finally:
        agent.stop()


def someone(admin: Admin, name: str, role: str, **token: str) -> str:
    """A service account with one of the roles for people; its token."""
    admin.create(service_account(name, "watchstander"))
    bind(admin, name, role)
    return admin.token_request(name, "watchstander", **token)


def bind(admin: Admin, name: str, role: str) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta(name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "watchstander"}],
    }
    admin.create(binding)


def test_people_and_collectors_come_with_their_kubernetes_tokens_and_our_own_work_while_it_is_away(beside) -> None:
    plane, agent = beside
    admin = plane.admin
    jane = someone(admin, "jane", "watchstander-viewer", audience="watchstander")
    status = lambda token: agent.request("GET", "/metrics", token=token)[0]  # noqa: E731
    wait_for(lambda: status(jane) == 200, "jane's role")
    wait_for(lambda: agent.metric("watchstander_cluster_trusted") == 1, "a view to be trusted")
    nodes = agent.metric('watchstander_cluster_nodes{held_by="nobody"}')
    link = msgspec.json.decode(agent.request("POST", "/v1/login-links", token=jane)[2])["url"]
    answer, headers, page = agent.request("GET", link, token=None)
    cookie = {"cookie": headers["set-cookie"].partition(";")[0]}
    by_cookie = agent.request("GET", "/metrics", token=None, headers=cookie)[0]
    admin.delete("ClusterRoleBinding", "jane")
    wait_for(lambda: status(jane) == 403, "the end of jane's role")
    wait_for(lambda: agent.request("GET", "/metrics", token=None, headers=cookie)[0] == 403, "the end of her session's")
    plane.stop_api_server()
    wait_for(lambda: agent.metric("watchstander_cluster_trusted") == 0, "a view not to be trusted")
    stranger = jane[:-4] + "AAAA"
    away, headers, _ = agent.request("GET", "/metrics", token=stranger)

    assert (nodes, agent.metric("watchstander_access_reviews_total") > 0) == (1, True)
    assert (answer, by_cookie, b"kubernetes:system:serviceaccount:watchstander:jane" in page) == (200, 200, True)
    assert (away, headers["retry-after"], status(agent.token)) == (503, "5", 200)


def test_a_collector_sends_for_its_own_node_and_for_no_other(beside) -> None:
    plane, agent = beside
    admin = plane.admin
    admin.create(service_account("collector", "watchstander"))
    bind(admin, "collector", "watchstander-collector")
    admin.create(indexed_job("collect", "watchstander", pods=1, gpus=0, serviceAccountName="collector"))
    (pod,) = admin.wait_list(
        "Pod", lambda found: bool(found) and "nodeName" in found[0]["spec"], "watchstander", seconds=60.0
    )
    token = admin.token_request(
        "collector", "watchstander", audience="watchstander-ingest", pod=pod["metadata"]["name"]
    )
    node = Subject("prod", SubjectKind.NODE, admin.get("Node", "gpu-1")["metadata"]["uid"])
    wait_for(lambda: agent.send(make_batch(node=node), token=token)[0] == 200, "the collector's role")
    other = agent.send(make_batch(2), token=token)

    assert (other[0], agent.request("GET", "/metrics", token=token)[0]) == (403, 403)
    assert "may speak of node prod/" in other[1]["error"]["what"]
