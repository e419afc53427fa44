"""Waits that come again and again in one rhythm are one slow rank or one slow input, not a hang each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import JOB, NS, SPIN, STILL, WORK, Fleet, event, gpu, working

from collectors.model import EventKind
from detectors.job.pauses import TIMES, Pauses
from detectors.job.rhythm import Rhythm
from detectors.model import FindingKind

K = FindingKind
NOBODY = np.zeros(0, np.int64)


def job(gpus: int = 4) -> Fleet:
    fleet = working(gpus, 25)
    fleet.step_gap_s = None
    return fleet


def around(fleet: Fleet, times: int, wait_s: float, run_s: float, steps: int, guilty: int | None) -> Fleet:
    """So many waits, each followed by a run of so many steps."""
    for _ in range(times):
        fleet.set(**STILL)
        if guilty is not None:
            fleet.set(**SPIN).set(guilty, **STILL)
        fleet.run(wait_s).set(**WORK)
        for _ in range(steps):
            fleet.run(run_s / steps)
            fleet.step += 1
            fleet.say(event(EventKind.TRAINING_STEP, JOB, fleet.now_ns, step=float(fleet.step)))
    return fleet


def test_bursts_between_long_waits_of_all_ranks_are_a_slow_input() -> None:
    fleet = around(job(), 4, wait_s=15, run_s=5, steps=4, guilty=None)
    assert (K.DATALOADER_STALL, JOB) in [(f.kind, f.subject) for f in fleet.found.values()]


def test_bursts_between_long_waits_for_one_rank_are_its_slow_input() -> None:
    fleet = around(job(), 4, wait_s=15, run_s=5, steps=4, guilty=2)
    assert (K.DATALOADER_STALL, gpu(2)) in [(f.kind, f.subject) for f in fleet.found.values()]
    assert not [f for f in fleet.found.values() if f.kind is K.STRAGGLER]


def test_a_long_wait_for_one_rank_at_each_step_makes_it_a_straggler() -> None:
    fleet = around(job(), 4, wait_s=12, run_s=3, steps=1, guilty=2)
    assert (K.STRAGGLER, gpu(2)) in [(f.kind, f.subject) for f in fleet.found.values()]
    assert not [f for f in fleet.found.values() if f.kind is K.DATALOADER_STALL]


def test_two_waits_are_not_yet_a_row() -> None:
    fleet = around(job(), 2, wait_s=15, run_s=5, steps=4, guilty=None)
    assert {f.kind for f in fleet.found.values()} == {K.TRAINING_STALL}


def test_waits_far_apart_are_each_their_own() -> None:
    fleet = around(job(), 4, wait_s=10, run_s=60, steps=60, guilty=None)
    assert K.DATALOADER_STALL not in {f.kind for f in fleet.found.values()}


def test_a_row_of_one_gpu_without_a_word_on_its_data_stays_a_stall() -> None:
    fleet = around(job(1), 4, wait_s=15, run_s=5, steps=4, guilty=None)
    assert {f.kind for f in fleet.found.values()} == {K.TRAINING_STALL}


def row(waits: list[float], runs: list[float]) -> tuple[Pauses, int]:
    pauses, now_ns = Pauses(), 1000 * NS
    for wait, run in zip(waits, [*runs, 0.0]):
        pauses.paused(NOBODY, now_ns)
        now_ns += int(wait * NS)
        if run:
            pauses.goes_on(now_ns)
            now_ns += int(run * NS)
    return pauses, now_ns


@given(st.lists(st.floats(7, 60), min_size=1, max_size=TIMES - 1), st.floats(1, 60))
def test_fewer_waits_than_three_never_make_a_row(waits: list[float], run: float) -> None:
    pauses, now_ns = row(waits, [run] * (len(waits) - 1))
    assert pauses.again(None, now_ns) == []


@given(st.floats(7, 60), st.floats(1, 16))
def test_three_alike_always_make_one_since_the_first(wait: float, run: float) -> None:
    pauses, now_ns = row([wait] * 3, [run] * 2)
    assert pauses.again(None, now_ns)[0].since_ns == 1000 * NS


@pytest.mark.parametrize(
    ("waits", "runs"),
    [([10, 40, 10], [5, 5]), ([10, 10, 40], [5, 5]), ([20, 20, 20], [4, 30]), ([8, 8, 8], [40, 40])],
    ids=["a-long-one-among-short", "the-last-goes-on", "runs-unlike", "hardly-any-waiting"],
)
def test_what_has_no_rhythm_is_no_row(waits: list[float], runs: list[float]) -> None:
    pauses, now_ns = row(waits, runs)
    assert pauses.again(None, now_ns) == []


def test_another_guilty_rank_begins_anew() -> None:
    pauses, now_ns = row([10, 10, 10], [5, 5])
    pauses.goes_on(now_ns)
    pauses.paused(np.array([3]), now_ns + 5 * NS)
    assert pauses.again(None, now_ns + 15 * NS) == []


def log_of(line_times_s: list[float]) -> Rhythm:
    """A log with a line every 0.42 s until 1000 s, and then at these times."""
    rhythm = Rhythm(JOB)
    times = [1000 - 0.42 * k for k in range(40)][::-1] + line_times_s
    for step, at_s in enumerate(times):
        rhythm.on_event(event(EventKind.TRAINING_STEP, JOB, int(at_s * NS), step=float(step)), quiet=at_s <= 1000)
    return rhythm


def bursts(first_s: float, times: int, wait_s: float, steps: int) -> list[float]:
    """When the lines come: so many steps of 0.42 s after each wait."""
    period = wait_s + 0.42 * steps
    return [first_s + n * period + wait_s + 0.42 * k for n in range(times) for k in range(steps)]


def seen(*spans: tuple[float, float]) -> Pauses:
    """What the cards have shown; an end of 0: it lasts."""
    pauses = Pauses()
    for since_s, until_s in spans:
        pauses.paused(np.array([2]), int(since_s * NS))
        if until_s:
            pauses.goes_on(int(until_s * NS))
    return pauses


def test_waits_that_the_window_of_looks_misses_are_filled_in_by_the_log() -> None:
    # found on a simulated day: waits of 7.6 s after four steps of 0.42 s; of the first four the cards showed two
    rhythm, pauses = log_of(bursts(1000, 3, 7.6, 4)), seen((1001, 1007.6), (1028.3, 0))

    found = pauses.again(rhythm, 1034 * NS)

    assert [round((pause.until_ns - pause.since_ns) / NS, 1) for pause in found[:-1]] == [6.6, 7.6, 7.6]
    assert pauses.in_bursts(rhythm, found)


def test_a_rank_that_is_late_to_each_step_makes_no_bursts_by_the_waits_that_were_missed() -> None:
    rhythm, pauses = log_of(bursts(1000, 3, 7.6, 1)), seen((1001, 1007.6), (1024.5, 0))

    found = pauses.again(rhythm, 1031 * NS)

    assert len(found) == 4
    assert not pauses.in_bursts(rhythm, found)


def test_two_waits_with_nothing_unusual_in_the_log_between_are_no_row() -> None:
    rhythm = log_of([1007.6 + 0.42 * k for k in range(48)])

    assert seen((1001, 1007.6), (1028.3, 0)).again(rhythm, 1034 * NS) == []


def test_two_waits_without_a_log_are_no_row() -> None:
    assert seen((1001, 1007.6), (1028.3, 0)).again(None, 1034 * NS) == []


def test_a_line_that_comes_while_no_card_moves_does_not_part_a_wait() -> None:
    # found on a simulated day: waits of 18 s, the line of the step in the middle of each
    spans = [(1001.0, 1011.0), (1011.0, 1019.5), (1021.8, 1032.0), (1032.0, 1040.5), (1042.8, 0)]

    found = seen(*spans).again(None, 1049 * NS)

    assert [(pause.since_ns / NS, pause.until_ns / NS) for pause in found] == [
        (1001.0, 1019.5),
        (1021.8, 1040.5),
        (1042.8, 0),
    ]


def parted_row(runs: list[float], after: int) -> tuple[Pauses, int]:
    """Waits of 17 s; a save of 8 s lies in the run after wait number `after`."""
    pauses, now_ns = Pauses(), 1000 * NS
    for number, run in enumerate([*runs, 0.0]):
        pauses.paused(np.array([2]), now_ns)
        now_ns += 17 * NS
        if not run:
            break
        if number == after:
            pauses.parted(now_ns)
            now_ns += 8 * NS
        pauses.goes_on(now_ns)
        now_ns += int(run * NS)
    return pauses, now_ns


def test_a_save_between_two_waits_does_not_end_their_row() -> None:
    pauses, now_ns = parted_row([2, 2], after=1)

    assert len(pauses.again(None, now_ns)) == 3


def test_waits_that_have_nothing_but_saves_between_them_are_no_row() -> None:
    pauses, now_ns = parted_row([2], after=0)
    pauses.parted(now_ns)
    pauses.paused(np.array([2]), now_ns + 10 * NS)

    assert pauses.again(None, now_ns + 27 * NS) == []


@pytest.mark.parametrize(
    ("announced", "stragglers"),
    [(EventKind.CHECKPOINT_START, 1), (EventKind.EVALUATION_START, 1), (EventKind.TRAINING_START, 0)],
    ids=["save", "evaluation", "start"],
)
def test_a_slow_rank_is_one_on_both_sides_of_a_save_and_not_of_a_start(announced: EventKind, stragglers: int) -> None:
    fleet = around(job(), 2, wait_s=15, run_s=3, steps=1, guilty=2)
    fleet.log(announced).set(**STILL).run(6).set(**WORK)
    around(fleet.run(1).log(EventKind.TRAINING_STEP, step=fleet.step + 1.0), 1, wait_s=15, run_s=3, steps=1, guilty=2)

    assert len(fleet.of(K.STRAGGLER)) == stragglers
