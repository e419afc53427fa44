"""Inventory and view against a real API server: what it tells, and what becomes of them when it is gone or slow."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from cluster_objects import SECOND_NS
from real_view import Seen

from agent.inventory.kube_api import Gone, KubeApi
from agent.inventory.objects import Node
from agent.inventory.watcher import Watcher
from collectors.model import SubjectKind
from policies.cluster.client import KubeClient
from policies.cluster_view import OWN_CORDON, BudgetView, Place
from policies.holders import OWN_MANAGER
from testcluster.control_plane import ControlPlane
from testcluster.objects import disruption_budget, gpu_node
from testcluster.space import Space


def named(seen: Seen, name: str) -> Any:
    return seen.view.node_named(name)


def test_a_job_on_real_nodes_is_seen_whole(cluster: Space, look: Callable[..., Seen]) -> None:
    names = cluster.add_nodes(2, racks=2)
    pods = cluster.run_job("train", pods=2)
    cluster.admin.create(disruption_budget("train", cluster.namespace, "train"))
    seen = look(cluster.plane).until_well()
    seen.until(lambda: list(seen.view.budgets(cluster.namespace)), "the budget")
    job = pods[0]["metadata"]["ownerReferences"][0]
    found = list(seen.view.pods_of(job["uid"]))

    assert [(named(seen, name).gpus, named(seen, name).rack, named(seen, name).unavailable) for name in names] == [
        (8, "rack-0", False),
        (8, "rack-1", False),
    ]
    assert {pod.uid for pod in found} == {pod["metadata"]["uid"] for pod in pods}
    assert {(pod.owner.kind, pod.owner.name, pod.gpus, pod.phase) for pod in found if pod.owner} == {
        ("Job", "train", 8, "Running")
    }
    assert list(seen.view.budgets(cluster.namespace)) == [
        BudgetView(cluster.namespace, "train", {"app": "train"}, (), 0)
    ]
    assert seen.view.tally(Place.RACK, "rack-0").gpus_free == 0
    assert seen.view.namespace_labels(cluster.namespace)["kubernetes.io/metadata.name"] == cluster.namespace
    seen.until(
        lambda: len([p for p in seen.inventory.facts if p.kind is SubjectKind.POD]) == 2,
        "the same pods in the inventory",
    )


def test_whose_cordon_it_is_is_told_as_the_api_server_notes_it(cluster: Space, look: Callable[..., Seen]) -> None:
    """Ours, a person's uncordon of it, a person's cordon under our old annotation: in one story of one node."""
    (name,) = cluster.add_nodes(1)
    admin, began_ns = cluster.admin, time.time_ns()
    client = KubeClient.at(cluster.plane.url, cluster.plane.token_file(), cluster.plane.ca_file)
    seen = look(cluster.plane).until_well()
    uid = named(seen, name).uid
    ours = {"metadata": {"annotations": {OWN_CORDON: "PLN-1"}}, "spec": {"unschedulable": True}}
    client.patch(f"/api/v1/nodes/{name}", ours, query={"fieldManager": OWN_MANAGER})
    seen.until(lambda: named(seen, name).held_by == "watchstander", "our own cordon")
    admin.cordon(name, unschedulable=False)
    seen.until(lambda: not named(seen, name).unavailable, "the uncordon")
    admin.cordon(name)
    seen.until(lambda: named(seen, name).held_by == "person", "a person's cordon")

    words = [(word.what, word.node) for word in seen.view.taken(began_ns - 2 * SECOND_NS)]
    assert words == [("uncordon_by_person", uid), ("cordon_by_person", uid)]


def test_a_node_replaced_under_its_name_is_another_one_with_no_past(cluster: Space, look: Callable[..., Seen]) -> None:
    (name,) = cluster.add_nodes(1)
    seen = look(cluster.plane).until_well()
    before = named(seen, name).uid
    cluster.admin.cordon(name)
    seen.until(lambda: named(seen, name).unavailable, "the cordon")
    cluster.admin.delete("Node", name)
    cluster.admin.create(gpu_node(name, labels=cluster.selector))
    seen.until(lambda: named(seen, name) is not None and named(seen, name).uid != before, "the new node")
    seen.until(
        lambda: [g.because for s, g in seen.inventory.gone.items() if s.id == before] == ["deleted"],
        "the old one's end in the inventory",
    )

    assert (seen.view.node(before), named(seen, name).unschedulable) == (None, False)


def test_after_the_api_server_was_away_the_view_says_so_and_catches_up(
    own_control_plane: ControlPlane, look: Callable[..., Seen]
) -> None:
    plane = own_control_plane
    plane.admin.create(gpu_node("n1"))
    plane.admin.create(gpu_node("n2"))
    seen = look(plane, probe_seconds=1).until_well()
    plane.stop_api_server()
    seen.until(seen.problem, "a word about the API server")
    said = seen.problem()
    plane.start_api_server()
    plane.admin.delete("Node", "n2")
    plane.admin.cordon("n1")
    seen.until_well()
    seen.until(lambda: [(n.name, n.held_by) for n in seen.view.nodes()] == [("n1", "person")], "what changed meanwhile")

    assert plane.url in said


def test_an_api_server_that_hangs_is_no_ground_to_act_on(
    own_control_plane: ControlPlane, look: Callable[..., Seen]
) -> None:
    plane = own_control_plane
    plane.admin.create(gpu_node("n1"))
    seen = look(plane, probe_seconds=1, slow_seconds=0.5).until_well()
    plane.api_server.pause()
    try:
        seen.until(seen.problem, "a word about the API server", 20.0)
        said = seen.problem()
    finally:
        plane.api_server.resume()
    seen.until_well()

    assert "the API server does not answer: " in said or "the API server was last asked" in said


class FromTheBeginning(Watcher[Node]):
    """Goes on from a version that the API server has long forgotten, once."""

    def list(self) -> str:
        version = super().list()
        return "1" if self.counts.lists == 1 else version


def test_a_place_that_the_api_server_has_forgotten_is_listed_anew(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.admin.create(gpu_node("n1"))
    plane.restart_api_server()  # its watch cache begins here: what was before is 410
    api = KubeApi(plane.url, plane.token_file(), plane.ca_file, 10.0)
    watcher = FromTheBeginning(api, "/api/v1/nodes", Node, lambda _: None, lambda *_: None, watch_seconds=5.0)
    with pytest.raises(Gone, match=r"410 Expired in the watch|410 Gone"):
        watcher.watch(watcher.list())
    watcher.counts.lists = 0
    stop = threading.Event()
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    end = time.monotonic() + 60
    while watcher.counts.watches < 3 and time.monotonic() < end:
        threading.Event().wait(0.02)
    stop.set()
    api.hang_up()
    thread.join(10)

    assert (watcher.counts.lists, watcher.problem, watcher.counts.refused) == (2, "", 0)


def test_a_watch_of_what_never_changes_is_heard_of_all_the_same(cluster: Space, look: Callable[..., Seen]) -> None:
    """By bookmarks each minute or two, and each time it is renewed: that is what the bound on silence leans on."""
    # Spaces of earlier tests end by themselves, and what goes with them would be a change.
    cluster.admin.wait_list("PodDisruptionBudget", lambda found: not found)
    began_ns = time.time_ns()
    seen = look(cluster.plane, watch_seconds=8.0).until_well()
    budgets = seen.feed.budgets
    assert budgets is not None
    seen.until(lambda: budgets.heard_ns > began_ns + 5 * SECOND_NS, "a word of the API server", 20.0)

    assert (budgets.counts.lists, budgets.counts.told, seen.problem()) == (1, 0, "")
