"""Silence, and what explains it; clocks that disagree."""

import pytest
from simulated_fleet import NODE, NS, T0, Fleet, batch, event, gpu, table, working

from collectors.model import EventKind, EventSource, Origin, Subject, SubjectKind
from detectors.contract import Clearing, Opening, Opinions
from detectors.engine import Engine
from detectors.model import Finding, FindingKind, Inventory
from detectors.silence.clock_offset import KEPT, ClockOffset

K = FindingKind


def test_a_node_that_falls_silent_without_a_word_is_told_after_thirty_seconds_and_once() -> None:
    fleet = working(2, 10).pass_time(25)
    assert fleet.kinds() == []
    (finding,) = fleet.pass_time(60).open()
    assert (finding.kind, finding.subject) == (K.TELEMETRY_LOST, NODE)


def test_a_node_that_reports_again_is_heard() -> None:
    fleet = working(2, 10).pass_time(60).run(1)
    assert fleet.open() == []
    assert fleet.kinds() == [K.TELEMETRY_LOST]


def test_a_collector_that_said_goodbye_may_be_silent() -> None:
    fleet = working(2, 10).say(event(EventKind.COLLECTOR_GOODBYE, NODE, source=EventSource.COLLECTOR)).run(1)
    assert fleet.pass_time(3600).kinds() == []


def test_after_a_goodbye_and_a_new_beginning_silence_counts_again() -> None:
    fleet = working(2, 10).say(event(EventKind.COLLECTOR_GOODBYE, NODE, source=EventSource.COLLECTOR)).run(1)
    assert fleet.run(5).pass_time(60).kinds() == [K.TELEMETRY_LOST]


def test_a_gpu_that_gives_no_reading_while_its_node_reports_is_told() -> None:
    fleet = working(2, 10)
    fleet.silent.add(1)
    assert fleet.run(19).kinds() == []
    (finding,) = fleet.run(3).open()
    assert (K.TELEMETRY_LOST, gpu(1)) == (finding.kind, finding.subject)
    fleet.silent.clear()
    assert fleet.run(1).open() == []


def test_a_card_that_is_known_to_be_lost_is_not_told_as_silent() -> None:
    fleet = working(2, 10)
    fleet.silent.add(1)
    fleet.say(event(EventKind.XID, gpu(1), fleet.now_ns, EventSource.KERNEL_LOG, code=79))
    assert fleet.run(120).kinds() == [K.GPU_LOST]


def test_a_silent_node_speaks_for_its_gpus() -> None:
    assert working(8, 10).pass_time(300).kinds() == [K.TELEMETRY_LOST]


def test_silence_resolves_nothing() -> None:
    fleet = working(2, 20).set(1, reasons=32.0).run(5)
    (finding,) = fleet.open(K.THERMAL_THROTTLE)
    fleet.pass_time(3600)
    assert finding in fleet.open()


def test_a_gpu_that_was_only_named_and_never_read_breaks_nothing() -> None:
    """A column without a reading, about which something is open since before a restart."""
    fleet = working(2, 10)
    fleet.silent.add(1)
    fleet.run(30).restart()
    fleet.silent.add(0)
    assert [f.kind for f in fleet.run(30).open()] == [K.TELEMETRY_LOST]


def judged(clock: ClockOffset) -> list[type]:
    out = Opinions()
    clock.on_time(Inventory(), T0, out)
    return [type(opinion) for opinion in out.said]


def heard(*offsets_s: float) -> ClockOffset:
    clock = ClockOffset()
    for offset in offsets_s:
        clock.heard(NODE, T0 + int(offset * NS), T0)
    return clock


@pytest.mark.parametrize("offset", [3.0, -3.0, 3600.0], ids=["ahead", "behind", "an-hour"])
def test_a_clock_more_than_two_seconds_off_is_told_and_corrected(offset: float) -> None:
    clock = heard(offset, offset, offset)
    assert judged(clock) == [Opening]
    assert clock.offset_ns(NODE) == int(-offset * NS)


@pytest.mark.parametrize("offset", [1.9, -1.9, 0.0])
def test_a_clock_less_than_two_seconds_off_is_left_alone(offset: float) -> None:
    clock = heard(offset, offset, offset)
    assert Opening not in judged(clock)
    assert clock.offset_ns(NODE) == 0


def test_one_late_batch_among_prompt_ones_is_no_clock() -> None:
    assert Opening not in judged(heard(-0.1, -60.0, -0.1))


def test_a_clock_that_agrees_again_clears_once_the_old_batches_are_forgotten() -> None:
    clock = heard(*[5.0] * 3, *[0.0] * KEPT)
    assert judged(clock) == [Clearing]


def test_two_batches_are_not_enough_to_call_a_clock_behind() -> None:
    clock = heard(-60.0, -60.0)
    assert judged(clock) == []
    assert clock.offset_ns(NODE) == 0


@pytest.mark.parametrize("off_s", [30, -30, 3000], ids=["ahead", "behind", "far-ahead"])
def test_a_fault_on_a_node_whose_clock_is_wrong_is_found_in_time_all_the_same(off_s: int) -> None:
    """Readings and log lines alike bear the node's wrong times."""
    engine = Engine(Origin.TEST)
    found: list[Finding] = []
    fleet = Fleet(2, engine=engine)

    def second(now_ns: int) -> None:
        fleet.now_ns = now_ns + off_s * NS
        fleet._steps(1.0)
        for index in range(2):
            fleet.counts[index]["energy"] += int(fleet.state[index]["watts"] * 1000)
        engine.receive(fleet.batch(), now_ns)
        found.extend(engine.tick(now_ns + NS // 2))

    for number in range(1, 41):
        second(T0 + number * NS)
    fleet.step_gap_s = None
    fleet.set(utilisation=1.0, watts=169.0, hertz=1.98e9).set(1, utilisation=0.0, watts=126.0)
    for number in range(41, 53):
        second(T0 + number * NS)
    (hang,) = [f for f in found if f.kind is K.COLLECTIVE_HANG]
    assert T0 + 40 * NS <= hang.since_ns <= hang.opened_ns <= T0 + 52 * NS


def test_a_look_from_the_future_does_not_blind_the_watch_to_the_present() -> None:
    fleet = working(1, 20)
    far = table([0], {"gpu_power_watts": [1.0]}, fleet.now_ns + 10**6 * NS)
    fleet.engine.receive(batch(far, subjects=[gpu(0)], sent_ns=fleet.now_ns), fleet.now_ns)
    fleet.set(reasons=32.0).run(5)
    assert [f.kind for f in fleet.open()] == [K.THERMAL_THROTTLE]
    assert fleet.engine.frames.future == 1


def test_a_line_from_the_future_does_not_hold_back_the_lines_of_the_present() -> None:
    fleet = working(1, 20)
    job = Subject("c", SubjectKind.JOB, "job-1")
    fleet.say(event(EventKind.TRAINING_STEP, job, fleet.now_ns + 10**6 * NS, step=1.0)).run(20)
    rhythm = fleet.engine.rhythms.of(job)
    assert rhythm.last_step_ns <= fleet.now_ns
    assert rhythm.last_step == fleet.step
