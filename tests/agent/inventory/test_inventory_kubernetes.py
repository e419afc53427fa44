"""The watch of nodes and pods, against a server over a real socket."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.inventory.feed import InventoryFeed, Subscription, feed_of
from agent.inventory.kube_api import KubeApi
from agent.inventory.objects import Node
from agent.inventory.watcher import MOST_RESUMES, Watcher
from agent.settings import InventorySettings
from benchmarks.kube_server import CUT, TOKEN, KubeServer, node, pod
from collectors.errors import FixConfiguration, RetryLater
from collectors.model import Subject, SubjectKind
from detectors.model import Inventory

pytestmark = pytest.mark.slow

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"


def of(kind: SubjectKind, uid: str) -> Subject:
    return Subject("default", kind, uid)


@pytest.fixture
def server() -> Iterator[KubeServer]:
    made = KubeServer()
    yield made
    made.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


class Running:
    """A feed at work and the inventory that it fills."""

    def __init__(self, server: KubeServer, token: Path, **settings: object) -> None:
        self.feed = InventoryFeed(InventorySettings(**settings), KubeApi(server.url, token, None, 10.0))
        for watcher in (self.feed.nodes, self.feed.pods):
            assert watcher is not None
            watcher.jitter = lambda: 0.01
        self.subscription: Subscription = self.feed.subscribe()
        self.inventory = Inventory()
        self.feed.start()

    def until(self, true: Callable[[Inventory], bool]) -> Inventory:
        """Take in changes until something holds; fails where it does not within twenty seconds."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.subscription.apply(self.inventory, 1)
            if true(self.inventory):
                return self.inventory
            threading.Event().wait(0.01)
        raise AssertionError(f"it does not come to hold; problems: {self.feed.problems}")


