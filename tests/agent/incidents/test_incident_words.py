"""A person's word from the desk over the store to the running watch, and over a restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from migrated_stores import migrated

from agent.incidents.desk import Desk
from agent.server.spaces import Spaces
from agent.server.watches import watch_maker
from agent.store.store import Store, open_store
from agent.watch import Watch
from collectors.model import WIRE_VERSION, Batch, Event, EventKind, EventSource, Origin, Subject, SubjectFacts
from collectors.model import SubjectKind as Kind
from detectors.model import FindingKind, Incident, IncidentState

SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND
NODE = Subject("c", Kind.NODE, "uid-a")
GPUS = [Subject("c", Kind.GPU, f"GPU-{n}") for n in range(4)]


class Running:
    """An agent's live watch, its store, and the desk, by a clock of the test's."""

    def __init__(self, store: Store) -> None:
        self.store, self.now_ns, self.sequence = store, T0, 0
        self.start()

    def start(self) -> None:
        """As after a restart: all that is known comes from the store."""
        self.spaces = Spaces(watch_maker(self.store))
        self.desk = Desk(self.store, self.spaces)
        self.hear()

    def hear(self, *events: Event) -> None:
        """A batch, and the looks of the seconds after it; what they change is saved."""
        self.sequence += 1
        facts = [SubjectFacts(subject=NODE, name="node-a")]
        facts += [
            SubjectFacts(subject=gpu, name=gpu.id, node=NODE, attributes={"index": str(n)})
            for n, gpu in enumerate(GPUS)
        ]
        batch = Batch(
            WIRE_VERSION, Origin.LIVE, NODE, "boot", "spool", self.sequence, self.now_ns, (NODE, *GPUS),
            facts=tuple(facts), events=events,
        )  # fmt: skip
        space = self.spaces.space_for(batch)
        self.store.save(space.receive(batch, self.now_ns))
        self.now_ns += 6 * SECOND
        self.store.save(space.advance(self.now_ns))

    def lose(self, gpu: int) -> None:
        """NVML says that a card is lost."""
        self.hear(Event(EventKind.GPU_LOST, GPUS[gpu], self.now_ns, EventSource.NVML))

    def return_(self, gpu: int) -> None:
        """And that it is back."""
        self.hear(Event(EventKind.GPU_RETURNED, GPUS[gpu], self.now_ns, EventSource.NVML))

    def wait(self, seconds: int) -> None:
        """Batches without news."""
        for _ in range(seconds // 6):
            self.hear()

    def about(self, gpu: int) -> list[Incident]:
        """The store's incidents about a card, oldest first."""
        return [one for one in reversed(self.store.incidents(limit=1000)) if one.subject == GPUS[gpu]]

    @property
    def watch(self) -> Watch:
        """The one that runs."""
        return cast("Watch", self.spaces.get(Origin.LIVE, "c"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    store = open_store(migrated(tmp_path / "store.db"))
    yield Running(store)
    store.close()


def test_a_resolution_holds_while_the_card_stays_lost_and_over_a_restart(running: Running) -> None:
    running.lose(0)
    (incident,) = running.about(0)
    running.desk.resolve(incident, "ann", running.now_ns)
    running.lose(0)  # said once more
    running.start()
    running.wait(60)
    running.lose(0)

    (held,) = running.about(0)
    assert (held.state, held.resolved_because) == (IncidentState.RESOLVED, "resolved by ann")
    assert running.watch.correlator.unresolved == []


@pytest.mark.parametrize("restarted", [False, True], ids=["steady", "restarted"])
def test_a_card_lost_again_within_ten_minutes_is_the_same_incident(running: Running, restarted: bool) -> None:
    running.lose(0)
    running.return_(0)
    running.wait(60)
    assert [one.state for one in running.about(0)] == [IncidentState.RESOLVED]
    if restarted:
        running.start()
    running.lose(0)

    (back,) = running.about(0)
    assert (back.state, back.reopened, back.resolved_ns) == (IncidentState.OPEN, 1, None)


def test_a_snooze_is_held_to_by_the_watch_and_ends_by_its_clock(running: Running) -> None:
    running.lose(0)
    (incident,) = running.about(0)
    running.desk.snooze(incident, "ann", running.now_ns + 60 * SECOND, running.now_ns)
    running.wait(30)
    states = [running.about(0)[0].state]
    running.start()
    running.wait(12)
    states += [running.about(0)[0].state]
    running.wait(30)

    assert states == [IncidentState.SNOOZED, IncidentState.SNOOZED]
    assert IncidentState.OPEN is running.about(0)[0].state


def test_merged_incidents_live_and_end_as_one(running: Running) -> None:
    running.lose(0)
    running.lose(1)
    (first,), (second,) = running.about(0), running.about(1)
    running.desk.merge(second, first, "ann", running.now_ns)
    running.return_(1)
    running.wait(60)
    assert IncidentState.OPEN is running.about(0)[0].state
    running.return_(0)
    running.wait(60)

    assert IncidentState.RESOLVED is running.about(0)[0].state
    assert len(running.about(0)[0].findings) == 2
    assert running.about(1)[0].resolved_because == f"merged into {first.id} by ann"


def test_a_split_off_finding_has_a_life_of_its_own(running: Running) -> None:
    running.lose(0)
    running.lose(1)
    (first,), (second,) = running.about(0), running.about(1)
    _, whole = running.desk.merge(second, first, "ann", running.now_ns)
    running.hear()
    stays, new = running.desk.split(whole, list(second.findings), "ann", running.now_ns)
    running.return_(1)
    running.wait(60)

    by_id = {one.id: one.state for one in running.store.incidents()}
    assert (by_id[stays.id], by_id[new.id]) == (IncidentState.OPEN, IncidentState.RESOLVED)
    assert FindingKind.GPU_LOST is new.kind


def test_what_the_watch_saved_before_it_heard_the_word_does_not_undo_it(running: Running) -> None:
    """The store has the word at once, the watch hears it with its next look."""
    running.lose(0)
    (incident,) = running.about(0)
    running.desk.resolve(incident, "ann", running.now_ns)
    stale = running.watch._incidents[incident.id]
    from agent.watch import Changes

    running.store.save(Changes(incidents=[stale]))

    assert IncidentState.OPEN is stale.state
    assert IncidentState.RESOLVED is running.about(0)[0].state


def test_an_acknowledgement_is_known_to_the_watch_too(running: Running) -> None:
    running.lose(0)
    running.desk.acknowledge(running.about(0)[0], "ann", running.now_ns)
    running.hear()

    assert [one.state for one in running.watch.correlator.unresolved] == [IncidentState.ACKNOWLEDGED]


def test_words_without_a_watch_wait_in_the_store_for_the_next_start(running: Running) -> None:
    running.lose(0)
    (incident,) = running.about(0)
    Desk(running.store).snooze(incident, "ann", running.now_ns + 3600 * SECOND, running.now_ns)
    running.start()
    running.wait(12)

    assert [one.state for one in running.watch.correlator.unresolved] == [IncidentState.SNOOZED]


def test_ten_thousand_incidents_are_spoken_about_without_reading_them_all(running: Running) -> None:
    import msgspec

    from agent.incidents.context import context_of
    from agent.watch import Changes

    running.lose(0)
    (incident,) = running.about(0)
    many = [
        msgspec.structs.replace(
            incident,
            id=f"INC-{n:08}",
            subject=Subject("c", Kind.GPU, f"GPU-{n % 997}"),
            opened_ns=incident.opened_ns - n * SECOND,
            state=IncidentState.RESOLVED,
            resolved_ns=incident.opened_ns,
        )
        for n in range(10_000)
    ]
    running.store.save(Changes(incidents=many))
    after = running.desk.resolve(incident, "ann", running.now_ns)
    context = context_of(running.store, after, running.now_ns)

    assert IncidentState.RESOLVED is after.state
    assert context.base_rate.here == 12
    assert len(context.similar) == 5
