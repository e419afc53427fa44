"""A whole agent beside a real API server: from an event at its door to a cordon, in all three modes."""

from collections.abc import Callable
from typing import Any

import pytest
from agent_process import AgentProcess, until, xid

from testcluster.space import Space

pytestmark = pytest.mark.cluster
Start = Callable[..., AgentProcess]


def uid_of(cluster: Space, name: str) -> str:
    return str(cluster.admin.get("Node", name)["metadata"]["uid"])


def is_cordoned(cluster: Space, name: str) -> bool:
    return bool(cluster.admin.get("Node", name)["spec"].get("unschedulable"))


def plans(agent: AgentProcess, state: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = agent.get(f"/v1/plans{f'?state={state}' if state else ''}")["plans"]
    return found


def test_an_xid_79_in_enforce_cordons_its_node_and_mitigates_the_incident(cluster: Space, agent_at: Start) -> None:
    """Everybody is told: the audit, the incident's events, the figures."""
    names = cluster.add_nodes(3)
    agent = agent_at()
    uid = uid_of(cluster, names[1])

    until(lambda: agent.get("/v1/actions")["leads"])
    assert agent.send(xid(uid)) == 200
    until(lambda: is_cordoned(cluster, names[1]))
    (plan,) = until(lambda: plans(agent, "done"))
    (incident,) = until(lambda: [one for one in agent.get("/v1/incidents")["incidents"] if one["state"] == "mitigated"])

    assert [is_cordoned(cluster, name) for name in names] == [False, True, False]
    node = cluster.admin.get("Node", names[1])
    assert plan["id"] in node["metadata"]["annotations"]["watchstander.io/cordoned-by"]
    assert [(step["kind"], step["state"]) for step in plan["steps"]] == [("cordon", "done")]
    detail = agent.get(f"/v1/incidents/{incident['id']}")
    assert [event["attributes"]["plan"] for event in detail["events"] if event["kind"] == "action"] == [plan["id"]]
    assert [word["kind"] for word in detail["words"]] == ["mitigate"]
    said = [entry["what"] for entry in agent.get("/v1/audit?limit=1000")["entries"]]
    # whether the watch has decided anew after it is a matter of moments
    assert said[0] == "decision"
    assert [what for what in said if what != "decision"] == ["plan", "begin", "mitigate", "done"]
    assert agent.get("/v1/audit/verify")["holds"]
    metrics = agent.ask("GET", "/metrics")[1]
    assert 'watchstander_steps_total{kind="cordon",result="done"} 1' in metrics
    assert 'watchstander_event_to_cordon_total{le="+Inf"} 1' in metrics
    assert "watchstander_lease_held 1" in metrics


def test_a_killed_agent_goes_on_where_it_was_and_cordons_once(cluster: Space, agent_at: Start) -> None:
    """The event was acknowledged, so nothing of it is forgotten."""
    (name,) = cluster.add_nodes(1)
    agent = agent_at()
    assert agent.send(xid(uid_of(cluster, name))) == 200
    agent.kill()
    again = agent_at()
    assert again.send(xid(uid_of(cluster, name), sequence=2)) == 200

    until(lambda: plans(again, "done"))

    written = [w for w in cluster.plane.writes("admin") if w.name == name and w.verb == "patch" and w.code < 300]
    assert len(written) == 1


def test_in_approve_a_person_sees_the_plan_and_says_yes_to_its_digest(cluster: Space, agent_at: Start) -> None:
    """Another digest is refused, and so is a token of the agent's own, unless the settings let it."""
    names = cluster.add_nodes(2)
    agent = agent_at(policy={"mode": "approve"})
    assert agent.send(xid(uid_of(cluster, names[0]))) == 200
    (plan,) = until(lambda: plans(agent, "awaiting"))
    path = f"/v1/plans/{plan['incident']}"
    card = agent.get(path)

    refused = agent.ask("POST", f"{path}/approve", {"digest": plan["digest"]})
    agent.kill()
    agent = agent_at(policy={"mode": "approve"}, actions={"approve_without_kubernetes": True})
    other = agent.ask("POST", f"{path}/approve", {"digest": "0" * 64})
    before = is_cordoned(cluster, names[0])
    # a batch, so that the watch over the cluster runs again
    assert agent.send(xid(uid_of(cluster, names[0]), sequence=2)) == 200
    allowed = agent.ask("POST", f"{path}/approve", {"digest": plan["digest"], "note": "seen"})
    until(lambda: is_cordoned(cluster, names[0]))

    assert (refused[0], "actions.approve_without_kubernetes" in refused[1]["error"]["what"]) == (403, True)
    assert (other[0], before, allowed[0]) == (409, False, 200)
    assert card["plan"]["id"] == plan["id"]
    assert card["evidence"][0]["line"].startswith("NVRM: Xid")
    assert {word["guard"] for word in card["guards"]} >= {"G1", "G6", "G19"}
    assert allowed[1]["plan"]["approval"]["who"] == "admin"


def test_in_audit_nothing_is_written_but_the_agents_own_lease(cluster: Space, agent_at: Start) -> None:
    """And the audit's head stands there."""
    (name,) = cluster.add_nodes(1)
    user = "admin"
    agent = agent_at(policy={"mode": "audit"}, actions={"audit_head_seconds": 1.0})
    before = len(cluster.plane.writes(user))
    assert agent.send(xid(uid_of(cluster, name))) == 200
    until(lambda: agent.get("/v1/incidents")["incidents"])

    def head() -> str:
        lease = cluster.admin.get("Lease", "watchstander", cluster.namespace)
        return str(lease["metadata"].get("annotations", {}).get("watchstander.io/audit-head", ""))

    published = until(head)
    newest = agent.get("/v1/audit?order=newest&limit=1")["entries"][0]

    assert newest["hash"] in until(lambda: newest["hash"] in head() and head()) or newest["hash"] in published
    assert {w.resource for w in cluster.plane.writes(user)[before:]} == {"leases"}
    assert plans(agent) == []


def test_a_pause_holds_every_plan_until_somebody_ends_it(cluster: Space, agent_at: Start) -> None:
    """G20, over the API."""
    (name,) = cluster.add_nodes(1)
    agent = agent_at()
    until(lambda: agent.get("/v1/actions")["leads"])
    assert agent.ask("POST", "/v1/actions/pause", {"reason": "driver upgrade"})[0] == 200
    assert agent.send(xid(uid_of(cluster, name))) == 200
    incident = until(lambda: agent.get("/v1/incidents")["incidents"])[0]
    decision = until(lambda: agent.get(f"/v1/incidents/{incident['id']}")["decisions"])[-1]
    held = is_cordoned(cluster, name)
    assert agent.ask("POST", "/v1/actions/resume", {})[0] == 200
    until(lambda: is_cordoned(cluster, name))

    assert (decision["verdict"], held) == ("refused", False)
    assert "paused by admin: driver upgrade" in decision["reason"]


@pytest.mark.postgres
def test_a_standby_sends_collectors_to_the_leader_and_takes_over_when_it_dies(
    cluster: Space, agent_at: Start, postgres_url: str
) -> None:
    """Over one PostgreSQL: with the incidents of the store, under the next generation."""
    names = cluster.add_nodes(2)
    address = "http://127.0.0.1:1"
    first = agent_at("first", store={"url": postgres_url}, actions={"address": address})
    until(lambda: first.get("/v1/actions")["leads"])
    assert first.send(xid(uid_of(cluster, names[0]))) == 200
    until(lambda: is_cordoned(cluster, names[0]))
    second = agent_at("second", store={"url": postgres_url}, actions={"address": "http://127.0.0.1:2"})
    until(lambda: "leads, this agent stands by" in second.get("/v1/actions")["why_not"])

    status = second.send(xid(uid_of(cluster, names[1])))
    went_to = second.location
    ready = second.ask("GET", "/readyz")[0]
    first.kill()
    until(lambda: second.get("/v1/actions")["leads"])
    taken = second.send(xid(uid_of(cluster, names[1])))
    until(lambda: is_cordoned(cluster, names[1]))
    incidents = second.get("/v1/incidents")["incidents"]

    assert (status, went_to, ready, taken) == (421, address, 200, 200)
    assert len(incidents) == 2
    assert second.get("/v1/actions")["generation"] == 2
    assert second.get("/v1/audit/verify")["holds"]


def test_a_person_approves_with_their_own_kubernetes_identity_where_a_role_lets_them(
    cluster: Space, agent_at: Start
) -> None:
    """TokenReview says who, a SubjectAccessReview at that moment says whether; both stand in the approval."""
    names = cluster.add_nodes(1)
    admin, namespace = cluster.admin, cluster.namespace
    for person in ("ann", "bob"):
        admin.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": person, "namespace": namespace}}
        )
    role = f"{namespace}-approver"
    reading = {"apiGroups": ["watchstander.io"], "resources": ["incidents"], "verbs": ["get"]}
    approving = {"apiGroups": ["watchstander.io"], "resources": ["plans"], "verbs": ["approve"]}
    rbac = "rbac.authorization.k8s.io"
    for name, rules in ((role, [reading, approving]), (f"{namespace}-reader", [reading])):
        admin.create({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
    for person, name in (("ann", role), ("bob", f"{namespace}-reader")):
        admin.create(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"{name}-{person}"},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": person, "namespace": namespace}],
            }
        )
    agent = agent_at(policy={"mode": "approve"}, access={"kubernetes": {"enabled": True}})
    until(lambda: agent.get("/v1/actions")["leads"])
    assert agent.send(xid(uid_of(cluster, names[0]))) == 200
    (plan,) = until(lambda: plans(agent, "awaiting"))
    path, body = f"/v1/plans/{plan['id']}/approve", {"digest": plan["digest"]}

    bob = agent.ask("POST", path, body, token=admin.token_request("bob", namespace))
    ann = agent.ask("POST", path, body, token=admin.token_request("ann", namespace))
    until(lambda: is_cordoned(cluster, names[0]))

    assert (bob[0], ann[0]) == (403, 200)
    approval = ann[1]["plan"]["approval"]
    assert approval["who"] == f"kubernetes:system:serviceaccount:{namespace}:ann"
    assert approval["how"] == "TokenReview and SubjectAccessReview"
