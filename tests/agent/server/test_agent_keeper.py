"""The keeper saves everything once the store can take it, and says what it could not hold."""

import threading
import time
from collections.abc import Iterator

import pytest
from running_agent import numbered_event, wait_for

from agent.server.keeper import Keeper, Mark, Standing
from agent.store.leadership import NotLeading
from agent.store.rows import NodeSeen, Pruned
from agent.watch import Changes
from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.model import Origin


class MemoryStore:
    """Keeps what it is given; fails with `error` while there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls = 0
        self.events: list[float] = []
        self.nodes: dict[str, int] = {}
        self.chunks: list[object] = []
        self.under: list[int | None] = []
        self.leads = 0
        """The newest generation that it knows."""
        self.go_on = threading.Event()
        self.go_on.set()

    def _enter(self) -> None:
        self.calls += 1
        self.go_on.wait(60)
        if self.error is not None:
            raise self.error

    def _check(self, under: int | None) -> None:
        if under is not None and under < self.leads:
            raise NotLeading(f"not the leader any more: generation {under} is over")
        self.under.append(under)

    def save(self, changes: Changes, under: int | None = None) -> None:
        self._enter()
        self._check(under)
        self.events += [event.values["step"] for event in changes.events]

    def save_nodes(self, nodes_seen, under: int | None = None) -> None:
        self._enter()
        self._check(under)
        self.nodes |= {node.id: node.last_seen_ns for node in nodes_seen}

    def save_jobs(self, jobs_seen, under: int | None = None) -> None:
        self._enter()

    def keep_readings(self, chunk_rows) -> None:
        self._enter()
        self.chunks += chunk_rows

    def prune(self, now_ns: int, retention_) -> Pruned:
        return Pruned()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def keeper(store: MemoryStore) -> Iterator[Keeper]:
    keeper = Keeper(store, time.time_ns, most_rows=5, first_retry_seconds=0.01)
    keeper.start()
    yield keeper
    store.go_on.set()
    store.error = None
    keeper.stop()


def events(*numbers: int) -> Changes:
    return Changes(events=[numbered_event(number, number) for number in numbers])


def node(last_seen_ns: int) -> NodeSeen:
    return NodeSeen("prod", "a", "a", Origin.LIVE, 1, last_seen_ns)


@pytest.mark.parametrize("error", [RetryLater("away"), FixConfiguration("wrong password")], ids=["away", "wrong"])
def test_what_could_not_be_saved_is_saved_later_and_once(store: MemoryStore, keeper: Keeper, error: Exception) -> None:
    store.error = error
    keeper.keep(events(1), nodes=[node(5)], mark=Mark(10))
    wait_for(lambda: keeper.retries >= 2, "some attempts")
    assert (keeper.problem, keeper.saved) == (str(error), Mark())
    keeper.keep(events(2), nodes=[node(7)], mark=Mark(20))
    store.error = None

    wait_for(lambda: keeper.saved == Mark(20), "the store to have it all")
    assert (store.events, store.nodes, keeper.problem, keeper.waiting) == ([1, 2], {"a": 7}, "", 0)


def test_what_the_store_refuses_for_good_is_counted_and_the_rest_goes_in(store: MemoryStore, keeper: Keeper) -> None:
    store.error = GiveUp("a value that fits nowhere")
    keeper.keep(events(1), mark=Mark(1))
    wait_for(lambda: keeper.refused == 1, "the refusal")
    store.error = None
    keeper.keep(events(2), mark=Mark(2))

    wait_for(lambda: keeper.saved == Mark(2), "the next")
    assert store.events == [2]


def test_of_too_much_that_waits_the_oldest_goes_and_is_counted(store: MemoryStore, keeper: Keeper) -> None:
    store.error = RetryLater("away")
    for number in range(8):
        keeper.keep(events(number))
    wait_for(lambda: keeper.dropped == 3, "the bound")
    store.error = None

    wait_for(lambda: keeper.waiting == 0, "the store to have the rest")
    assert store.events == [3, 4, 5, 6, 7]


def test_stopping_saves_what_waits(store: MemoryStore, keeper: Keeper) -> None:
    store.go_on.clear()
    keeper.keep(events(1))
    wait_for(lambda: store.calls == 1, "the first attempt")
    keeper.keep(events(2), mark=Mark(2))
    store.go_on.set()

    assert keeper.stop() is True
    assert (store.events, keeper.saved) == ([1, 2], Mark(2))


def test_stopping_gives_up_on_a_store_that_stays_away(store: MemoryStore, keeper: Keeper) -> None:
    store.error = RetryLater("away")
    keeper.keep(events(1), mark=Mark(1))

    assert keeper.stop(attempts=2) is False
    assert keeper.saved == Mark()


def test_a_mark_without_rows_is_taken_over(store: MemoryStore, keeper: Keeper) -> None:
    keeper.keep(mark=Mark(7, {"prod": 3}))

    wait_for(lambda: keeper.saved == Mark(7, {"prod": 3}), "the mark")
    assert keeper.lag_seconds() == 0.0


@pytest.fixture
def deposed() -> list[str]:
    """What the keeper said when the store knew another leader."""
    return []


@pytest.fixture
def led(store: MemoryStore, deposed: list[str]) -> Iterator[Keeper]:
    """The keeper of an agent that shares its store: who leads is not known yet."""
    keeper = Keeper(store, time.time_ns, first_retry_seconds=0.01, deposed=deposed.append, standing=Standing.UNKNOWN)
    keeper.start()
    yield keeper
    store.go_on.set()
    store.error = None
    keeper.stop()


def test_until_it_is_known_who_leads_everything_waits_and_is_saved_under_the_lead(
    store: MemoryStore, led: Keeper
) -> None:
    led.keep(events(1), nodes=[node(5)], mark=Mark(10))
    before = (led.flush(0.1), store.calls, led.waiting)
    led.lead(3)

    assert led.flush()
    assert (before, store.events, store.nodes, store.under) == ((False, 0, 2), [1], {"a": 5}, [3, 3])


def test_where_another_leads_what_waited_and_what_comes_is_let_go_of_and_counted(
    store: MemoryStore, led: Keeper
) -> None:
    """But for readings, which take nothing's place."""
    led.keep(events(1, 2), nodes=[node(5)], mark=Mark(10))
    led.stand_by()
    led.keep(events(3), chunks=["a chunk"], mark=Mark(20))  # type: ignore[list-item]

    assert led.flush()
    wait_for(lambda: led.saved == Mark(20), "the mark")
    assert (store.events, store.nodes, store.chunks, led.overtaken) == ([], {}, ["a chunk"], 4)


