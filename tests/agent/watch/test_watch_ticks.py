"""When the watch looks: on half seconds, soon where something happened, and the same however time is handed to it."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_fleet import JOB, NODE, NS, SPIN, STILL, T0, Fleet, batch, event, gpu

from agent.watch import TICK_S, Changes, Watch
from collectors.model import Batch, EventKind, EventSource, Origin
from detectors.model import FindingKind, IncidentState

K = FindingKind


class Seen(Watch):
    """Remembers its ticks."""

    def __init__(self) -> None:
        super().__init__(Origin.TEST, "c")
        self.ticks: list[int] = []

    def tick(self, now_ns: int) -> Changes:
        self.ticks.append(now_ns)
        return super().tick(now_ns)


def story() -> list[tuple[int, Batch]]:
    """Ninety seconds of two ranks: work, a hang, an Xid, work again; batches at odd moments."""
    fleet, told = Fleet(2), []

    def keep(seconds: int) -> None:
        for _ in range(seconds):
            fleet.now_ns += NS
            for index in range(2):
                fleet.counts[index]["energy"] += int(fleet.state[index]["watts"] * 1000)
            fleet._steps(1.0)
            received_ns = fleet.now_ns + (fleet.now_ns // NS * 137_000_003) % (NS // 2)
            told.append((received_ns, fleet.batch()))

    keep(30)
    fleet.step_gap_s = None
    fleet.set(**SPIN).set(1, **STILL)
    keep(15)
    fleet.say(event(EventKind.XID, gpu(0), fleet.now_ns, EventSource.KERNEL_LOG, code=31))
    fleet.step_gap_s = 0.5
    fleet.set(utilisation=0.99, watts=690.0, hertz=1.83e9)
    keep(20)
    return told


STORY = story()
END = STORY[-1][0] + 30 * NS


def told(changes: Changes) -> dict[str, list[Any]]:
    return {
        "findings": [(f.id, f.cleared_ns, len(f.evidence)) for f in changes.findings],
        "incidents": [(i.id, i.state, i.updated_ns, i.findings) for i in changes.incidents],
        "decisions": [(d.incident, d.reason) for d in changes.decisions],
        "events": [(e.kind, e.time_ns) for e in changes.events],
    }


def played(watch: Watch, extra: list[int]) -> dict[str, list[Any]]:
    """The story, with time handed over at some more instants than need be."""
    changes = Changes()
    at = sorted(extra)
    for received_ns, one in STORY:
        while at and at[0] <= received_ns:
            changes.add(watch.advance(at.pop(0)))
        changes.add(watch.advance(received_ns))
        watch.receive(one, received_ns)
    for now_ns in [*at, END]:
        changes.add(watch.advance(now_ns))
    return told(changes)


ONCE = played(Watch(Origin.TEST, "c"), [])


def test_the_story_has_something_to_tell() -> None:
    assert len({finding for finding, _, _ in ONCE["findings"]}) >= 2
    assert len(ONCE["incidents"]) >= 2


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(STORY[0][0], END), max_size=25))
def test_handing_time_over_in_other_pieces_changes_nothing(extra: list[int]) -> None:
    assert played(Watch(Origin.TEST, "c"), extra) == ONCE


def test_ticks_lie_on_half_seconds_and_never_run_back() -> None:
    watch = Seen()
    played(watch, [])
    assert [tick % (NS // 2) for tick in watch.ticks] == [0] * len(watch.ticks)
    assert watch.ticks == sorted(set(watch.ticks))


def test_without_batches_a_tick_comes_every_five_seconds() -> None:
    watch = Seen()
    watch.receive(batch(), T0 + 1)
    watch.advance(T0 + 62 * NS)
    assert {b - a for a, b in zip(watch.ticks, watch.ticks[1:])} == {TICK_S * NS}


@pytest.mark.parametrize(
    "urgent",
    [
        batch(events=[event(EventKind.TRAINING_STEP, JOB)]),
        batch(events=[event(EventKind.XID, gpu(0), source=EventSource.KERNEL_LOG, code=31.0)]),
        batch(suspicion="power fell"),
    ],
    ids=["a-step", "an-xid", "a-suspicion"],
)
def test_an_urgent_batch_is_looked_at_by_the_next_half_second(urgent: Batch) -> None:
    watch = Seen()
    watch.receive(batch(), T0 + 1)
    watch.advance(T0 + 20 * NS)
    watch.advance(T0 + 20 * NS + NS // 3)
    before = len(watch.ticks)
    watch.receive(urgent, T0 + 20 * NS + NS // 3)
    watch.advance(T0 + 21 * NS + 1)
    assert watch.ticks[before:] == [T0 + 20 * NS + NS // 2]


def test_a_calm_batch_waits_for_the_next_regular_tick() -> None:
    watch = Seen()
    watch.receive(batch(), T0 + 1)
    watch.advance(T0 + 20 * NS)
    before = watch.ticks[-1]
    watch.receive(batch(), before + NS // 3)
    watch.advance(before + 4 * NS)
    assert watch.ticks[-1] == before


def test_what_is_received_at_a_tick_belongs_to_the_next() -> None:
    watch = Seen()
    watch.receive(batch(), T0 + 1)
    watch.advance(T0 + 10 * NS)
    at = watch.ticks[-1] + NS
    watch.receive(batch(events=[event(EventKind.XID, gpu(0), at, EventSource.KERNEL_LOG, code=119.0)]), at)
    assert not watch.advance(at).findings
    assert [f.kind for f in watch.advance(at + NS + 1).findings] == [K.XID]


def test_advancing_to_the_same_instant_twice_does_nothing_the_second_time() -> None:
    watch = Seen()
    played(watch, [])
    count = len(watch.ticks)
    assert not watch.advance(END)
    assert not watch.advance(END - 10 * NS)
    assert len(watch.ticks) == count


def test_before_the_first_batch_time_passes_unseen() -> None:
    watch = Seen()
    assert not watch.advance(END)
    assert watch.ticks == []


def test_steps_are_not_kept_as_events_and_everything_else_is() -> None:
    # the report of what a node was found with is the watch's own
    assert [kind for kind, _ in ONCE["events"] if kind is not EventKind.AS_FOUND] == [EventKind.XID]


def hung() -> tuple[Watch, Changes]:
    watch, changes = Watch(Origin.TEST, "c"), Changes()
    for received_ns, one in STORY[:44]:
        changes.add(watch.advance(received_ns))
        watch.receive(one, received_ns)
    changes.add(watch.advance(STORY[44][0]))
    return watch, changes


def test_after_a_restart_incidents_stay_as_they_are_until_their_findings_clear() -> None:
    _, before = hung()
    finding = {f.id: f for f in before.findings}
    incident = {i.id: i for i in before.incidents}
    decision = {d.incident: d for d in before.decisions}
    after = Watch(Origin.TEST, "c")
    after.restore(finding.values(), incident.values(), decision.values())
    changes = Changes()
    for received_ns, one in STORY[44:]:
        changes.add(after.advance(received_ns))
        after.receive(one, received_ns)
    (hang,) = [f for f in finding.values() if f.kind is K.COLLECTIVE_HANG]
    cleared = [f for f in changes.findings if f.id == hang.id and f.cleared_ns]
    assert len(cleared) == 1
    assert STORY[45][0] + 10 * NS < (cleared[0].cleared_ns or 0)
    assert {f.id for f in changes.findings if f.kind is K.COLLECTIVE_HANG} == {hang.id}
    ids = {i.id for i in changes.incidents if hang.id in i.findings}
    assert ids <= set(incident)


def test_restored_incidents_do_not_resolve_by_the_passing_of_time() -> None:
    _, before = hung()
    after = Watch(Origin.TEST, "c")
    after.restore(before.findings, {i.id: i for i in before.incidents}.values(), before.decisions)
    after.receive(batch(node=NODE, sent_ns=END), END)
    changes = after.advance(END + 600 * NS)
    assert [i for i in changes.incidents if i.state is IncidentState.RESOLVED] == []
    assert [f for f in changes.findings if f.kind is K.COLLECTIVE_HANG and f.cleared_ns] == []
