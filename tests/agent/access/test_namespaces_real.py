"""Two teams on a real API server: a service account that is bound in one namespace reads and decides there only.

The pods are real, and so is who watches them; the cards, and the Xid that each team's card has, are a collector's word.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from served_agent import Answer, ServedAgent, served
from test_access_real import bind

from agent.access.kubernetes import KubernetesIdentities
from agent.inventory.feed import InventoryFeed
from agent.inventory.kube_api import KubeApi
from agent.server.spaces import Spaces
from agent.settings import InventorySettings, KubernetesAccessSettings
from agent.store.store import Store
from agent.watch import Changes, Watch
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
)
from detectors.model.namespaces import namespaces_at
from policies.cluster.client import KubeClient
from policies.cluster.rbac import AGENT, manifests, roles_for_people
from policies.executor import entry_for
from policies.journal import PlanState
from policies.model import Mode
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan
from testcluster.objects import service_account
from testcluster.space import Space

CLUSTER = "prod"
NS = 10**9
PATIENCE_S = 30


@pytest.fixture
def theirs(cluster: Space) -> Iterator[Space]:
    """Another team's namespace, with nodes of its own."""
    space = Space.open(cluster.plane)
    yield space
    space.close()


@pytest.fixture
def own_token(cluster: Space, tmp_path: Path) -> Iterator[Path]:
    """Of an agent in audit mode."""
    admin = cluster.admin
    for one in [*manifests(Mode.AUDIT, (), namespace=cluster.namespace), *roles_for_people()]:
        if one["kind"] == "ClusterRoleBinding":
            one["metadata"]["name"] = f"{AGENT}-{cluster.namespace}"
        admin.apply(one)
    path = tmp_path / "token"
    path.write_text(admin.token_request(AGENT, cluster.namespace))
    yield path
    admin.delete("ClusterRoleBinding", f"{AGENT}-{cluster.namespace}")


class Team:
    """A node, a job of one pod on it, and the card that a collector says it holds."""

    def __init__(self, space: Space) -> None:
        (name,) = space.add_nodes(1)
        (pod,) = space.run_job("train", pods=1)
        self.namespace = space.namespace
        self.job_uid = space.admin.get("Job", "train", space.namespace)["metadata"]["uid"]
        self.node = Subject(CLUSTER, SubjectKind.NODE, space.admin.get("Node", name)["metadata"]["uid"])
        self.card = Subject(CLUSTER, SubjectKind.GPU, f"GPU-{space.namespace}")
        self.pod = Subject(CLUSTER, SubjectKind.POD, pod["metadata"]["uid"])
        self.facts = (
            SubjectFacts(self.node, name),
            SubjectFacts(self.card, self.card.id, self.node, {"index": "0", "pod_uid": self.pod.id}),
        )
        self._number = 0

    def batch(self, now_ns: int, *events: Event) -> Batch:
        self._number += 1
        return Batch(
            WIRE_VERSION, Origin.LIVE, self.node, "boot", f"spool-{self.namespace}", self._number, now_ns,
            (self.node, self.card), self.facts, events=events,
        )  # fmt: skip

    def xid(self, now_ns: int) -> Event:
        line = f"NVRM: Xid 79 in {self.namespace}"
        return Event(EventKind.XID, self.card, now_ns, EventSource.KERNEL_LOG, {"code": 79.0}, {}, line)

    def plan(self, incident: str) -> Plan:
        target = Target("batch/v1", "Job", self.namespace, "train", self.job_uid)
        steps = (Step(StepKind.RESTART_JOB, target, words=f"restart {self.namespace}/train"),)
        return make_plan(incident, "D-1", "restart", steps, Blast(jobs=1), time.time_ns())


