"""Each GPU detector: opens, keeps still just below its threshold, clears, and passes over what only looks alike."""

from collections.abc import Callable

import pytest
from simulated_fleet import EMPTY, GIB, STILL, WORK, Fleet, gpu, working

from collectors.model import EventKind
from detectors.model import FindingKind, Severity

K = FindingKind
Each = Callable[[Fleet], object]
CARD = 141.0 * GIB


def steady(gpus: int = 2, **facts: str) -> Fleet:
    """Ranks that have shown twenty seconds of work."""
    return working(gpus, 20, **facts)


def corrected(a_second: int) -> Each:
    return lambda f: f.add(1, "corrected", a_second)


# --- ECC


def test_corrected_errors_at_a_rate_are_a_storm_of_that_gpu() -> None:
    fleet = steady().run(3, corrected(60))
    (finding,) = fleet.open(K.ECC_CORRECTABLE_STORM)
    assert (gpu(1), Severity.WARNING) == (finding.subject, finding.severity)
    assert finding.evidence[0].value == pytest.approx(60)


def test_a_storm_clears_after_three_quiet_looks() -> None:
    fleet = steady().run(3, corrected(60)).run(2)
    assert fleet.open(K.ECC_CORRECTABLE_STORM)
    assert fleet.run(1).open(K.ECC_CORRECTABLE_STORM) == []


