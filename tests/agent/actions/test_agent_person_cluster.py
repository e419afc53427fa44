"""A person's word in mid-plan, beside a real API server: it stops between two steps, and nobody is fought."""

from collections.abc import Callable
from typing import Any

import pytest
from agent_process import POLICY, AgentProcess, until, xid

from agent.store.store import open_store
from policies.cluster_view import Taken
from testcluster.objects import NEVER_ENDS, indexed_job
from testcluster.space import Space

pytestmark = pytest.mark.cluster
Start = Callable[..., AgentProcess]
DRAINS = POLICY.replace("[notify, cordon]", "[notify, cordon, evict]") + "  capacity: {ask: false}\n"


def draining(cluster: Space, agent: AgentProcess, name: str) -> dict[str, Any]:
    """An Xid 79 on a node whose only pod never ends; its plan, once the drain is under way."""
    job = indexed_job("stuck", cluster.namespace, 1, 8, nodeSelector=cluster.selector)
    labels = job["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels |= NEVER_ENDS
    cluster.admin.create(job)
    cluster.running("batch.kubernetes.io/job-name=stuck", 1)
    until(lambda: agent.get("/v1/actions")["leads"])
    assert agent.send(xid(str(cluster.admin.get("Node", name)["metadata"]["uid"]))) == 200

    def under_way() -> Any:
        plans = agent.get("/v1/plans?state=running")["plans"]
        return [
            plan for plan in plans if plan["steps"][0]["state"] == "done" and plan["steps"][1]["state"] == "running"
        ]

    (plan,) = until(under_way)
    found: dict[str, Any] = plan
    return found


def ended(agent: AgentProcess, plan: dict[str, Any]) -> dict[str, Any]:
    def over() -> Any:
        now = agent.get(f"/v1/plans/{plan['id']}")["plan"]
        return now if now["state"] not in ("running", "ready") else None

    found: dict[str, Any] = until(over)
    return found


def test_a_node_that_a_person_uncordons_in_mid_plan_stays_so(cluster: Space, agent_at: Start) -> None:
    """The plan stops, and nothing cordons the node again."""
    (name,) = cluster.add_nodes(1)
    agent = agent_at(policy_text=DRAINS)
    plan = draining(cluster, agent, name)

    cluster.admin.cordon(name, unschedulable=False)
    over = ended(agent, plan)

    assert over["state"] in ("stopped", "failed")
    assert "uncordoned" in over["reason"]
    patches = [
        w for w in cluster.plane.writes("admin") if w.name == name and w.verb == "patch" and w.resource == "nodes"
    ]
    assert not cluster.admin.get("Node", name)["spec"].get("unschedulable")
    assert len(patches) == 2  # the agent's cordon, and the person's uncordon


def test_an_incident_that_a_person_snoozes_in_mid_plan_stops_it_and_proposes_the_undo(
    cluster: Space, agent_at: Start
) -> None:
    """What was done stands until somebody approves taking it back."""
    (name,) = cluster.add_nodes(1)
    agent = agent_at(policy_text=DRAINS, actions={"approve_without_kubernetes": True})
    plan = draining(cluster, agent, name)
    later = agent.get(f"/v1/incidents/{plan['incident']}")["incident"]["opened_ns"] + 3600 * 10**9

    assert agent.ask("POST", f"/v1/incidents/{plan['incident']}/snooze", {"until_ns": later})[0] == 200
    over = ended(agent, plan)
    (undo,) = until(lambda: [one for one in agent.get("/v1/plans?state=awaiting")["plans"] if one["undoes"]])
    still = cluster.admin.get("Node", name)["spec"].get("unschedulable")
    approved = agent.ask("POST", f"/v1/plans/{undo['id']}/approve", {"digest": undo["digest"]})
    until(lambda: not cluster.admin.get("Node", name)["spec"].get("unschedulable"))

    assert (over["state"], undo["undoes"], still, approved[0]) == ("stopped", plan["id"], True, 200)
    assert "snoozed" in over["reason"]


def test_a_persons_uncordon_is_heard_after_a_kill_though_it_no_longer_shows(cluster: Space, agent_at: Start) -> None:
    """The word lies in the store: the agent that starts again does not cordon that node, and another it does."""
    names = cluster.add_nodes(2)
    uids = [str(cluster.admin.get("Node", name)["metadata"]["uid"]) for name in names]
    agent = agent_at()
    until(lambda: agent.get("/v1/actions")["leads"])
    assert agent.send(xid(uids[0])) == 200
    until(lambda: cluster.admin.get("Node", names[0])["spec"].get("unschedulable"))
    until(lambda: agent.get("/v1/plans?state=done")["plans"])

    cluster.admin.cordon(names[0], unschedulable=False)
    until(lambda: [word.node for word in words(agent) if word.what == "uncordon_by_person"] == [uids[0]])
    before = words(agent)
    agent.kill()
    # nothing on the node says any more that it was ours
    cluster.admin.patch("Node", names[0], {"metadata": {"annotations": {"watchstander.io/cordoned-by": None}}})
    again = agent_at()
    until(lambda: again.get("/v1/actions")["leads"])
    for sequence, uid in enumerate(uids, 10):
        assert again.send(xid(uid, sequence=sequence, gpu=f"GPU-again-{uid}")) == 200
    until(lambda: cluster.admin.get("Node", names[1])["spec"].get("unschedulable"))

    def refused() -> Any:
        for one in again.get("/v1/incidents")["incidents"]:
            for decision in again.get(f"/v1/incidents/{one['id']}")["decisions"]:
                if "a person uncordoned it" in decision["reason"]:
                    return decision
        return None

    decision = until(refused)
    again.kill()

    assert decision["verdict"] == "refused"
    assert f"node {names[0]}: a person uncordoned it" in decision["reason"]
    assert not cluster.admin.get("Node", names[0])["spec"].get("unschedulable")
    assert words(again) == before


def words(agent: AgentProcess) -> list[Taken]:
    """As they lie in the agent's store."""
    store = open_store(f"sqlite:///{agent.data / 'watchstander.db'}", create=False)
    try:
        return store.node_words()
    finally:
        store.close()
