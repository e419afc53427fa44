"""Bad days: a full disk, a lock, a damaged file, a server that goes away, a process that is killed while it writes."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import exc
from store_samples import NOW, decision, event, finding, gauges, incident

from agent.store import failures
from agent.store.rows import Retention
from agent.store.store import Store, open_store
from agent.store.tables.readings import CHUNKS
from agent.watch import Changes
from collectors.errors import FixConfiguration, GiveUp, RetryLater, WatchError


def tick(n: int, lines: int = 20) -> Changes:
    """Four kinds of rows and an audit entry that belong together."""
    return Changes(
        [finding(f"f{n}")],
        [incident(f"INC-{n:08}", root=f"f{n}", findings=(f"f{n}",))],
        [decision(f"d{n}", incident=f"INC-{n:08}")],
        [event(NOW + n, line=f"{line} {'x' * 500}") for line in range(lines)],
    )


def whole_ticks(store: Store, lines: int = 20) -> list[int]:
    """The ticks that are in the store; fails when one is there in part."""
    kept = sorted(int(found.id[1:]) for found in store.open_findings())
    assert [f"INC-{n:08}" for n in kept] == sorted(found.id for found in store.open_incidents())
    for n in kept:
        assert [f"d{n}"] == [found.id for found in store.decisions(f"INC-{n:08}")]
        assert lines == len(store.events(since_ns=NOW + n, until_ns=NOW + n + 1))
    assert len(kept) == len(store.audit(limit=100_000))
    assert store.verify_audit() is None
    return kept


def fill(store: Store) -> int:
    """Save until it is refused; the tick that was."""
    for n in range(10_000):
        try:
            store.save(tick(n))
        except RetryLater:
            return n
    raise AssertionError("it never filled up")


@contextmanager
def page_limit(store: Store, sqlite_url: str) -> Iterator[None]:
    """SQLite's own limit on the file: it answers as on a full disk, SQLITE_FULL."""
    writer = store._writer.raw_connection()
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 30}")
    writer.close()
    yield
    writer = store._writer.raw_connection()
    writer.execute("PRAGMA max_page_count = 4294967294")
    writer.close()


@contextmanager
def file_size_limit(store: Store, sqlite_url: str) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further: writes come back short or with an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(Path(sqlite_url.removeprefix("sqlite:///") + end).stat().st_size for end in ("", "-wal"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 150_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [page_limit, file_size_limit])
def test_a_full_disk_is_said_and_passes(sqlite_url: str, limit: Callable[[Store, str], Any]) -> None:
    """One line; nothing half-written; readers go on; and when there is room the very same tick is kept."""
    store = open_store(sqlite_url)
    store.save(tick(10_000))
    with limit(store, sqlite_url):
        refused = fill(store)
        with pytest.raises(RetryLater) as caught:
            store.save(tick(refused, lines=400))
        assert [*range(refused), 10_000] == whole_ticks(store)

    store.save(tick(refused))

    assert len(str(caught.value).splitlines()) == 1
    assert f"store {sqlite_url.removeprefix('sqlite:///')}: " in str(caught.value)
    assert [*range(refused + 1), 10_000] == whole_ticks(store)
    store.close()
    again = open_store(sqlite_url)
    assert [*range(refused + 1), 10_000] == whole_ticks(again)
    again.close()


def test_pruning_makes_room_on_a_full_disk(sqlite_url: str) -> None:
    """The way out that needs no person."""
    store = open_store(sqlite_url)
    with page_limit(store, sqlite_url):
        refused = fill(store)
        store.prune(NOW + refused, Retention(events_days=0))

        store.save(tick(refused))

        assert len(store.events(since_ns=0, until_ns=NOW * 2)) == 20
    store.close()


def test_a_locked_database_is_worth_another_try(store: Store, store_url: str) -> None:
    """Another program holds what we need to write: RetryLater in good time, and all is well when it lets go."""
    store.save(Changes(incidents=[incident()]))
    if store_url.startswith("sqlite"):
        holder: Any = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    else:
        holder = psycopg.connect(store_url)
        holder.execute("LOCK TABLE incidents IN ACCESS EXCLUSIVE MODE")

    with pytest.raises(RetryLater, match="lock"):
        store.save(Changes([finding()], [incident(title="new")]))
    with pytest.raises(RetryLater, match="lock"):
        store.acknowledge("INC-aaaa1111", "ann", NOW)

    holder.rollback()
    holder.close()
    assert store.open_findings() == []
    store.save(Changes([finding()], [incident(title="new")]))
    assert [found.title for found in store.open_incidents()] == ["new"]


def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    """While a save is under way, a page is served with what was there before."""
    store.save(Changes([finding()]))

    with store._transaction() as connection:
        connection.exec_driver_sql("DELETE FROM findings")
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.extend(f.id for f in store.open_findings()))
        reader.start()
        reader.join(10)

    assert found == ["f1"]