def every_two_seconds(fleet: Fleet) -> None:
    fleet.add(1, "corrected", fleet.now_ns // 10**9 % 2)


@pytest.mark.parametrize(
    "errors",
    [lambda f: f.add(1, "corrected", 0), every_two_seconds],
    ids=["none", "one-every-other-second"],
)
def test_below_one_corrected_error_a_second_is_no_storm(errors: Each) -> None:
    assert steady().run(1, errors).run(20, errors, every=2.0).kinds() == []


@pytest.mark.parametrize("errors", [1, 5, 17_000], ids=["one", "a-handful", "a-burst-in-one-look"])
def test_corrected_errors_of_a_single_look_are_what_ecc_is_for(errors: int) -> None:
    assert steady().add(1, "corrected", errors).run(20).kinds() == []


def test_one_uncorrected_error_is_enough_and_stays() -> None:
    fleet = steady().add(0, "uncorrected", 1).run(60)
    (finding,) = fleet.open(K.ECC_UNCORRECTABLE)
    assert (gpu(0), Severity.CRITICAL) == (finding.subject, finding.severity)


def test_errors_counted_before_the_watch_came_are_as_found() -> None:
    fleet = Fleet(1).add(0, "uncorrected", 5000).add(0, "corrected", 10**9).add(0, "remaps", 3).run(20)
    assert fleet.kinds() == []


def test_a_counter_that_was_reset_is_no_error() -> None:
    fleet = steady()
    fleet.counts[0].update(uncorrected=0, corrected=0, remaps=0)
    assert fleet.run(20).kinds() == []


# --- rows


@pytest.mark.parametrize(
    ("flags", "severity"),
    [({"pending": 1.0}, Severity.WARNING), ({"failed": 1.0}, Severity.CRITICAL)],
    ids=["pending", "failed"],
)
def test_a_flag_that_goes_up_is_a_row_remap_and_clears_once_it_is_down(
    flags: dict[str, float], severity: Severity
) -> None:
    fleet = steady().set(1, **flags).run(30)
    (finding,) = fleet.open(K.ROW_REMAP)
    assert (gpu(1), severity) == (finding.subject, finding.severity)
    assert fleet.set(1, pending=0.0, failed=0.0).run(2).open() == []


def test_a_flag_that_was_up_at_first_sight_is_as_found() -> None:
    assert Fleet(1).set(pending=1.0).run(30).kinds() == []


def test_a_remap_that_needs_no_reset_passes() -> None:
    fleet = steady().add(0, "remaps", 1).run(1)
    assert [f.kind for f in fleet.open()] == [K.ROW_REMAP]
    assert fleet.run(2).open() == []


def test_flags_nobody_can_read_clear_nothing() -> None:
    fleet = steady().set(1, pending=1.0).run(2).set(1, pending=float("nan"), failed=float("nan")).run(30)
    assert len(fleet.open(K.ROW_REMAP)) == 1


# --- heat


@pytest.mark.parametrize("bit", [0x20, 0x40, 0x60, 0x48, 0x24], ids=hex)
def test_a_thermal_bit_in_two_looks_is_a_thermal_throttle(bit: int) -> None:
    fleet = steady().set(1, reasons=float(bit), celsius=88.0).run(2)
    (finding,) = fleet.open(K.THERMAL_THROTTLE)
    assert finding.subject == gpu(1)
    assert "88 °C" in finding.summary


def test_a_thermal_bit_that_blips_for_one_look_is_none() -> None:
    assert steady().set(1, reasons=32.0).run(1).set(1, reasons=4.0).run(20).kinds() == []


def test_a_thermal_throttle_clears_after_three_looks_without_the_bit() -> None:
    fleet = steady().set(1, reasons=32.0).run(5).set(1, reasons=4.0).run(2)
    assert fleet.open(K.THERMAL_THROTTLE)
    assert fleet.run(1).open(K.THERMAL_THROTTLE) == []


def test_a_warm_room_sets_no_bit_and_is_nothing() -> None:
    assert steady(slowdown_celsius="90").set(celsius=84.0).run(60).kinds() == []


@pytest.mark.parametrize(
    ("celsius", "kind"), [(86.0, K.THERMAL_THROTTLE), (60.0, K.POWER_THROTTLE)], ids=["hot", "cool"]
)
def test_a_bare_hardware_slowdown_is_heat_near_the_cards_limit_and_the_power_supply_elsewhere(
    celsius: float, kind: FindingKind
) -> None:
    fleet = steady(slowdown_celsius="90").set(1, reasons=8.0, celsius=celsius).run(3)
    assert [f.kind for f in fleet.open()] == [kind]


@pytest.mark.parametrize("told", ["", "hot", "nan", "inf", "1e999"])
def test_a_limit_that_is_no_number_is_no_limit(told: str) -> None:
    fleet = steady(slowdown_celsius=told, memory_total_bytes=told).set(total=float("nan"))
    assert fleet.set(1, reasons=8.0, celsius=86.0).run(3).kinds() == [K.POWER_THROTTLE]


# --- power


def test_the_power_cap_bit_alone_is_no_fault() -> None:
    assert steady().set(reasons=4.0, watts=700.0).run(120).kinds() == []


def test_a_clock_far_below_its_habit_at_the_power_cap_is_held_down_by_power() -> None:
    fleet = steady(1).set(hertz=1.46e9).run(10)
    (finding,) = fleet.open(K.POWER_THROTTLE)
    assert (gpu(0), Severity.INFO) == (finding.subject, finding.severity)
    assert fleet.set(hertz=1.83e9).run(12).open(K.POWER_THROTTLE) == []


@pytest.mark.parametrize(
    "change",
    [
        {"hertz": 1.83e9 * 0.90},
        {"hertz": 1.46e9, "utilisation": 0.5, "watts": 400.0, "reasons": 0.0},
        {"hertz": 1.46e9, "watts": 500.0, "reasons": 0.0},
    ],
    ids=["just-above-the-threshold", "less-to-do", "neither-cap-nor-full-power"],
)
def test_just_short_of_a_power_throttle_is_none(change: dict[str, float]) -> None:
    assert K.POWER_THROTTLE not in steady(1).set(**change).run(30).kinds()


def test_a_low_clock_beside_a_resting_peer_is_a_stragglers_not_a_throttle() -> None:
    fleet = steady(2).set(1, hertz=1.46e9).set(0, watts=500.0, hertz=1.95e9).run(30)
    assert K.POWER_THROTTLE not in fleet.kinds()


def test_the_power_brake_is_critical_and_is_let_go_when_all_bits_are_gone() -> None:
    fleet = steady().set(1, reasons=float(0x88)).run(3)
    (finding,) = fleet.open(K.POWER_THROTTLE)
    assert finding.severity is Severity.CRITICAL
    assert fleet.set(1, reasons=0.0).run(3).open() == []


def test_a_power_throttle_ends_with_its_job_however_seldom_it_is_looked_at() -> None:
    fleet = steady(1).set(hertz=1.46e9).run(10)
    assert fleet.open(K.POWER_THROTTLE)
    fleet.step_gap_s = None
    assert fleet.set(**EMPTY).run(40, every=10.0).open(K.POWER_THROTTLE) == []


# --- memory


def grows(share: float) -> Each:
    return lambda f: f.set(1, memory=f.state[1]["memory"] + share * CARD)


def test_memory_that_rises_and_rises_is_a_leak_and_says_when_the_card_is_full() -> None:
    fleet = steady().run(8, grows(0.012))
    (finding,) = fleet.open(K.GPU_MEMORY_LEAK)
    assert finding.subject == gpu(1)
    assert "full in" in finding.summary


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.012, 4), (0.0099, 5), (0.0019, 60)], ids=["four-rises", "under-5-percent", "small-rises"]
)
def test_just_short_of_a_leak_is_none(share: float, seconds: int) -> None:
    assert steady().run(seconds, grows(share)).run(10).kinds() == []