def test_a_deposed_leader_lets_go_of_what_it_had_says_so_and_stands_by(
    store: MemoryStore, led: Keeper, deposed: list[str]
) -> None:
    led.lead(1)
    store.go_on.clear()
    led.keep(events(1))
    wait_for(lambda: store.calls == 1, "the save that comes too late")
    led.keep(events(2), nodes=[node(5)])
    store.leads = 2
    store.go_on.set()
    wait_for(lambda: bool(deposed), "its end")
    led.keep(events(3))

    assert led.flush()
    assert (store.events, store.nodes, led.overtaken, led.problem) == ([], {}, 4, "")
    assert deposed == ["not the leader any more: generation 1 is over"]


def test_what_was_found_under_a_lead_that_is_over_is_not_saved_under_the_next(store: MemoryStore, led: Keeper) -> None:
    """Another led in between; also what was in the middle of being saved."""
    led.lead(1)
    store.error = RetryLater("away")
    led.keep(events(1))
    wait_for(lambda: led.retries >= 1, "an attempt")
    led.keep(events(2))
    led.stand_by()
    led.lead(3)
    led.keep(events(4))
    store.leads, store.error = 3, None

    assert led.flush()
    assert (store.events, store.under, led.overtaken) == ([4], [3], 2)


def test_a_lead_that_goes_on_under_a_newer_generation_loses_nothing(
    store: MemoryStore, led: Keeper, deposed: list[str]
) -> None:
    """Nobody led in between: the lease was deleted, or the agent was restarted."""
    led.lead(1)
    store.error = RetryLater("away")
    led.keep(events(1))
    wait_for(lambda: led.retries >= 1, "an attempt")
    led.lead(2)
    store.leads, store.error = 2, None

    assert led.flush()
    assert (store.events, store.under, led.overtaken, deposed) == ([1], [2], 0, [])


def test_stopping_before_it_is_known_who_leads_saves_nothing(store: MemoryStore, led: Keeper) -> None:
    """The next start has it from the ingest log."""
    led.keep(events(1), mark=Mark(10))

    assert (led.stop(), store.calls, led.saved) == (False, 0, Mark())