class Watched:
    """A watch that is told by the cluster itself, and what it has found."""

    def __init__(self, teams: list[Team], url: str, token: Path, ca: Path) -> None:
        self.spaces, self.changes, self.now_ns = Spaces(Watch), Changes(), time.time_ns()
        feed = InventoryFeed(InventorySettings(cluster=CLUSTER), KubeApi(url, token, ca))
        told = feed.subscribe()
        feed.start()
        try:
            self._hear([team.batch(self.now_ns) for team in teams])
            watch = self.spaces.get(Origin.LIVE, CLUSTER)
            assert isinstance(watch, Watch)
            inventory = watch.engine.inventory
            end = time.monotonic() + PATIENCE_S
            while any(namespaces_at(inventory, team.card) != (team.namespace,) for team in teams):
                assert time.monotonic() < end, [namespaces_at(inventory, team.card) for team in teams]
                told.apply(inventory, self.now_ns)
                time.sleep(0.05)
        finally:
            feed.stop()
        for _ in range(60):  # first sight is a baseline: an Xid comes later
            self.now_ns += 5 * NS
            self._hear([team.batch(self.now_ns) for team in teams])
        self._hear([team.batch(self.now_ns, team.xid(self.now_ns)) for team in teams])
        self.changes.add(next(iter(self.spaces.live())).advance(self.now_ns + 20 * NS))

    def _hear(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.changes.add(self.spaces.space_for(batch).receive(batch, self.now_ns))

    def incident_of(self, team: Team) -> str:
        return next(one.id for one in self.changes.incidents if one.namespaces == (team.namespace,))


@pytest.fixture
def teams(cluster: Space, theirs: Space) -> list[Team]:
    return [Team(cluster), Team(theirs)]


@pytest.fixture
def watched(cluster: Space, teams: list[Team], own_token: Path) -> Watched:
    return Watched(teams, cluster.plane.url, own_token, cluster.plane.ca_file)


@pytest.fixture
def agent(
    cluster: Space, teams: list[Team], watched: Watched, own_token: Path, tmp_path: Path
) -> Iterator[ServedAgent]:
    identities = KubernetesIdentities(
        KubernetesAccessSettings(enabled=True, remember_seconds=0.05, remember_refusal_seconds=0.05),
        lambda: KubeClient.at(cluster.plane.url, own_token, cluster.plane.ca_file),
        time.time_ns,
        cluster=CLUSTER,
        namespaces=lambda: ["default", *(team.namespace for team in teams)],
    )

    def tell(store: Store) -> None:
        store.save(watched.changes)
        for team in teams:
            store.journal.open(entry_for(team.plan(watched.incident_of(team)), PlanState.AWAITING))

    with served(tmp_path, telling=tell, watches=lambda: watched.spaces, kubernetes=identities) as agent:
        yield agent


def until(agent: ServedAgent, path: str, token: str, status: int) -> Answer:
    """Wait for the authoriser to have learnt of a binding."""
    end = time.monotonic() + PATIENCE_S
    while (answer := agent.get(path, token)).status != status:
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)
    return answer


def test_a_service_account_bound_in_one_namespace_reads_and_decides_there_only(
    cluster: Space, teams: list[Team], watched: Watched, agent: ServedAgent
) -> None:
    ours, others = teams
    mine, hidden = (watched.incident_of(team) for team in teams)
    admin = cluster.admin
    admin.create(service_account("jane", ours.namespace))
    token = admin.token_request("jane", ours.namespace, audience="watchstander")
    before = agent.get("/v1/incidents", token).status
    bind(admin, "watchstander-approver", "jane", ours.namespace, ours.namespace)
    until(agent, f"/v1/incidents/{mine}", token, 200)

    listed = agent.get("/v1/incidents", token).json
    detail = agent.get(f"/v1/incidents/{mine}", token).json
    assert before == 403
    assert ([one["id"] for one in listed["incidents"]], listed["hidden"]) == ([mine], 1)
    assert [finding["namespaces"] for finding in detail["findings"]] == [[ours.namespace]] * len(detail["findings"])
    assert f"NVRM: Xid 79 in {ours.namespace}" in [event["line"] for event in detail["events"]]
    assert agent.get(f"/v1/incidents/{hidden}", token).status == 404
    assert others.namespace not in agent.get("/", token).text
    assert agent.get("/v1/quality", token).status == 403

    plans = agent.get("/v1/plans", token).json
    assert ([plan["incident"] for plan in plans["plans"]], plans["hidden"]) == ([mine], 1)
    yes = msgspec.json.encode({"digest": plans["plans"][0]["digest"]})
    theirs = others.plan(hidden)
    approved = agent.ask("POST", f"/v1/plans/{plans['plans'][0]['id']}/approve", token, yes)
    refused = agent.ask("POST", f"/v1/plans/{theirs.id}/approve", token, msgspec.json.encode({"digest": theirs.digest}))
    assert (approved.status, refused.status) == (200, 404)
    approval = approved.json["plan"]["approval"]
    assert approval["who"] == f"kubernetes:system:serviceaccount:{ours.namespace}:jane"
    assert approval["how"] == "TokenReview and SubjectAccessReview"
