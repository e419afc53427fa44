"""What was open before a restart: nothing clears by itself, and everything clears when its detector says so."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import pytest
from simulated_fleet import EMPTY, GIB, JOB, SPIN, STILL, WORK, Fleet, event, gpu, working

from collectors.model import EventKind, EventSource, Origin
from detectors.book import Book
from detectors.contract import Opening
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity

K = FindingKind
CARD = 141.0 * GIB
Act = Callable[[Fleet], object]


def quiet(fleet: Fleet) -> Fleet:
    fleet.step_gap_s = None
    return fleet


def loud(fleet: Fleet, gap_s: float = 0.5) -> Fleet:
    fleet.step_gap_s = gap_s
    return fleet


def grow(fleet: Fleet) -> Fleet:
    return fleet.run(8, lambda f: f.set(1, memory=f.state[1]["memory"] + 0.012 * CARD))


def storm(fleet: Fleet) -> Fleet:
    return fleet.run(3, lambda f: f.add(1, "corrected", 60))


LOOKS: dict[FindingKind, tuple[Act, Act]] = {
    K.ECC_CORRECTABLE_STORM: (storm, lambda f: f),
    K.ROW_REMAP: (lambda f: f.set(1, pending=1.0).run(2), lambda f: f.set(1, pending=0.0)),
    K.THERMAL_THROTTLE: (lambda f: f.set(1, reasons=32.0).run(3), lambda f: f.set(1, reasons=4.0)),
    K.POWER_THROTTLE: (lambda f: f.set(1, hertz=1.46e9).run(10), lambda f: f.set(hertz=1.83e9)),
    K.GPU_MEMORY_LEAK: (grow, lambda f: f),
    K.GPU_MEMORY_DROP: (lambda f: f.set(1, memory=40.0 * GIB).run(2), lambda f: f),
    K.GPU_MEMORY_PRESSURE: (lambda f: f.set(1, memory=0.99 * CARD).run(3), lambda f: f.set(1, memory=0.9 * CARD)),
}
SITUATIONS: dict[FindingKind, tuple[Act, Act]] = {
    K.COLLECTIVE_HANG: (lambda f: quiet(f).set(**SPIN).set(1, **STILL).run(10), lambda f: loud(f).set(**WORK)),
    K.TRAINING_STALL: (lambda f: quiet(f).set(**STILL).run(10), lambda f: loud(f).set(**WORK)),
    K.DATALOADER_STALL: (
        lambda f: loud(f, 1.0).set(utilisation=0.11, watts=200.0, hertz=1.97e9).run(12),
        lambda f: loud(f).set(**WORK),
    ),
    K.STRAGGLER: (lambda f: f.set(0, watts=500.0, hertz=1.95e9).set(1, hertz=1.6e9).run(12), lambda f: f.set(**WORK)),
    K.RANK_CRASH: (
        lambda f: quiet(f).set(**SPIN).set(1, **EMPTY).run(8),
        lambda f: loud(f).set(**WORK | {"memory": 60.0 * GIB, "processes": 1.0, "reasons": 4.0}),
    ),
    K.THROUGHPUT_DROP: (lambda f: loud(f.run(20), 1.0).run(30), loud),
}
STATES = LOOKS | SITUATIONS


@cache
def _broken(kind: FindingKind) -> tuple[Fleet, Finding]:
    fleet = working(2, 25)
    STATES[kind][0](fleet)
    (finding,) = fleet.open(kind)
    return fleet, finding


def broken(kind: FindingKind) -> tuple[Fleet, Finding]:
    return deepcopy(_broken(kind))


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: kind.value)
def test_a_restart_alone_clears_nothing(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    assert finding.id in {f.id for f in fleet.restart().pass_time(25).open()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATES, ids=lambda kind: kind.value)
def test_it_clears_under_its_old_id_once_a_detector_that_is_ready_says_so(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    STATES[kind][1](fleet.restart())
    fleet.run(180 if kind is K.GPU_MEMORY_LEAK else 70)
    assert fleet.found[finding.id].cleared_ns is not None
    assert fleet.found[finding.id].cleared_because


@pytest.mark.parametrize(
    "kind",
    [
        K.ROW_REMAP,
        K.THERMAL_THROTTLE,
        K.GPU_MEMORY_PRESSURE,
        K.COLLECTIVE_HANG,
        K.TRAINING_STALL,
        K.RANK_CRASH,
        K.DATALOADER_STALL,
    ],
    ids=lambda kind: kind.value,
)
def test_while_the_condition_lasts_it_stays_open_and_is_not_opened_anew(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    fleet.restart().run(40)
    assert [f.id for f in fleet.of(kind)] == [finding.id]
    assert fleet.found[finding.id].cleared_ns is None


@pytest.mark.parametrize("kind", SITUATIONS, ids=lambda kind: kind.value)
def test_a_job_that_ended_while_nobody_listened_clears_what_was_open_about_it(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    quiet(fleet.restart()).set(**EMPTY).run(20)
    assert "ended" in fleet.found[finding.id].cleared_because


@pytest.mark.parametrize("kind", [K.GPU_MEMORY_LEAK, K.POWER_THROTTLE], ids=lambda kind: kind.value)
def test_a_card_found_empty_clears_what_only_a_process_can_do(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    quiet(fleet.restart()).set(**EMPTY).run(20)
    assert fleet.found[finding.id].cleared_ns is not None


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: kind.value)
def test_readings_that_are_not_there_clear_nothing(kind: FindingKind) -> None:
    fleet, finding = broken(kind)
    fleet.restart().silent.update((0, 1))
    quiet(fleet).run(30)
    assert fleet.found[finding.id].cleared_ns is None


# --- events


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (EventKind.COLLECTIVE_TIMEOUT, K.COLLECTIVE_TIMEOUT),
        (EventKind.CUDA_OUT_OF_MEMORY, K.GPU_OUT_OF_MEMORY),
        (EventKind.CUDA_ERROR, K.JOB_CRASH),
    ],
    ids=lambda value: value.value,
)
def test_what_the_log_said_clears_with_the_next_step_after_a_restart(said: EventKind, kind: FindingKind) -> None:
    fleet = quiet(working(2, 15)).log(said).run(1)
    (finding,) = fleet.open(kind)
    quiet(fleet.restart()).run(30)
    assert fleet.found[finding.id].cleared_ns is None
    loud(fleet).run(2)
    assert fleet.found[finding.id].cleared_ns is not None


def test_a_host_stall_clears_after_the_next_step() -> None:
    fleet = Fleet(2)
    book = Book(Origin.TEST)
    opening = Opening(K.HOST_STALL, JOB, fleet.now_ns, Severity.WARNING, 0.9, "stood still")
    (finding,) = book.apply([opening], Inventory(), fleet.now_ns)
    fleet.engine.restore([finding])
    assert quiet(fleet).run(60).open() == [finding]
    assert loud(fleet).run(6).open() == []


def test_the_five_minutes_of_an_applications_xid_begin_anew() -> None:
    fleet = working(2, 3)
    fleet.say(event(EventKind.XID, gpu(1), fleet.now_ns, EventSource.KERNEL_LOG, code=31)).run(1)
    fleet.restart().pass_time(295).run(1)
    assert fleet.open(K.XID)
    assert fleet.run(10).open(K.XID) == []


def test_a_hardware_xid_stays_over_a_restart() -> None:
    fleet = working(2, 3)
    fleet.say(event(EventKind.XID, gpu(1), fleet.now_ns, EventSource.KERNEL_LOG, code=119)).run(1)
    assert fleet.restart().run(600, every=5.0).open(K.XID)


def test_a_lost_card_that_returns_after_a_restart_clears() -> None:
    fleet = working(2, 3)
    fleet.say(event(EventKind.GPU_LOST, gpu(1), fleet.now_ns, EventSource.NVML)).run(1).restart().run(30)
    assert fleet.open(K.GPU_LOST)
    fleet.say(event(EventKind.GPU_RETURNED, gpu(1), fleet.now_ns, EventSource.NVML))
    assert fleet.run(1).open(K.GPU_LOST) == []


@pytest.mark.parametrize("about", ["node", "gpu"])
def test_telemetry_that_was_lost_before_a_restart_clears_when_it_is_back(about: str) -> None:
    fleet = working(2, 10)
    if about == "node":
        fleet.pass_time(60)
    else:
        fleet.silent.add(1)
        fleet.run(30)
    assert fleet.open(K.TELEMETRY_LOST)
    assert fleet.restart().pass_time(60).open(K.TELEMETRY_LOST)
    fleet.silent.clear()
    assert fleet.run(3).open() == []


def restored(kind: FindingKind, expected: float | None, text: str = "loss 9") -> Fleet:
    fleet = Fleet(2)
    seen = (Evidence(text, fleet.now_ns, "training_step", 9.0, expected, source="training_log"),)
    opening = Opening(kind, JOB, fleet.now_ns, Severity.CRITICAL, 0.9, "the loss has left", seen)
    fleet.engine.restore(Book(Origin.TEST).apply([opening], Inventory(), fleet.now_ns))
    return fleet


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        (K.LOSS_NAN, {"loss": float("nan"), "grad_norm": float("nan")}, {"loss": 3.0}),
        (K.LOSS_DIVERGENCE, {"loss": 9.0}, {"loss": 3.1}),
        (K.LOSS_SPIKE, {"loss": 9.0}, {"loss": 3.1}),
        (K.GRAD_NORM_SPIKE, {"grad_norm": 9.0}, {"grad_norm": 3.1}),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_loss_is_held_against_what_it_was_held_against_before(
    kind: FindingKind, wrong: dict[str, float], right: dict[str, float]
) -> None:
    fleet = restored(kind, 3.0)
    fleet.step_values = wrong
    assert fleet.run(60).open(kind)
    fleet.step_values = right
    assert fleet.run(10).open(kind) == []


@pytest.mark.parametrize("expected", [None, -2.0, 65536.0], ids=["nothing", "a-negative-loss", "a-loss-scale"])
def test_a_loss_without_a_figure_to_be_held_against_clears_when_the_job_begins_anew(expected: float | None) -> None:
    fleet = restored(K.LOSS_DIVERGENCE, expected, "loss scale 1 at step 7").run(60)
    assert fleet.open(K.LOSS_DIVERGENCE)
    assert fleet.log(EventKind.TRAINING_START).run(1).open(K.LOSS_DIVERGENCE) == []
