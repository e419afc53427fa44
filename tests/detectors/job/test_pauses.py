"""Waits that come again and again in one rhythm are one slow rank or one slow input, not a hang each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import JOB, NS, SPIN, STILL, WORK, Fleet, event, gpu

from collectors.model import EventKind
from detectors.job.pauses import TIMES, Pauses
from detectors.model import FindingKind

K = FindingKind
NOBODY = np.zeros(0, np.int64)


def job(gpus: int = 4) -> Fleet:
    fleet = Fleet(gpus).run(25)
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
    assert pauses.again_since_ns(now_ns) == 0


@given(st.floats(7, 60), st.floats(1, 16))
def test_three_alike_always_make_one_since_the_first(wait: float, run: float) -> None:
    pauses, now_ns = row([wait] * 3, [run] * 2)
    assert pauses.again_since_ns(now_ns) == 1000 * NS


@pytest.mark.parametrize(
    ("waits", "runs"),
    [([10, 40, 10], [5, 5]), ([10, 10, 40], [5, 5]), ([20, 20, 20], [4, 30]), ([8, 8, 8], [40, 40])],
    ids=["a-long-one-among-short", "the-last-goes-on", "runs-unlike", "hardly-any-waiting"],
)
def test_what_has_no_rhythm_is_no_row(waits: list[float], runs: list[float]) -> None:
    pauses, now_ns = row(waits, runs)
    assert pauses.again_since_ns(now_ns) == 0


def test_another_guilty_rank_begins_anew() -> None:
    pauses, now_ns = row([10, 10, 10], [5, 5])
    pauses.goes_on(now_ns)
    pauses.paused(np.array([3]), now_ns + 5 * NS)
    assert pauses.again_since_ns(now_ns + 15 * NS) == 0
