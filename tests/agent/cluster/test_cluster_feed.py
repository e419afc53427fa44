"""The view filled by the inventory's own watches, over a real socket; and who owns a gang, asked once."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import live

from agent.cluster.view import LiveCluster
from agent.inventory.feed import InventoryFeed
from agent.inventory.kube_api import KubeApi
from agent.settings import InventorySettings
from benchmarks.kube_server import TOKEN, KubeServer, node, pod

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
BUDGETS, NAMESPACES = "/apis/policy/v1/poddisruptionbudgets", "/api/v1/namespaces"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/train/jobsets"
LWS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/train/leaderworkersets"
RAY = "/apis/ray.io/v1/namespaces/train/rayclusters"


@pytest.fixture
def server() -> Iterator[KubeServer]:
    made = KubeServer()
    yield made
    made.close()


@pytest.fixture
def run(server: KubeServer, tmp_path: Path) -> Iterator[Callable[[], LiveCluster]]:
    """Starts a feed; what it fills."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    feeds: list[InventoryFeed] = []

    def begin() -> LiveCluster:
        cluster = live()
        cluster.clock = time.time_ns
        feed = InventoryFeed(InventorySettings(), KubeApi(server.url, token, None, 10.0), cluster)
        for watcher in (feed.nodes, feed.pods, feed.budgets, feed.namespaces):
            assert watcher is not None
            watcher.jitter = lambda: 0.01
        feeds.append(feed)
        feed.start()
        return cluster

    yield begin
    for feed in feeds:
        feed.stop()


def until(holds: Callable[[], bool], cluster: LiveCluster) -> None:
    end = time.monotonic() + 20
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"it does not come to hold; problem: {cluster.problem(time.time_ns())!r}")
        threading.Event().wait(0.01)


def well(cluster: LiveCluster) -> bool:
    return not cluster.problem(time.time_ns())


def meta(kind: str, name: str, uid: str, owner: tuple[str, str, str, str] | None = None, created: str = "") -> Any:
    keys = ("apiVersion", "kind", "name", "uid")
    references = [{**dict(zip(keys, owner)), "controller": True}] if owner else []
    said = {"name": name, "uid": uid, "ownerReferences": references, "creationTimestamp": created}
    return {"kind": kind, "metadata": said}


def gang_pod(n: int, owner: tuple[str, str, str, str], labels: dict[str, str]) -> Any:
    made = pod(f"p{n}", f"u{n}", on="node-00001", labels=labels)
    keys = ("apiVersion", "kind", "name", "uid")
    made["metadata"]["ownerReferences"] = [{**dict(zip(keys, owner)), "controller": True}]
    made["metadata"]["creationTimestamp"] = "2027-01-15T08:00:00Z"
    return made


def test_one_watch_each_of_nodes_and_pods_fills_inventory_and_view_alike(server, run) -> None:
    server.objects[NODES] = [node(n, rack=f"r{n // 4}") for n in range(1, 9)]
    server.objects[PODS] = [pod(f"p{n}", f"u{n}", on=f"node-{n:05d}", gpus=n % 2, owner="o") for n in range(1, 5)]
    server.objects[BUDGETS] = [
        {"metadata": {"name": "b", "namespace": "train", "uid": "b"}, "spec": {"selector": {}}, "status": {}}
    ]
    server.objects[NAMESPACES] = [{"metadata": {"name": "train", "uid": "t", "labels": {"team": "a"}}}]
    cluster = run()
    until(lambda: well(cluster), cluster)
    asked: list[tuple[str, bool]] = []
    while not server.asked.empty():
        path, query = server.asked.get()
        asked.append((path, "watch" in query))

    assert (
        len(list(cluster.nodes())),
        [p.name for p in cluster.pods_on("node-00001")],
        [p.name for p in cluster.pods_of("o")],
        [b.name for b in cluster.budgets("train")],
        cluster.namespace_labels("train"),
        [asked.count((path, False)) for path in (NODES, PODS, BUDGETS)],
    ) == (8, ["p1"], ["p1", "p3"], ["b"], {"team": "a"}, [1, 1, 1])


def test_changes_and_deletions_reach_the_view(server, run) -> None:
    server.objects[NODES] = [node(1), node(2)]
    server.objects[PODS] = [pod("p", "u", on="node-00001", owner="o")]
    cluster = run()
    until(lambda: well(cluster), cluster)
    server.tell(NODES, "DELETED", node(2))
    server.tell(NODES, "MODIFIED", {**node(1), "spec": {"unschedulable": True}})
    server.tell(PODS, "DELETED", pod("p", "u"))
    until(lambda: [n.held_by for n in cluster.nodes()] == ["person"] and not cluster.pods_of("o"), cluster)


def test_what_may_not_be_read_is_a_problem_of_the_view(server, run) -> None:
    server.refuse = 403
    cluster = run()
    until(lambda: "may not read this" in cluster.problem(time.time_ns()), cluster)


JOB = ("batch/v1", "Job", "j-0", "uid-job")
JOBSET_LABELS = {"jobset.sigs.k8s.io/jobset-name": "js", "jobset.sigs.k8s.io/jobset-uid": "uid-js"}
TRAIN_JOB = ("trainer.kubeflow.org/v1alpha1", "TrainJob", "tj", "uid-tj")
SET = ("apps/v1", "StatefulSet", "lws", "uid-sts")
CLUSTER = ("ray.io/v1", "RayCluster", "rc", "uid-rc")
LEADER = {"leaderworkerset.sigs.k8s.io/name": "lws"}