@pytest.mark.parametrize(
    ("offset", "length"),
    [pytest.param(0, 4096, id="beginning"), pytest.param(4096, 400_000, id="middle")],
)
def test_a_damaged_file_wants_a_person(sqlite_url: str, offset: int, length: int) -> None:
    """One line names the file and what to do; the file is left as it is."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    store = open_store(sqlite_url)
    for n in range(20):
        store.save(tick(n))
    store.close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * min(length, path.stat().st_size - offset))
    damaged = path.read_bytes()

    with pytest.raises(FixConfiguration, match=f"store {path}: .*damaged.*restore a copy") as caught:
        again = open_store(sqlite_url)
        try:
            again.save(tick(99))
        finally:
            again.close()

    assert len(str(caught.value).splitlines()) == 1
    assert damaged == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"SQLite format 3\0", b"hello\n" * 1000])
def test_a_file_that_is_no_database_is_never_a_crash(sqlite_url: str, content: bytes) -> None:
    """An empty one becomes a store, any other is refused."""
    Path(sqlite_url.removeprefix("sqlite:///")).write_bytes(content)
    try:
        open_store(sqlite_url).close()
    except FixConfiguration:
        assert content
    else:
        assert not content


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_a_server_that_goes_away_and_comes_back(postgres_server: Any) -> None:
    """RetryLater while it is away; then the same store goes on without being opened anew, and nothing is in half."""
    name = postgres_server.make_database()
    store = open_store(postgres_server.url(name))
    store.save(tick(1))
    assert whole_ticks(store) == [1]

    postgres_server.stop()
    try:
        for call in (lambda: store.save(tick(2)), store.open_findings, store.size_bytes):
            with pytest.raises(RetryLater, match="cannot be reached"):
                call()
    finally:
        postgres_server.start()

    assert whole_ticks(store) == [1]
    store.save(tick(2))
    assert whole_ticks(store) == [1, 2]
    store.close()
    postgres_server.drop_database(name)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_a_connection_cut_in_the_middle_of_a_save(postgres_server: Any) -> None:
    """The server kills the session (an operator, a failover): RetryLater, nothing in half, and the repeat succeeds."""
    name = postgres_server.make_database()
    store = open_store(postgres_server.url(name))

    with pytest.raises(RetryLater), store._transaction() as connection:
        connection.exec_driver_sql("INSERT INTO findings VALUES ('x', 'c', 1, NULL, NULL, '{}')")
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        postgres_server.command(f"SELECT pg_terminate_backend({pid}, 5000)")
        connection.exec_driver_sql("SELECT 1")

    store.save(tick(1))
    assert whole_ticks(store) == [1]
    store.close()
    postgres_server.drop_database(name)


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from agent.store.store import open_store
from store_samples import gauges
from test_store_bad_days import tick
store = open_store(sys.argv[1])
for n in range(100_000):
    store.save(tick(n))
    print(n, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 3, 17])
def test_a_kill_in_the_middle_of_writing_loses_no_saved_tick(store_url: str, after: int) -> None:
    """kill -9: the store opens again, every tick whose save had returned is there, and none in part."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, store_url, str(Path(__file__).parent)], stdout=-1, text=True
    ) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if int(line) == after:
                os.kill(writer.pid, signal.SIGKILL)
                break
        saved = [after, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]

    store = open_store(store_url)
    kept = whole_ticks(store)

    assert kept == list(range(len(kept)))
    assert len(kept) in (saved + 1, saved + 2)
    store.save(tick(len(kept)))
    store.close()


def test_many_threads_save_and_read_at_once(store: Store) -> None:
    """More threads than connections: all wait their turn, nothing is lost."""
    problems: list[Exception] = []

    def work(worker: int) -> None:
        try:
            for n in range(5):
                store.save(tick(worker * 10 + n, lines=3))
                store.incidents()
        except WatchError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert [w * 10 + n for w in range(12) for n in range(5)] == whole_ticks(store, lines=3)


def test_a_document_that_another_program_wrote_is_named(store: Store, execute: Callable[[str], list[Any]]) -> None:
    """By table and id, so that a person can look at it."""
    store.save(Changes([finding()]))
    execute("""UPDATE findings SET document = '{"id": 5}'""")

    with pytest.raises(GiveUp, match="finding f1 cannot be read"):
        store.open_findings()


def test_a_damaged_chunk_of_readings_is_said(store: Store) -> None:
    """It is an error, not an empty stretch."""
    store.keep_readings([gauges()])
    with store._transaction() as connection:
        connection.execute(CHUNKS.update().values(payload=b"\x01garbage"))

    with pytest.raises(GiveUp, match="chunk of readings"):
        store.readings(gauges().subjects[0], "gpu_power_watts", 0, NOW * 2)


class Refused(psycopg.OperationalError):
    def __init__(self, words: str, sqlstate: str | None = None) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "words", "expected"),
    [
        pytest.param("53100", "could not extend file: No space left on device", RetryLater, id="disk-full"),
        pytest.param("40P01", "deadlock detected", RetryLater, id="deadlock"),
        pytest.param("57P01", "terminating connection due to administrator command", RetryLater, id="shutdown"),
        pytest.param("57P03", "the database system is starting up", RetryLater, id="starting"),
        pytest.param("55P03", "canceling statement due to lock timeout", RetryLater, id="lock"),
        pytest.param("25006", "cannot execute INSERT in a read-only transaction", FixConfiguration, id="standby"),
        pytest.param("42501", "permission denied for table findings", FixConfiguration, id="permission"),
        pytest.param("XX001", "invalid page in block 0", FixConfiguration, id="damaged"),
        pytest.param("22003", "bigint out of range", GiveUp, id="value"),
        pytest.param(None, "password authentication failed for user", FixConfiguration, id="password"),
        pytest.param(None, "Connection refused", RetryLater, id="refused"),
    ],
)
def test_each_answer_of_postgresql_says_what_to_do(
    sqlstate: str | None, words: str, expected: type[WatchError]
) -> None:
    """By its code; where connecting fails there is none, only words."""
    error = exc.OperationalError("INSERT secret", {"secret": 1}, Refused(f"{words}\nDETAIL: more", sqlstate))

    told = failures.explain(error, "postgresql://h/d")

    assert expected is type(told)
    assert f"({words})" in str(told)
    assert "secret" not in str(told)
