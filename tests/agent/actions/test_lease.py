"""The lease: one leader at a time, known by a generation that only rises, and a fence that comes down in time.

Here the API is Lease objects over HTTP that refuse stale resourceVersions, as the real one does; test_lease_cluster.py
holds the same against a real API server.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.actions.lease import ADDRESS, AUDIT_HEAD, Lease
from collectors.errors import RetryLater
from policies.cluster.client import KubeClient
from policies.journal import Stale


class LeaseApi:
    """Leases by path, with resourceVersions, and faults to order."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.fault = 0
        self.after_write = 0
        """A status to answer a write with though it was taken: the answer got lost."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, status: int, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                if api.fault:
                    self._answer(api.fault, {"message": "no"})
                    return
                status, answer = api.answer(self.command, self.path.partition("?")[0], body)
                lost = api.after_write and self.command != "GET"
                self._answer(api.after_write if lost else status, answer)

            do_GET = do_PUT = do_POST = _do  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return 409, {"message": "exists"}
        elif path not in self.objects:
            return 404, {"message": "not found"}
        if method == "GET":
            return 200, self.objects[path]
        if method == "PUT" and body["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            return 409, {"message": "changed"}
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = json.loads(json.dumps(body))
        return 200, body

    @property
    def lease(self) -> dict[str, Any]:
        (found,) = self.objects.values()
        return found


@pytest.fixture
def api() -> Iterator[LeaseApi]:
    made = LeaseApi()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease_of(api: LeaseApi, clock: Clock, tmp_path: Path) -> Callable[..., Lease]:
    token = tmp_path / "token"
    token.write_text("t")

    def make(identity: str, **more: Any) -> Lease:
        client = KubeClient.at(api.url, token, read_seconds=2.0)
        return Lease(client, "watch", "watchstander", identity, clock=clock, address=f"https://{identity}:8480", **more)

    return make


def test_the_first_one_leads_and_the_second_stands_by(api: LeaseApi, lease_of: Callable[..., Lease]) -> None:
    """And knows where the leader is."""
    first, second = lease_of("a"), lease_of("b")
    first.step()
    second.step()

    assert (first.generation(), second.generation()) == (1, None)
    assert (first.leader(), second.leader()) == ("", "a leads, this agent stands by")
    assert (first.leader_address, second.leader_address) == ("", "https://a:8480")
    first.check()
    with pytest.raises(Stale, match="b does not lead: its lease watch/watchstander may have lapsed"):
        second.check()


def test_a_lease_that_is_renewed_is_kept(lease_of: Callable[..., Lease], clock: Clock) -> None:
    """Under the same generation, for as long as one likes."""
    first, second = lease_of("a"), lease_of("b")
    for _ in range(20):
        first.step()
        second.step()
        clock.now += 2.5

    assert (first.generation(), second.generation()) == (1, None)


def test_the_fence_comes_down_before_another_can_take_over(lease_of: Callable[..., Lease], clock: Clock) -> None:
    """A leader that was paused wakes behind it."""
    first, second = lease_of("a"), lease_of("b")
    first.step()
    second.step()

    told = []
    for _ in range(20):
        clock.now += 1.0
        second.step()
        told.append((clock.now - 1000, first.generation(), second.generation()))

    assert next(at for at, one, _ in told if one is None) == 12.0
    assert next(at for at, _, two in told if two is not None) == 15.0
    assert all(one is None or two is None for _, one, two in told)
    with pytest.raises(Stale):
        first.check()


def test_who_takes_over_leads_under_the_next_generation_and_the_old_leader_stands_by(
    lease_of: Callable[..., Lease], clock: Clock
) -> None:
    """Also when it comes back."""
    first, second = lease_of("a"), lease_of("b")
    first.step()
    second.step()
    clock.now += 15
    second.step()
    first.step()

    assert (first.generation(), second.generation()) == (None, 2)
    assert first.leader_address == "https://b:8480"


def test_a_lease_that_was_let_go_of_is_free_at_once(lease_of: Callable[..., Lease]) -> None:
    """An agent that is stopped in order costs no wait."""
    first, second = lease_of("a"), lease_of("b")
    first.step()
    first.release()
    second.step()

    assert (first.generation(), second.generation()) == (None, 2)


def test_an_api_server_that_is_away_ends_the_lead_in_time_and_not_before(
    api: LeaseApi, lease_of: Callable[..., Lease], clock: Clock
) -> None:
    """It is taken up where it was when it comes back soon."""
    led: list[int | None] = []
    first = lease_of("a", led=led.append)
    first.step()
    api.fault = 500
    clock.now += 11
    first.step()
    during = first.generation()
    clock.now += 2
    first.step()
    api.fault = 0
    first.step()

    assert during == 1
    assert led == [1, None, 1]
    assert first.problem == ""


def test_a_lead_counts_once_it_was_taken_note_of(api: LeaseApi, lease_of: Callable[..., Lease]) -> None:
    """The store must know of it before anything is done under it; where it is away, that is tried again."""
    away = [RetryLater("store: the server cannot be reached")]
    led: list[int | None] = []

    def take_note(generation: int | None) -> None:
        if away:
            raise away.pop()
        led.append(generation)

    first = lease_of("a", led=take_note)
    first.step()
    during = (first.generation(), led.copy(), first.problem)
    with pytest.raises(Stale):
        first.check()
    first.step()
    first.check()

    assert during == (None, [], "store: the server cannot be reached")
    assert (first.generation(), led, first.problem) == (1, [1], "")


def test_another_is_said_to_lead_when_it_was_seen_to_renew(
    api: LeaseApi, lease_of: Callable[..., Lease], clock: Clock
) -> None:
    """A lease alone may be that of one that is dead: our own before a restart, for one."""
    told: list[str] = []
    first, second = lease_of("a"), lease_of("b", stands_by=lambda: told.append("stands by"))
    first.step()
    second.step()
    second.step()
    before = told.copy()
    clock.now += 2
    first.step()
    second.step()
    second.step()

    assert (before, told) == ([], ["stands by"])


def test_a_lead_that_the_store_calls_outdone_ends_and_begins_above_what_it_knows(
    api: LeaseApi, lease_of: Callable[..., Lease]
) -> None:
    """Somebody has put back an old lease: it is ours, and the store knows a newer leader."""
    led: list[int | None] = []
    known = [0]
    first = lease_of("a", led=led.append, floor=lambda: known[0])
    first.step()
    known[0] = 7
    first.outdone()
    during = first.generation()
    first.step()

    assert (during, first.generation(), led) == (None, 8, [1, 8])


def test_a_right_that_is_missing_is_named(api: LeaseApi, lease_of: Callable[..., Lease]) -> None:
    """In the word of G21 too."""
    api.fault = 403
    first = lease_of("a")
    first.step()

    assert first.problem.startswith("GET http://127.0.0.1")
    assert "403" in first.leader()


def test_a_take_over_whose_answer_was_lost_counts_under_the_generation_that_was_written(
    api: LeaseApi, lease_of: Callable[..., Lease], clock: Clock
) -> None:
    """Not under the one that this agent had before."""
    first, second = lease_of("a"), lease_of("b")
    first.step()
    second.step()
    clock.now += 15
    second.step()
    first.step()
    clock.now += 15
    api.after_write = 500
    first.step()
    between = first.generation()
    api.after_write = 0
    first.step()

    assert (between, first.generation()) == (None, 3)


def test_a_lease_that_was_deleted_is_not_taken_before_its_holder_must_have_noticed(
    api: LeaseApi, lease_of: Callable[..., Lease], clock: Clock
) -> None:
    """And begins above what the journal knows: else every write of the new leader would be refused as stale."""
    first = lease_of("a", floor=lambda: 41)
    first.step()
    early = first.generation()
    clock.now += 15
    first.step()
    led = first.generation()
    api.objects.clear()
    first.step()

    assert (early, led, first.generation()) == (None, 42, 43)


@pytest.mark.parametrize("race", ["create", "take-over"])
def test_of_two_that_reach_for_it_at_once_one_gets_it(
    api: LeaseApi, lease_of: Callable[..., Lease], clock: Clock, race: str
) -> None:
    """The API server refuses the second: it read an older resourceVersion, or nothing."""
    if race == "take-over":
        gone = lease_of("gone")
        gone.step()
        gone.release()
    both = [lease_of(name) for name in "ab"]
    threads = [threading.Thread(target=one.step) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in both:
        one.step()

    assert sum(one.generation() is not None for one in both) == 1


def test_annotations_go_with_the_renewals_and_leave_others_alone(api: LeaseApi, lease_of: Callable[..., Lease]) -> None:
    """The audit's head among them."""
    first = lease_of("a")
    first.step()
    api.lease["metadata"]["annotations"]["team"] = "gpu"
    first.annotate(AUDIT_HEAD, "abc 17 2026")
    first.step()

    assert api.lease["metadata"]["annotations"] == {ADDRESS: "https://a:8480", "team": "gpu", AUDIT_HEAD: "abc 17 2026"}
