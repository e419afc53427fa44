"""The fence before what a watch has saved: under a generation that is over nothing comes in, whole or in part."""

from collections.abc import Callable, Iterator

import pytest
from store_samples import NODE, NOW, decision, event, finding, incident

from agent.store import leadership
from agent.store.leadership import Leadership, NotLeading
from agent.store.rows import JobSeen, NodeSeen
from agent.store.store import Store, open_store
from agent.watch import Changes
from collectors.errors import RetryLater
from collectors.model import Origin
from detectors.model import IncidentState, Word, WordKind

OLD, NEW = "agent-old", "agent-new"
ALL = Changes([finding(title := "f9")], [incident("INC-bbbb2222", root=title)], [decision("d9")], [event()])
WORD = Word(WordKind.MITIGATE, "INC-aaaa1111", "watchstander", NOW, "PLN-1 was carried out")
SAVES: dict[str, Callable[[Store, int], object]] = {
    "what a tick changed": lambda store, under: store.save(ALL, under),
    "nodes": lambda store, under: store.save_nodes([NodeSeen("c1", "n", "n", Origin.LIVE, NOW, NOW)], under),
    "jobs": lambda store, under: store.save_jobs([JobSeen("c1", "j", "j", Origin.LIVE, NOW, NOW)], under),
    "mitigated": lambda store, under: store.say(
        WORD, ["INC-aaaa1111"], lambda held, _findings, _sequence: (held, "mitigated"), under
    ),
}


def contents(store: Store) -> tuple[object, ...]:
    """All that these saves could have changed."""
    return (
        store.incidents(),
        store.findings(["f1", "f9"]),
        store.decisions("INC-aaaa1111") + store.decisions("INC-bbbb2222"),
        store.events(since_ns=0, until_ns=1 << 62),
        store.nodes(),
        store.jobs(),
        store.said("INC-aaaa1111"),
        store.audit(),
    )


@pytest.fixture
def led(store: Store) -> Store:
    """The old leader has saved an incident."""
    store.lead(1, OLD, NOW)
    store.save(Changes([finding()], [incident()]), under=1)
    return store


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_deposed_leaders_save_is_refused_whole(led: Store, save: Callable[[Store, int], object]) -> None:
    led.lead(2, NEW, NOW)
    before = contents(led)

    with pytest.raises(NotLeading) as said:
        save(led, 1)

    assert contents(led) == before
    assert str(said.value) == "not the leader any more: generation 1 is over, agent agent-new leads under 2"


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_the_leaders_own_save_goes_in(led: Store, save: Callable[[Store, int], object]) -> None:
    led.lead(2, NEW, NOW)
    before = contents(led)
    save(led, 2)

    assert contents(led) != before


def test_the_newer_row_stands_whatever_the_old_leader_still_had(led: Store) -> None:
    """Its late save of the same incident comes after the new leader has changed it."""
    led.lead(2, NEW, NOW)
    newer = incident(state=IncidentState.RESOLVED, updated_ns=NOW + 5, title="seen by the new leader")
    led.save(Changes(incidents=[newer]), under=2)
    with pytest.raises(NotLeading):
        led.save(Changes(incidents=[incident(title="late", updated_ns=NOW + 9)]), under=1)

    assert led.incidents() == [newer]


def test_a_persons_word_counts_whoever_leads(led: Store) -> None:
    led.lead(2, NEW, NOW)
    led.acknowledge("INC-aaaa1111", "ann", NOW)

    assert [one.state for one in led.incidents()] == [IncidentState.ACKNOWLEDGED]


def test_the_lead_is_taken_upwards_only_and_says_who_had_it(store: Store) -> None:
    """The same agent may say the same twice: its answer was lost."""
    before = [store.led(), store.lead(3, OLD, NOW), store.lead(3, OLD, NOW), store.lead(5, NEW, NOW)]
    refused = []
    for generation in (4, 5):
        with pytest.raises(NotLeading) as said:
            store.lead(generation, OLD, NOW)
        refused.append(str(said.value))

    nobody = Leadership(0, "")
    assert before == [nobody, nobody, Leadership(3, OLD), Leadership(3, OLD)]
    assert store.led() == Leadership(5, NEW)
    assert refused == [
        f"not the leader any more: generation {one} is over, agent {NEW} leads under 5" for one in (4, 5)
    ]


def test_agents_of_another_cluster_have_a_lead_of_their_own(led: Store) -> None:
    """Where they share the database."""
    led.lease = "other/monitoring/watchstander"
    led.lead(7, NEW, NOW)
    other = led.led()
    led.lease = ""
    led.save_nodes([NodeSeen("c1", "n", "n", Origin.LIVE, NOW, NOW)], under=1)

    assert (other, led.led(), len(led.nodes())) == (Leadership(7, NEW), Leadership(1, OLD), 1)


@pytest.fixture
def two(postgres_server) -> Iterator[tuple[Store, Store]]:  # type: ignore[no-untyped-def]
    """Two agents' stores over one PostgreSQL."""
    name = postgres_server.make_migrated_database()
    stores = [open_store(postgres_server.url(name), busy_seconds=0.2) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        store.close()
    postgres_server.drop_database(name)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_nobody_takes_the_lead_in_the_middle_of_a_save(two: tuple[Store, Store]) -> None:
    """Either the save is committed before the new leader begins to read, or it is refused."""
    old, new = two
    old.lead(1, OLD, NOW)
    with pytest.raises(RetryLater) as waited:

        def save(connection: object) -> None:
            leadership.check(connection, "", 1)  # type: ignore[arg-type]
            new.lead(2, NEW, NOW)

        old.transact(save)
    taken = new.lead(2, NEW, NOW)
    with pytest.raises(NotLeading):
        old.save_nodes([NodeSeen("c1", NODE.id, "n", Origin.LIVE, NOW, NOW)], under=1)

    assert "another transaction holds a lock" in str(waited.value)
    assert (taken, new.nodes()) == (Leadership(1, OLD), [])


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.xdist_group("postgres")
def test_who_stands_still_in_the_middle_of_a_save_keeps_the_next_leader_out_for_seconds_only(
    two: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends the transaction of a writer that says nothing, and the writer hears that it may try again."""
    old, new = two
    old.lead(1, OLD, NOW)
    tries: list[str] = []

    def save(connection: object) -> None:
        leadership.check(connection, "", 1)  # type: ignore[arg-type]
        for _ in range(150):
            try:
                new.lead(2, NEW, NOW)
            except RetryLater as error:
                tries.append(str(error))
            else:
                break
        connection.exec_driver_sql("SELECT 1")  # type: ignore[attr-defined]

    with pytest.raises(RetryLater):
        old.transact(save)
    with pytest.raises(NotLeading):
        old.save_nodes([NodeSeen("c1", NODE.id, "n", Origin.LIVE, NOW, NOW)], under=1)

    assert len(tries) > 10
    assert new.led() == Leadership(2, NEW)
