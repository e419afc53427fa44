"""A card of a running job is lost: the real control plane, a whole agent, a fleet; in audit, approve and enforce."""

import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from played_cluster import Played, played, until

from collectors.errors import FixConfiguration, GiveUp
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind
from collectors.wire import encode
from policies.model import Mode

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.xdist_group("played-cluster"),
    pytest.mark.timeout(420),
]

POLICY = """\
version: 1
rules:
  - name: gpu-off-the-bus
    description: As it ships, but for the time in which a mended node must stay sound.
    kinds: [xid, gpu_lost]
    when: incident.kind == "gpu_lost" || 79 in xid.codes
    actions: [notify, cordon, restart_job]
    wait_seconds: 10
    undo_when_resolved: true
    healthy_seconds: 5
guards:
  unavailable: {fleet: {count: 4, share: 0.5}, pool: {count: 4, share: 0.5}}
"""


def lose_a_card(cluster: Played) -> tuple[str, dict[str, Any]]:
    """Inject it on a node of the job, once that is steady; the node and the incident."""
    node = cluster.steady()[1]
    cluster.watchstander("inject", "xid-79", "--node", node, "--gpu", "3", "--watch", "0")
    (incident,) = until(cluster.incidents, "the incident")
    return node, incident


def restart_wanted(cluster: Played, incident: str, verdict: str) -> dict[str, Any]:
    """The decision that wants the job restarted too: its ranks hang, and that is known."""

    def found() -> list[dict[str, Any]]:
        made = [one for one in cluster.decisions(incident) if one["verdict"] == verdict]
        return [one for one in made if "restart_job" in {action["kind"] for action in one["actions"]}]

    return until(found, f"a decision that says {verdict}: restart the job")[0]


def test_audit_decides_records_and_writes_nothing(tmp_path: Path) -> None:
    with played(tmp_path, Mode.AUDIT) as cluster:
        before = cluster.play.plane.admin.list("Node")
        node, incident = lose_a_card(cluster)
        decision = restart_wanted(cluster, incident["id"], "would_do")
        detail = cluster.client.get(f"/v1/incidents/{incident['id']}")
        shown = cluster.watchstander("incident", incident["id"])

        assert (incident["kind"], incident["origin"]) == ("gpu_lost", "test")
        assert (incident["names"]["node"], incident["names"]["gpu"]) == (node, "3")
        assert [finding["kind"] for finding in detail["findings"]][:2] == ["gpu_lost", "collective_hang"]
        assert [(a["kind"], a["target_name"]) for a in decision["actions"]] == [
            ("notify", ""),
            ("cordon", node),
            ("restart_job", "llama"),
        ]
        said = {word["guard"]: word["allows"] for word in decision["guards"]}
        assert (said.pop("G1"), set(said.values())) == (False, {True})
        assert f"would tell people, cordon node {node} and restart job llama" in " ".join(shown.split())
        assert cluster.writes() == []
        assert cluster.cordoned() == []
        assert cluster.plans() == []
        uids = {one["metadata"]["uid"] for one in before}
        assert {one["metadata"]["uid"] for one in cluster.play.plane.admin.list("Node")} == uids
        assert cluster.client.get("/v1/audit/verify")["holds"]


def test_in_approve_a_person_of_the_cluster_says_yes_to_the_plan_that_was_shown(tmp_path: Path) -> None:
    with played(tmp_path, Mode.APPROVE) as cluster:
        node, incident = lose_a_card(cluster)
        (first,) = until(lambda: cluster.plans("awaiting"), "a plan that waits")
        restart_wanted(cluster, incident["id"], "ask")
        plan = until(lambda: [p for p in cluster.plans("awaiting") if len(p["steps"]) == 2], "the plan with the job")[0]
        path = f"/v1/plans/{plan['id']}/approve"
        alice, bob = cluster.person("alice"), cluster.person("bob")

        with pytest.raises(GiveUp):
            alice.post(path, {"digest": "0" * 64})
        if first["id"] != plan["id"]:  # it lapsed when the job was found to hang
            with pytest.raises(GiveUp):
                alice.post(f"/v1/plans/{first['id']}/approve", {"digest": first["digest"]})
        with pytest.raises(FixConfiguration):
            bob.post(path, {"digest": plan["digest"]})
        with pytest.raises(FixConfiguration):
            cluster.client.post(path, {"digest": plan["digest"]})  # an admin's token is no person
        assert cluster.writes() == []

        approved = alice.post(path, {"digest": plan["digest"], "note": "go"})
        until(lambda: cluster.cordoned() == [node], "the cordon")
        until(lambda: len(cluster.places()) == 4 and node not in cluster.places(), "the job on other nodes")
        step = cluster.step()
        until(lambda: cluster.step() > step + 3, "steps of the job again")
        until(lambda: cluster.plans("done"), "the end of the plan")

        assert approved["plan"]["approval"]["who"] == "kubernetes:alice"
        entries = cluster.client.get("/v1/audit", {"limit": 1000})["entries"]
        assert ("kubernetes:alice", "approve") in {(entry["actor"], entry["what"]) for entry in entries}
        assert cluster.client.get("/v1/audit/verify")["holds"]


