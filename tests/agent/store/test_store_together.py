"""Writers that wait for each other share a transaction: one commit for all, each one's work stands alone."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError, OperationalError

from agent.store.store import Store
from agent.store.tables import audit, switches
from collectors.errors import GiveUp, RetryLater, WatchError

NOW = 1_795_317_140_000_000_000


@contextmanager
def at_once(store: Store, works: list[Callable[[Connection], Any]]) -> Iterator[list["Future[Any]"]]:
    """Works that all stand in line behind one that takes its time, and are let go together."""
    under_way, go_on = threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        under_way.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(len(works) + 1) as pool:
        pool.submit(store.transact, slow)
        assert under_way.wait(30)
        found = [pool.submit(store.transact, work) for work in works]
        until = threading.Event()
        while len(store._line) < len(works):
            assert not until.wait(0.01), "never set"
        go_on.set()
        yield found


def commits(store: Store) -> list[str]:
    """Grows by one with each commit."""
    seen: list[str] = []
    event.listen(store._writer, "commit", lambda _connection: seen.append("commit"))
    return seen


def note(name: str) -> Callable[[Connection], str]:
    """Writes a switch and an audit entry."""

    def work(connection: Connection) -> str:
        switches.write(connection, name, NOW, f'"{name}"')
        audit.append(connection, time_ns=NOW, actor="a", what="w", about=name, detail="{}")
        return name

    return work


def held(store: Store, names: list[str]) -> list[str]:
    """Of these, what is there; read on another connection than the one that wrote."""
    with store.reading() as connection:
        return [name for name in names if switches.read(connection, name) is not None]


def audited(store: Store) -> list[str]:
    """In no order."""
    assert store.verify_audit() is None
    return sorted(entry.about for entry in store.audit())


NAMES = [f"n{number}" for number in range(6)]


def test_those_that_wait_are_committed_once(store: Store) -> None:
    """Each of them has its own result, and what it wrote is there when it hears it."""
    seen = commits(store)
    with at_once(store, [note(name) for name in NAMES]) as found:
        results = [one.result(30) for one in found]

    assert (results, held(store, NAMES), audited(store)) == (NAMES, NAMES, NAMES)
    assert len(seen) == 2, "the slow one, and all others together"


def test_what_one_raises_undoes_what_it_wrote_and_nothing_else(store: Store) -> None:
    def refuses(connection: Connection) -> None:
        note("refused")(connection)
        raise GiveUp("this one may not")

    seen = commits(store)
    with at_once(store, [note("before"), refuses, note("behind")]) as found:
        said = [type(one.exception(30)).__name__ for one in found]

    assert said == ["NoneType", "GiveUp", "NoneType"]
    assert held(store, ["before", "refused", "behind"]) == ["before", "behind"]
    assert (audited(store), len(seen)) == (["before", "behind"], 2)


def test_what_the_database_refuses_of_one_costs_the_others_nothing(store: Store) -> None:
    """They are done each alone, and the one that is at fault hears why."""

    def twice(connection: Connection) -> None:
        for _ in range(2):
            row = {"name": "double", "time_ns": NOW, "document": "null"}
            connection.execute(switches.SWITCHES.insert().values(row))

    with at_once(store, [note("before"), twice, note("behind")]) as found:
        errors = [one.exception(30) for one in found]

    assert [errors[0], errors[2]] == [None, None]
    assert isinstance(errors[1], WatchError)
    assert (held(store, ["before", "double", "behind"]), audited(store)) == (["before", "behind"], ["before", "behind"])


def test_nobody_hears_that_it_is_done_before_the_commit(store: Store) -> None:
    """A shared commit that fails is as if it had not been tried: each is committed alone."""
    failures = [OperationalError("COMMIT", {}, Exception("no space"))]
    seen: list[str] = []

    def fail(_connection: Connection) -> None:
        seen.append("commit")
        if len(seen) == 2:
            raise failures.pop()

    event.listen(store._writer, "commit", fail)
    with at_once(store, [note(name) for name in NAMES]) as found:
        results = [one.result(30) for one in found]

    assert (results, held(store, NAMES), audited(store)) == (NAMES, NAMES, NAMES)
    assert (len(seen), failures) == (2 + len(NAMES), [])


@pytest.mark.parametrize("threads", [2, 20, 40])
def test_however_many_write_none_is_forgotten_and_none_done_twice(store: Store, threads: int) -> None:
    names = [f"n{number:03d}" for number in range(3 * threads)]
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(lambda name: store.transact(note(name)), names))

    assert results == names
    assert [entry.about for entry in sorted(store.audit(limit=1000), key=lambda entry: entry.about)] == names
    assert store.verify_audit() is None


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        pytest.param(0, "done", id="first"),
        pytest.param(3, "done", id="third-time-lucky"),
        pytest.param(20, "other writers were faster 20 times in a row; try again", id="never"),
    ],
)
def test_who_lost_to_another_writer_waits_longer_each_time_before_it_tries_again(
    store: Store, losses: int, told: str
) -> None:
    pauses: list[float] = []
    left = [IntegrityError("INSERT", {}, Exception(audit.AUDIT.name)) for _ in range(losses)]
    store._pause = pauses.append

    def work(_connection: Connection) -> str:
        if left:
            raise left.pop()
        return "done"

    try:
        said = store.transact(work)
    except RetryLater as error:
        said = str(error).partition(": ")[2]

    longest = [min(0.1, 0.001 * 2**number) for number in range(1, 20)][:losses]
    assert (said, len(pauses)) == (told, len(longest))
    assert [pause for pause, most in zip(pauses, longest, strict=True) if not 0 <= pause <= most] == []


def test_a_closed_store_tells_each_of_them(store: Store) -> None:
    with at_once(store, [note(name) for name in NAMES]) as found:
        store._closed = True
        said = {str(one.exception(30)) for one in found}
    store._closed = False

    assert said == {f"store {store.name} is closed"}