@pytest.fixture
def running(server: KubeServer, token: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def run(**settings: object) -> Running:
        made.append(Running(server, token, **settings))
        return made[-1]

    yield run
    for one in made:
        one.feed.stop()


def pod_named(inventory: Inventory, name: str) -> bool:
    return any(pod not in inventory.gone for pod in inventory.called(SubjectKind.POD, name))


def test_nodes_and_gpu_pods_are_listed_page_by_page_and_the_rest_is_left_out(server, running) -> None:
    server.objects[NODES] = [node(n, rack=f"r{n // 4}") for n in range(11)] + [node(99, gpus=0)]
    server.objects[PODS] = [pod(f"p{n}", f"u{n}", gpus=n % 2, owner="o") for n in range(9)]
    one = running(page=3)
    inventory = one.until(lambda i: len(i.facts) >= 11 + 4 + 1)

    assert (frozenset(inventory.called(SubjectKind.NODE, "node-00099")), len(inventory.nodes_at("rack", "r1"))) == (
        frozenset(),
        4,
    )
    assert inventory.domain_of(inventory.called(SubjectKind.NODE, "node-00001")[0]) == of(SubjectKind.SWITCH, "c1a2.0")
    assert [pod_named(inventory, f"train/p{n}") for n in range(4)] == [False, True, False, True]


def test_changes_and_deletions_come_by_the_watch(server, running) -> None:
    server.objects[NODES] = [node(1, rack="r1"), node(2, rack="r1")]
    one = running()
    assert server.wait_for_watch(NODES)["resourceVersion"] == "100"
    server.tell(NODES, "MODIFIED", node(1, rack="r2"))
    server.tell(NODES, "DELETED", node(2))
    inventory = one.until(lambda i: len(i.gone) == 1)

    assert [len(inventory.nodes_at("rack", rack)) for rack in ("r1", "r2")] == [0, 1]
    assert [gone.because for gone in inventory.gone.values()] == ["deleted"]


def test_a_bookmark_moves_the_place_to_go_on_from(server, running) -> None:
    one = running()
    server.wait_for_watch(NODES)
    server.tell(NODES, "BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "555"}})
    server.say[NODES].put(None)

    assert server.wait_for_watch(NODES)["resourceVersion"] == "555"
    assert one.feed.nodes is not None
    assert one.feed.nodes.counts.lists == 1


def test_a_cut_stream_goes_on_from_the_last_version_told(server, running) -> None:
    one = running()
    server.wait_for_watch(NODES)
    server.tell(NODES, "ADDED", node(41))
    server.say[NODES].put(CUT)

    assert server.wait_for_watch(NODES)["resourceVersion"] == "42"
    one.until(lambda i: bool(i.called(SubjectKind.NODE, "node-00041")))


@pytest.mark.parametrize(
    "no",
    [
        pytest.param({"kind": "Status", "code": 410, "reason": "Expired"}, id="too old"),
        pytest.param({"kind": "Status", "code": 500, "reason": "InternalError"}, id="unwell"),
        pytest.param({"surprise": []}, id="no status at all"),
    ],
)
def test_an_error_in_the_stream_is_answered_by_a_new_list_and_what_is_missing_there_is_gone(
    server, running, no
) -> None:
    server.objects[NODES] = [node(1), node(2)]
    one = running()
    server.wait_for_watch(NODES)
    server.objects[NODES] = [node(2)]
    server.tell(NODES, "ERROR", no)
    inventory = one.until(lambda i: bool(i.gone))

    assert [gone.because for gone in inventory.gone.values()] == ["no longer in the cluster"]


def test_a_list_whose_place_has_expired_is_begun_again(server, running) -> None:
    server.objects[NODES] = [node(n) for n in range(7)]
    server.expire_continue = True
    one = running(page=3)

    one.until(lambda i: len(i.facts) == 7)


def test_garbage_costs_itself_alone(server, running) -> None:
    server.objects[NODES] = [node(1), {"metadata": {"name": ["not", "text"]}}, "no object", node(2)]
    one = running()
    server.wait_for_watch(NODES)
    server.say[NODES].put(b"\xff\xfe not JSON at all\n")
    server.say[NODES].put(b'{"type":"ADDED"}\n' + b"[" * 5000 + b"\n")
    server.tell(NODES, "SUNG", node(7))
    server.tell(NODES, "ADDED", node(3))
    inventory = one.until(lambda i: len(i.facts) == 3)

    assert one.feed.nodes is not None
    assert one.feed.nodes.counts.refused == 6
    assert not inventory.called(SubjectKind.NODE, "node-00007")


def test_a_pod_made_anew_under_its_name_is_the_jobs_next_attempt(server, running) -> None:
    server.objects[PODS] = [pod(f"w-{n}", f"u{n}", owner="job-uid") for n in range(2)]
    one = running()
    server.wait_for_watch(PODS)
    first = one.until(lambda i: pod_named(i, "train/w-1")).job_of(of(SubjectKind.POD, "u1"))
    for n in range(2):
        server.tell(PODS, "DELETED", pod(f"w-{n}", f"u{n}", owner="job-uid"))
        server.tell(PODS, "ADDED", pod(f"w-{n}", f"v{n}", owner="job-uid"))
    inventory = one.until(lambda i: pod_named(i, "train/w-1") and of(SubjectKind.POD, "u1") in i.gone)
    jobs = {inventory.job_of(of(SubjectKind.POD, uid)) for uid in ("v0", "v1")}

    assert first == of(SubjectKind.JOB, "job-uid/0")
    assert jobs == {of(SubjectKind.JOB, "job-uid/1")}
    assert inventory.attribute(of(SubjectKind.JOB, "job-uid/1"), "owner") == "job-uid"


def test_jobs_of_one_name_are_told_apart_by_their_owner_and_pods_of_several_owners_joined_by_their_group(
    server, running
) -> None:
    name = {"training.kubeflow.org/job-name": "llama"}
    group = {"jobset.sigs.k8s.io/jobset-name": "set", "jobset.sigs.k8s.io/restart-attempt": "4"}
    server.objects[PODS] = [
        pod("a-0", "a", owner="o1", labels=name),
        pod("b-0", "b", owner="o2", labels=name),
        pod("c-0", "c", owner="o3", labels=group),
        pod("d-0", "d", owner="o4", labels=group),
    ]
    inventory = running().until(lambda i: pod_named(i, "train/d-0"))
    jobs = [inventory.job_of(of(SubjectKind.POD, uid)) for uid in "abcd"]

    assert [job.id for job in jobs if job] == ["o1/0", "o2/0", "train/set/4", "train/set/4"]
    assert {job.id for job in inventory.called(SubjectKind.JOB, "llama")} == {"o1/0", "o2/0"}


def test_a_pod_that_has_ended_holds_no_gpu_any_more(server, running) -> None:
    server.objects[PODS] = [pod("a-0", "a", owner="o1")]
    one = running()
    server.wait_for_watch(PODS)
    server.tell(PODS, "MODIFIED", pod("a-0", "a", owner="o1", phase="Succeeded"))

    inventory = one.until(lambda i: len(i.gone) == 2)
    assert {gone.because for gone in inventory.gone.values()} == {"ended"}


def test_a_watch_that_asks_later_is_told_all_that_holds(server, running) -> None:
    server.objects[NODES] = [node(n) for n in range(5)]
    one = running()
    one.until(lambda i: len(i.facts) == 5)
    late = Inventory()
    one.feed.subscribe().apply(late, 9)

    assert late.facts == one.inventory.facts


def test_a_server_that_refuses_says_why_in_one_line_and_is_asked_again(server, running) -> None:
    server.refuse = 403
    server.objects[NODES] = [node(1)]
    one = running()
    one.until(lambda i: bool(one.feed.problems))
    assert "403 Forbidden: the agent may not read this; grant it in its ClusterRole" in one.feed.problems[0]

    server.refuse = 0
    one.until(lambda i: len(i.facts) == 1 and not one.feed.problems)


def test_only_gets_go_out_and_never_without_tls_to_another_host(token) -> None:
    with pytest.raises(FixConfiguration, match="must be https"):
        KubeApi("http://192.0.2.1:80", token).get(NODES, {})


def test_the_feed_stops_at_once_while_it_waits(server, running) -> None:
    one = running()
    server.wait_for_watch(NODES)
    began = time.monotonic()
    one.feed.stop()

    assert time.monotonic() - began < 5
    assert not any(thread.is_alive() for thread in one.feed._threads)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_is_being_opened_while_all_are_cut_is_cut_too(monkeypatch, silent_port, scheme) -> None:
    opened, go_on = threading.Event(), threading.Event()
    really = socket.create_connection

    def held_open(*args: object, **kwargs: object) -> socket.socket:
        made = really(*args, **kwargs)
        opened.set()
        assert go_on.wait(20)
        return made

    monkeypatch.setattr(socket, "create_connection", held_open)
    api = KubeApi(f"{scheme}://127.0.0.1:{silent_port}", timeout_seconds=300.0)
    ended = Ended(lambda: list(api.lines(NODES, {}, 300.0)))
    assert opened.wait(20)
    api.hang_up()  # no socket is known to anybody yet
    go_on.set()

    assert ended.error().endswith(f"{NODES}: hung up; tried again by itself")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_waits_for_its_first_word_is_cut(silent_port, scheme) -> None:
    """With TLS that word belongs to the handshake."""
    api = KubeApi(f"{scheme}://127.0.0.1:{silent_port}", timeout_seconds=300.0)
    ended = Ended(lambda: api.get(NODES, {}))
    end = time.monotonic() + 20
    while not api._open and time.monotonic() < end:
        threading.Event().wait(0.01)
    api.hang_up()

    assert "tried again by itself" in ended.error()


class Ended:
    """What a thread ends with."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._said: list[str] = []
        self._run = run
        self._thread = threading.Thread(target=self._catch, daemon=True)
        self._thread.start()

    def error(self) -> str:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self._said[0]

    def _catch(self) -> None:
        try:
            self._run()
        except RetryLater as error:
            self._said.append(str(error))


def test_without_a_cluster_around_it_the_agent_says_what_to_set() -> None:
    with pytest.raises(FixConfiguration, match="KUBERNETES_SERVICE_HOST is not set"):
        feed_of(InventorySettings(kubernetes=True), {})


def test_settings_that_ask_for_nothing_start_nothing() -> None:
    assert feed_of(InventorySettings(), {}) is None


def test_after_a_server_was_away_it_goes_on_where_it_stood_without_a_new_list(server, running) -> None:
    server.objects[NODES] = [node(1)]
    one = running()
    server.wait_for_watch(NODES)
    server.tell(NODES, "ADDED", node(41))
    one.until(lambda i: bool(i.called(SubjectKind.NODE, "node-00041")))
    server.refuse = 503
    server.say[NODES].put(None)
    one.until(lambda _: bool(one.feed.problems))
    server.refuse = 0

    assert server.wait_for_watch(NODES)["resourceVersion"] == "42"
    one.until(lambda _: not one.feed.problems)
    assert one.feed.nodes is not None
    assert one.feed.nodes.counts.lists == 1


def test_a_server_that_never_comes_to_the_version_told_is_listed_anew(server, token) -> None:
    stop = threading.Event()
    server.objects[NODES] = [node(1)]

    class Never(Watcher[Node]):
        def watch(self, version: str) -> str:
            self.counts.watches += 1
            self._at = version
            if self.counts.lists == 1:
                raise RetryLater("504 Timeout: Too large resource version")
            stop.set()
            return version

    api = KubeApi(server.url, token, None, 10.0)
    watcher = Never(api, NODES, Node, lambda _: None, lambda *_: None, jitter=lambda: -0.999)
    watcher.run(stop)

    assert (watcher.counts.lists, watcher.counts.watches) == (2, MOST_RESUMES + 2)
