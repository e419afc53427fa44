"""When the collector begins and ends to send second by second."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from collectors.gpu.source import GpuLook
from collectors.model import Event, EventKind, EventSource, Subject, SubjectFacts, SubjectKind
from collectors.sampling.plan import SamplingPlan
from collectors.sampling.suspicion import Range, Suspicion

SECOND = 10**9
GPU = Subject("c", SubjectKind.GPU, "GPU-1")
NODE = Subject("c", SubjectKind.NODE, "n")
BUSY = {
    "gpu_utilization_ratio": 0.98,
    "gpu_power_watts": 690.0,
    "gpu_sm_clock_hertz": 1.83e9,
    "gpu_memory_used_bytes": 40e9,
    "gpu_clocks_event_reasons": 4.0,
}
FACTS = SubjectFacts(GPU, "n/gpu3", NODE, {"index": "3", "memory_total_bytes": "150e9", "slowdown_celsius": "89"})


class Node:
    """Feeds looks at one GPU, a second apart."""

    def __init__(self) -> None:
        self.suspicion = Suspicion(60)
        self.suspicion.learn((FACTS,))
        self.now_s = 0

    def look(self, seconds: int = 1, counters: dict[str, int] | None = None, **gauges: float) -> str:
        for _ in range(seconds):
            self.now_s += 1
            look = GpuLook(
                self.now_s * SECOND,
                (GPU,),
                {name: [value] for name, value in {**BUSY, **gauges}.items()},
                {name: [value] for name, value in (counters or {}).items()},
            )
            self.suspicion.note_look(look)
        return self.suspicion.reason(self.now_s * SECOND)


@pytest.fixture
def node():
    node = Node()
    assert node.look(30) == ""
    return node


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_utilization_ratio": 0.87},
        {"gpu_power_watts": 630.0},
        {"gpu_power_watts": 750.0},
        {"gpu_sm_clock_hertz": 1.74e9},
        {"gpu_memory_used_bytes": 38.4e9},
    ],
    ids=str,
)
def test_a_value_out_of_its_own_range_is_suspicious_at_its_first_look(node, change):
    assert next(iter(change)) in node.look(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_utilization_ratio": 0.90},
        {"gpu_power_watts": 650.0},
        {"gpu_sm_clock_hertz": 1.78e9},
        {"gpu_memory_used_bytes": 38.6e9},
    ],
    ids=str,
)
def test_a_value_within_the_floors_of_physics_is_not(node, change):
    assert node.look(**change) == ""


def test_the_reason_names_the_gpu_by_its_index_and_the_range(node):
    assert node.look(gpu_power_watts=217.0) == "GPU 3: gpu_power_watts 217 is outside its usual 634.8 to 745.2"


def test_suspicion_lasts_a_minute_after_the_last_look_out_of_range(node):
    node.look(gpu_power_watts=217.0)
    assert node.look(59)
    assert node.look(1) == ""


def test_a_shift_that_persists_is_the_new_habit_after_a_minute_and_suspicion_ends_a_minute_later(node):
    assert node.look(59, gpu_power_watts=217.0)
    assert node.look(62, gpu_power_watts=217.0) == ""
    assert "gpu_power_watts 690" in node.look()


def test_a_new_habit_that_swings_is_adopted_too(node):
    for _ in range(70):
        node.look(gpu_power_watts=150.0)
        node.look(gpu_power_watts=400.0)
    for _ in range(70):
        node.look(gpu_power_watts=150.0)
        reason = node.look(gpu_power_watts=400.0)
    assert reason == ""


def test_nothing_is_out_of_range_while_the_range_is_being_learnt():
    node = Node()
    for watts in (80, 690, 80, 690, 300):
        reason = node.look(gpu_power_watts=float(watts))
    assert reason == ""


@pytest.mark.parametrize("bit", [0x8, 0x20, 0x40, 0x80])
def test_a_harmful_reason_bit_is_suspicious_also_beside_the_power_cap(node, bit):
    assert f"0x{bit:x}" in node.look(gpu_clocks_event_reasons=float(0x4 | bit))


@pytest.mark.parametrize("bits", [0x0, 0x1, 0x4, 0x100])
def test_a_harmless_reason_bit_is_not(node, bits):
    assert node.look(gpu_clocks_event_reasons=float(bits)) == ""


def test_heat_within_five_degrees_of_the_cards_own_slowdown_is_suspicious(node):
    assert node.look(gpu_temperature_celsius=83.0) == ""
    assert "84 °C, near its slowdown at 89 °C" in node.look(gpu_temperature_celsius=84.0)


@pytest.mark.parametrize(
    "counter",
    [
        "gpu_ecc_corrected_errors_total",
        "gpu_ecc_uncorrected_errors_total",
        "gpu_row_remaps_corrected_total",
        "gpu_row_remaps_uncorrected_total",
    ],
)
def test_a_memory_counter_that_moves_is_suspicious_and_one_that_stands_is_not(node, counter):
    assert node.look(3, {counter: 7}) == ""
    assert node.look(1, {counter: -1}) == ""
    assert node.look(1, {counter: 8}) == f"GPU 3: {counter} is now 8"


def test_a_pending_remap_is_suspicious(node):
    assert node.look(gpu_row_remap_pending=0.0) == ""
    assert "gpu_row_remap_pending is now 1" in node.look(gpu_row_remap_pending=1.0)


def test_a_gpu_that_can_no_longer_be_read_is_suspicious(node):
    assert "can no longer be read" in node.look(**dict.fromkeys(BUSY, math.nan))


@pytest.mark.parametrize("kind", [kind for kind in EventKind if not kind.value.startswith("collector_")])
def test_every_event_but_a_step_is_a_cause(kind):
    suspicion = Suspicion(60)
    suspicion.note_event(Event(kind, NODE, 0, EventSource.COLLECTOR), SECOND)
    assert bool(suspicion.reason(2 * SECOND)) is (kind is not EventKind.TRAINING_STEP)


@given(st.lists(st.floats(-1e12, 1e12), max_size=300), st.floats(0, 1e9))
def test_a_range_takes_any_values_and_stays_finite(values, floor):
    held = Range()
    for second, value in enumerate(values):
        held.look(value, floor, second * SECOND)
    assert math.isfinite(held.mean)
    assert held.half_width(floor) >= floor


@given(st.lists(st.floats(0.95, 1.05), min_size=20, max_size=300))
def test_noise_within_the_floor_is_never_out_of_range(values):
    held = Range()
    assert not any(held.look(value, 0.11, second * SECOND) for second, value in enumerate(values))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e6])
def test_a_plan_with_impossible_seconds_is_refused_by_name(seconds):
    with pytest.raises(FixConfiguration, match=r"sampling\.batch_seconds"):
        SamplingPlan(batch_seconds=seconds)
