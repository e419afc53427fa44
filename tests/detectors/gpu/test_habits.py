"""What a GPU is used to: arming, freezing, idle power, leaving, forgetting."""

import numpy as np
import pytest
from simulated_fleet import EMPTY, GIB, JOB, SPIN, STILL, WORK, Fleet, working

from collectors.model import EventKind
from detectors.gpu.habits import GONE, UNKNOWN
from detectors.gpu.habits import SPIN as SPINS
from detectors.gpu.habits import STILL as IS_STILL
from detectors.gpu.habits import WORK as WORKS
from detectors.model import FindingKind


def armed(fleet: Fleet) -> list[bool]:
    return fleet.engine.habits.armed[: fleet.gpus].tolist()


def category(fleet: Fleet) -> list[int]:
    return fleet.engine.habits.category[: fleet.gpus].tolist()


def test_ten_seconds_of_steady_load_arm_a_gpu() -> None:
    fleet = Fleet(1)
    assert armed(fleet.run(10)) == [False]
    assert armed(fleet.run(2)) == [True]
    assert float(fleet.engine.habits.busy_watts[0]) == pytest.approx(690, rel=0.01)
    assert float(fleet.engine.habits.busy_hertz[0]) == pytest.approx(1.83e9)


@pytest.mark.parametrize(
    "wobble",
    [
        lambda f: f.set(watts=690.0 if f.now_ns // 10**9 % 4 < 2 else 400.0),
        lambda f: f.set(hertz=1.83e9 if f.now_ns // 10**9 % 4 < 2 else 1.4e9),
        lambda f: f.set(utilisation=0.99 if f.now_ns // 10**9 % 3 else 0.3),
    ],
    ids=["power", "clock", "utilisation"],
)
def test_load_that_is_not_steady_arms_nothing(wobble: object) -> None:
    assert armed(Fleet(1).run(40, wobble)) == [False]  # type: ignore[arg-type]  # a lambda over Fleet


def test_a_card_without_a_process_arms_nothing_however_busy_it_looks() -> None:
    assert armed(Fleet(1).set(**EMPTY | {"utilisation": 1.0, "watts": 500.0}).run(30)) == [False]


@pytest.mark.slow
def test_slow_drift_is_followed() -> None:
    fleet = working(1, 15)
    fleet.run(600, lambda f: f.set(watts=f.state[0]["watts"] - 0.1))
    assert float(fleet.engine.habits.busy_watts[0]) == pytest.approx(630, abs=12)


def test_a_habit_stands_still_while_something_is_open_about_the_gpu_or_its_job() -> None:
    fleet = working(1, 15)
    fleet.step_gap_s = None
    fleet.log(EventKind.CUDA_ERROR, "CUDA error: boom").run(1)
    before = float(fleet.engine.habits.busy_watts[0])
    fleet.run(60, lambda f: f.set(watts=650.0))
    assert fleet.open(FindingKind.JOB_CRASH)
    assert float(fleet.engine.habits.busy_watts[0]) == before


def test_idle_power_is_the_lowest_seen_while_memory_is_held_and_the_clock_is_up() -> None:
    fleet = working(1, 15).set(**STILL).run(4)
    assert float(fleet.engine.habits.idle_watts[0]) == pytest.approx(126, abs=1)


def test_the_power_of_a_sleeping_card_is_no_idle_power() -> None:
    fleet = Fleet(1).set(**EMPTY).run(10).set(**WORK | {"memory": 60.0 * GIB, "processes": 1.0}).run(15)
    assert np.isnan(fleet.engine.habits.idle_watts[0])


@pytest.mark.parametrize(
    ("state", "expected"), [(WORK, WORKS), (SPIN, SPINS), (STILL, IS_STILL)], ids=["works", "spins", "is-still"]
)
def test_six_seconds_of_one_state_are_a_class(state: dict[str, float], expected: int) -> None:
    assert category(working(1, 15).set(**state).run(7)) == [expected]


def test_a_gpu_that_has_no_habit_yet_has_no_class() -> None:
    assert category(working(1, 8)) == [UNKNOWN]


def test_memory_back_at_empty_is_a_process_that_has_left() -> None:
    assert category(working(1, 15).set(**EMPTY).run(1)) == [GONE]


def test_a_job_that_has_left_all_its_gpus_takes_their_habits_with_it() -> None:
    fleet = working(2, 15).set(**EMPTY)
    assert armed(fleet.run(3)) == [True, True]
    assert armed(fleet.run(6)) == [False, False]


def test_a_rank_that_has_left_alone_keeps_its_habit() -> None:
    assert armed(working(2, 15).set(1, **EMPTY).set(0, **SPIN).run(20)) == [True, True]


def test_a_new_start_forgets_the_habits_of_ranks_that_have_left() -> None:
    fleet = working(2, 15).set(1, **EMPTY).set(0, **SPIN).run(6).log(EventKind.TRAINING_START).run(1)
    assert armed(fleet) == [True, False]


def test_an_agent_that_comes_in_mid_job_takes_memory_in_use_for_held() -> None:
    fleet = Fleet(1)
    for state in fleet.state:
        del state["processes"]
        state["processes"] = float("nan")
    assert armed(fleet.run(15)) == [True]
    assert not fleet.engine.habits.free(np.array([0]))[0]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(0.6 * GIB, True), (60.0 * GIB, False), (float("nan"), False)],
    ids=["empty", "held", "nan"],
)
def test_a_card_is_free_only_where_its_memory_says_so(memory: float, expected: bool) -> None:
    fleet = Fleet(1).set(**EMPTY).run(3)
    fleet.engine.habits.memory_bytes[0] = memory
    assert bool(fleet.engine.habits.free(np.array([0]))[0]) is expected


def test_the_next_job_on_the_same_gpus_learns_its_own_habit() -> None:
    fleet = working(1, 15).set(**EMPTY).run(10)
    fleet.set(**WORK | {"memory": 40.0 * GIB, "processes": 1.0, "watts": 450.0, "reasons": 0.0}).run(20)
    assert float(fleet.engine.habits.busy_watts[0]) == pytest.approx(450, rel=0.02)
    assert fleet.open() == []
    assert JOB in fleet.engine.jobs.subjects


def test_a_card_that_has_just_woken_does_not_seem_to_rest_at_what_it_draws_asleep() -> None:
    """The clock is up at once and memory held; the power gauge is still the mean of a second half asleep."""
    fleet = Fleet(1, step_gap_s=None).run(2).set(**EMPTY).run(5)
    fleet.set(**STILL, memory=3.0 * GIB, processes=1.0, reasons=0.0).set(watts=84.0).run(1)
    fleet.set(**STILL).run(10)
    assert float(fleet.engine.habits.idle_watts[0]) == pytest.approx(126, abs=1)