@pytest.mark.parametrize(
    ("owner", "labels", "objects", "chain"),
    [
        pytest.param(JOB, {}, {}, ["uid-job"], id="a Job"),
        pytest.param(
            ("batch.volcano.sh/v1alpha1", "Job", "v", "uid-v"),
            {"volcano.sh/job-name": "v"},
            {},
            ["uid-v"],
            id="a Volcano Job",
        ),
        pytest.param(
            ("kubeflow.org/v1", "PyTorchJob", "pt", "uid-pt"),
            {"training.kubeflow.org/job-name": "pt"},
            {},
            ["uid-pt"],
            id="a PyTorchJob",
        ),
        pytest.param(
            JOB, JOBSET_LABELS, {f"{JOBSETS}/js": meta("JobSet", "js", "uid-js")}, ["uid-job", "uid-js"], id="a JobSet"
        ),
        pytest.param(
            JOB,
            {"jobset.sigs.k8s.io/jobset-name": "js"},
            {f"{JOBSETS}/js": meta("JobSet", "js", "uid-js")},
            ["uid-job", "uid-js"],
            id="a JobSet without its uid on the pods",
        ),
        pytest.param(
            JOB,
            JOBSET_LABELS,
            {f"{JOBSETS}/js": meta("JobSet", "js", "uid-js", TRAIN_JOB)},
            ["uid-job", "uid-js", "uid-tj"],
            id="a TrainJob",
        ),
        pytest.param(
            JOB,
            JOBSET_LABELS,
            {f"{JOBSETS}/js": meta("JobSet", "js", "uid-js", ("argoproj.io/v1", "Workflow", "w", "uid-w"))},
            ["uid-job", "uid-js"],
            id="a JobSet that a workflow started",
        ),
        pytest.param(JOB, JOBSET_LABELS, {}, ["uid-job", "uid-js"], id="a JobSet that cannot be read"),
        pytest.param(
            JOB,
            JOBSET_LABELS,
            {f"{JOBSETS}/js": meta("JobSet", "js", "uid-another", TRAIN_JOB)},
            ["uid-job", "uid-js"],
            id="another JobSet under its name",
        ),
        pytest.param(
            SET,
            LEADER,
            {f"{LWS}/lws": meta("LeaderWorkerSet", "lws", "uid-lws", created="2027-01-15T07:00:00Z")},
            ["uid-sts", "uid-lws"],
            id="a LeaderWorkerSet",
        ),
        pytest.param(
            SET,
            LEADER,
            {f"{LWS}/lws": meta("LeaderWorkerSet", "lws", "uid-lws", created="2027-01-15T09:00:00Z")},
            ["uid-sts"],
            id="a LeaderWorkerSet younger than the pod",
        ),
        pytest.param(
            CLUSTER,
            {"ray.io/cluster": "rc"},
            {f"{RAY}/rc": meta("RayCluster", "rc", "uid-rc", ("ray.io/v1", "RayJob", "rj", "uid-rj"))},
            ["uid-rc", "uid-rj"],
            id="a RayJob",
        ),
    ],
)
def test_the_pods_of_a_gang_are_found_by_each_of_its_owners_and_name_the_highest(
    server, run, owner, labels, objects, chain
) -> None:
    server.objects[NODES] = [node(1)]
    server.objects[PODS] = [gang_pod(n, owner, labels) for n in range(3)]
    server.single = objects
    cluster = run()
    until(lambda: well(cluster) and bool(cluster.pods_of(chain[-1])), cluster)
    every = {"uid-job", "uid-js", "uid-tj", "uid-w", "uid-sts", "uid-lws", "uid-rc", "uid-rj", *chain}

    assert {uid: len(cluster.pods_of(uid)) for uid in every} == {uid: 3 * (uid in chain) for uid in every}
    assert {pod.owner.uid for pod in cluster.pods_on("node-00001") if pod.owner} == {chain[-1]}


def test_an_owner_is_asked_for_once_and_again_only_after_its_pods_have_gone(server, run) -> None:
    server.single = {f"{JOBSETS}/js": meta("JobSet", "js", "uid-js", TRAIN_JOB)}
    server.objects[NODES] = [node(1)]
    server.objects[PODS] = [gang_pod(n, JOB, JOBSET_LABELS) for n in range(20)]
    cluster = run()
    until(lambda: len(cluster.pods_of("uid-tj")) == 20, cluster)
    server.tell(PODS, "MODIFIED", gang_pod(0, JOB, {**JOBSET_LABELS, "more": "label"}))
    server.tell(PODS, "ADDED", gang_pod(20, JOB, JOBSET_LABELS))
    until(lambda: len(cluster.pods_of("uid-tj")) == 21, cluster)
    for n in range(21):
        server.tell(PODS, "DELETED", gang_pod(n, JOB, JOBSET_LABELS))
    until(lambda: not cluster.pods_of("uid-tj"), cluster)
    server.tell(PODS, "ADDED", gang_pod(30, JOB, JOBSET_LABELS))
    until(lambda: len(cluster.pods_of("uid-tj")) == 1, cluster)
    paths = []
    while not server.asked.empty():
        paths.append(server.asked.get()[0])

    assert paths.count(f"{JOBSETS}/js") == 2
