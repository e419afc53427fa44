"""The audit's newest hash outside the store, and what guards are told of steps that were carried out."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from migrated_stores import migrated

from agent.actions.heads import Heads
from agent.actions.lease import StoreLead
from agent.actions.taken import FRESH_SECONDS, OVERLAP_NS, TakenBook
from agent.store.store import Store, open_store
from policies.cluster_view import Taken

NOW = 1_795_317_140 * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(migrated(tmp_path / "store.db"))
    yield made
    made.close()


class Webhook:
    def __init__(self, status: int) -> None:
        self.bodies: list[dict[str, object]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/head"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class NoLead(StoreLead):
    def generation(self, _now_ns: int = 0) -> int | None:
        return None


def test_the_newest_hash_goes_to_the_log_and_the_webhook(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    webhook = Webhook(200)
    store.append_audit(time_ns=NOW, actor="ann", what="note", about="x", detail="{}")
    newest = store.append_audit(time_ns=NOW, actor="ann", what="note", about="y", detail="{}")
    heads = Heads(store, StoreLead(1), webhook.url, lambda: NOW)

    with caplog.at_level("INFO"):
        head = heads.publish()
    webhook.close()

    assert head is not None
    assert webhook.bodies == [{"hash": newest.hash, "sequence": 2, "time_ns": NOW}]
    assert f"audit head {newest.hash} at entry 2" in caplog.text
    assert store.audit_log.check(head.hash, head.sequence).holds


def test_a_webhook_that_fails_is_told_of_and_costs_nothing_else(store: Store) -> None:
    store.append_audit(time_ns=NOW, actor="ann", what="note", about="x", detail="{}")
    webhook = Webhook(500)
    heads = Heads(store, StoreLead(1), webhook.url, lambda: NOW)
    first = heads.publish()
    problem = heads.problem
    webhook.close()

    assert first is not None
    assert problem.startswith("audit webhook: HTTP Error 500")
    assert heads.published == 1


@pytest.mark.parametrize("lead", [NoLead(1), StoreLead(1)], ids=["a-standby", "an-empty-audit"])
def test_where_there_is_nothing_to_publish_nothing_is(store: Store, lead: StoreLead) -> None:
    if isinstance(lead, NoLead):
        store.append_audit(time_ns=NOW, actor="ann", what="note", about="x", detail="{}")

    assert Heads(store, lead, "", lambda: NOW).publish() is None


def test_steps_are_read_at_most_once_a_second_and_at_once_when_one_was_carried_out() -> None:
    held = [Taken(NOW + n, "cordon", f"n{n}") for n in range(3)]
    asked: list[int] = []
    clock = [0.0]

    def read(since_ns: int) -> list[Taken]:
        asked.append(since_ns)
        return [one for one in held if one.time_ns >= since_ns]

    book = TakenBook(read, lambda: clock[0])
    again = list(book.since(NOW))
    first = list(book.since(NOW + 1))
    held.append(Taken(NOW + 3, "taint", "n0"))
    unseen = list(book.since(NOW))
    book.stale()
    seen = list(book.since(NOW))
    clock[0] += FRESH_SECONDS
    book.since(NOW)

    assert [one.node for one in first] == ["n1", "n2"]
    assert len(again) == len(unseen) == 3
    assert len(seen) == 4
    assert len(asked) == 3


def test_steps_of_longer_ago_than_was_read_are_read() -> None:
    held = [Taken(NOW - 10**18, "cordon", "old"), Taken(NOW, "cordon", "new")]
    book = TakenBook(lambda since_ns: [one for one in held if one.time_ns >= since_ns], lambda: 0.0)
    book.since(NOW)

    assert [one.node for one in book.since(NOW - 10**18)] == ["old", "new"]


def test_a_later_look_reads_only_what_is_newer_and_what_was_written_late() -> None:
    second = 10**9
    held = [Taken(NOW + n * 60 * second, "cordon", f"n{n}") for n in range(10)]
    asked: list[int] = []

    def read(since_ns: int) -> list[Taken]:
        asked.append(since_ns)
        return [one for one in held if one.time_ns >= since_ns]

    book = TakenBook(read, lambda: 0.0)
    book.since(NOW)
    held += [Taken(NOW + 8 * 60 * second, "taint", "late"), Taken(NOW + 11 * 60 * second, "cordon", "newer")]
    book.stale()

    assert [one.node for one in book.since(NOW)] == [*(f"n{n}" for n in range(9)), "late", "n9", "newer"]
    assert asked == [NOW, NOW + 9 * 60 * second - OVERLAP_NS]