def test_a_fast_leak_clears_once_memory_has_stopped_rising() -> None:
    assert steady().run(8, grows(0.012)).run(4).open(K.GPU_MEMORY_LEAK) == []


def test_a_leak_clears_when_its_memory_is_given_back() -> None:
    fleet = steady().run(8, grows(0.012))
    assert fleet.set(1, memory=60.0 * GIB).run(1).open(K.GPU_MEMORY_LEAK) == []


@pytest.mark.slow
def test_a_slow_leak_is_seen_by_the_minute_and_clears_by_the_minute() -> None:
    fleet = steady().run(11 * 60, grows(0.00005), every=5.0)
    assert fleet.kinds() == []
    fleet.run(11 * 60, grows(0.0003), every=5.0)
    assert [f.kind for f in fleet.open()] == [K.GPU_MEMORY_LEAK]
    assert fleet.run(55, every=5.0).open()
    assert fleet.run(120, every=5.0).open() == []


def test_an_allocator_that_warms_up_is_no_leak() -> None:
    fleet = Fleet(2).set(memory=20.0 * GIB)
    fleet.run(9, lambda f: f.set(memory=f.state[0]["memory"] + 4 * GIB))
    assert fleet.run(60).kinds() == []


def test_a_restore_in_one_step_is_no_leak() -> None:
    assert steady().set(1, memory=90.0 * GIB).run(60).kinds() == []


def test_a_large_part_that_vanishes_while_the_process_works_is_a_drop_and_passes() -> None:
    fleet = steady().set(1, memory=40.0 * GIB).run(2)
    (finding,) = fleet.open(K.GPU_MEMORY_DROP)
    assert (gpu(1), Severity.INFO) == (finding.subject, finding.severity)
    assert fleet.run(62).open() == []


@pytest.mark.parametrize(
    ("memory", "state"),
    [(50.0 * GIB, WORK), (0.6 * GIB, EMPTY), (40.0 * GIB, STILL)],
    ids=["under-a-fifth", "the-process-left", "it-does-not-work-on"],
)
def test_just_short_of_a_drop_is_none(memory: float, state: dict[str, float]) -> None:
    fleet = steady(1)
    fleet.step_gap_s = None
    assert K.GPU_MEMORY_DROP not in fleet.set(**state | {"memory": memory}).run(5).kinds()


@pytest.mark.parametrize(
    "kind",
    [EventKind.CHECKPOINT_START, EventKind.EVALUATION_START, EventKind.CHECKPOINT_RESTORE],
    ids=lambda kind: kind.value,
)
def test_what_the_log_announces_may_free_memory(kind: EventKind) -> None:
    fleet = steady()
    fleet.step_gap_s = None
    assert K.GPU_MEMORY_DROP not in fleet.log(kind).run(1).set(memory=40.0 * GIB).run(3).kinds()


def test_a_card_that_is_all_but_full_is_under_pressure() -> None:
    fleet = steady().set(1, memory=0.986 * CARD).run(3)
    (finding,) = fleet.open(K.GPU_MEMORY_PRESSURE)
    assert (gpu(1), Severity.INFO) == (finding.subject, finding.severity)
    assert fleet.set(1, memory=0.97 * CARD).run(3).open(K.GPU_MEMORY_PRESSURE) == []


@pytest.mark.parametrize("share", [0.97, 0.984], ids=["reserved-97-percent", "just-below"])
def test_memory_reserved_by_design_is_no_pressure(share: float) -> None:
    fleet = Fleet(2).set(memory=share * CARD).run(60)
    assert fleet.kinds() == []