def test_enforce_cordons_restarts_the_job_elsewhere_and_takes_back_only_its_own_cordon(tmp_path: Path) -> None:
    with played(tmp_path, Mode.ENFORCE, policy=POLICY) as cluster:
        idle = next(name for name in all_nodes(cluster) if name not in cluster.steady())
        cluster.play.plane.admin.cordon(idle)  # a person's
        node, incident = lose_a_card(cluster)
        until(lambda: set(cluster.cordoned()) == {idle, node}, "the cordon")
        until(lambda: len(cluster.places()) == 4 and node not in cluster.places(), "the job on other nodes")
        until(lambda: cluster.state_of(incident["id"]) == "mitigated", "an incident that is mitigated")
        step = cluster.step()
        until(lambda: cluster.step() > step + 3, "steps of the job again")
        until(lambda: steps_done(cluster) == ["cordon", "restart_job"], "the end of all steps")

        written = {(w.verb, w.resource, w.name) for w in cluster.writes() if w.code < 300}
        assert written == {("patch", "nodes", node), ("patch", "jobs", "llama")}
        assert [w for w in cluster.writes() if w.code >= 400 and w.code != 409] == []

        cluster.watchstander("inject", "repair", "--node", node, "--watch", "0")
        until(lambda: cluster.cordoned() == [idle], "the cordon to be taken back", 240)

        entries = cluster.client.get("/v1/audit", {"limit": 1000})["entries"]
        said = [entry["what"] for entry in entries]
        assert {"decision", "plan", "begin", "done", "mitigate"} <= set(said)
        assert cluster.watchstander("audit", "verify").startswith("The chain holds")
        assert incident["id"] in {one["id"] for one in cluster.incidents() if one["state"] == "resolved"}


def test_what_is_not_live_is_never_acted_on_also_in_enforce(tmp_path: Path) -> None:
    """A replayed Xid 79 of an existing node, and the fleet's own, at an agent that takes only live data for live."""
    with played(tmp_path, Mode.ENFORCE, as_live=False) as cluster:
        before = {node["metadata"]["name"]: node["spec"] for node in cluster.play.plane.admin.list("Node")}
        node, _ = lose_a_card(cluster)
        other = next(name for name in before if name != node)
        replay(cluster, other)
        for origin in ("test", "replay"):
            (incident,) = until(lambda origin=origin: cluster.incidents(origin), f"the incident of the {origin}")
            decision = until(
                lambda id_=incident["id"]: [d for d in cluster.decisions(id_) if d["verdict"] == "would_do"],
                f"the decision about the {origin}",
            )[0]
            assert (decision["mode"], incident["origin"]) == ("audit", origin)
            assert f"the data are a {origin}, not live" in decision["reason"]

        assert cluster.writes() == []
        assert {one["metadata"]["name"]: one["spec"] for one in cluster.play.plane.admin.list("Node")} == before
        assert cluster.plans() == []


def all_nodes(cluster: Played) -> list[str]:
    return [node["metadata"]["name"] for node in cluster.play.plane.admin.list("Node")]


def steps_done(cluster: Played) -> list[str]:
    return sorted(
        s["kind"] for p in cluster.plans("done") if not p["undoes"] for s in p["steps"] if s["state"] == "done"
    )


def replay(cluster: Played, name: str) -> None:
    """What a recording of that node would bring: the card lost by the kernel's word and by NVML's, an hour ago."""
    uid = cluster.play.plane.admin.get("Node", name)["metadata"]["uid"]
    node, card = (
        Subject("play", kind, id_) for kind, id_ in ((SubjectKind.NODE, uid), (SubjectKind.GPU, f"GPU-{uid}"))
    )
    start_ns = time.time_ns() - 3600 * 10**9
    line = "NVRM: Xid (PCI:0000:18:00): 79, pid=1, GPU has fallen off the bus."
    xid = Event(EventKind.XID, card, start_ns, EventSource.KERNEL_LOG, {"code": 79.0}, line=line)
    lost = Event(EventKind.GPU_LOST, card, start_ns + 10**9, EventSource.NVML)
    bye = Event(EventKind.COLLECTOR_GOODBYE, node, start_ns + 60 * 10**9, EventSource.COLLECTOR)
    token = (cluster.folder / "ingest.token").read_text()
    for number, events in enumerate(((xid, lost), (), (bye,))):
        sent_ns = start_ns + (2 + 25 * number) * 10**9
        batch = Batch(1, Origin.REPLAY, node, "boot", "replay", number, sent_ns, (node, card), events=events)
        send(cluster.play.beside.url, token, encode(batch))


def send(url: str, token: str, body: bytes) -> None:
    headers = {"authorization": f"Bearer {token}", "content-encoding": "zstd"}
    with urlopen(Request(f"{url}/v1/batch", body, headers, method="POST"), timeout=20) as answer:
        assert answer.status == 200
