"""The NVML source against real child processes over a fake library."""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from collectors.gpu.nvml import NvmlGpus
from collectors.gpu.nvml_calls import COUNTERS, GAUGES
from collectors.gpu.nvml_process import NvmlProcess
from collectors.model import CATALOGUE, COUNTER_ABSENT, EventKind, MetricType, Subject, SubjectKind

pytestmark = pytest.mark.slow
NODE = Subject("c", SubjectKind.NODE, "n1")
CHILD = Path(__file__).with_name("fake_nvml_child.py")
SECOND = 10**9
ALL = tuple(CATALOGUE)


class Driver:
    """The fake library's state, and a source over it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set()
        self.source = NvmlGpus(
            NODE, "node-1", command=(sys.executable, "-I", str(CHILD), str(path)), answer_seconds=5.0, hung_seconds=10
        )

    def set(self, **state) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self.path)

    def power(self, now_s: float) -> list[float]:
        return self.source.look(("gpu_power_watts",), int(now_s * SECOND)).gauges.get("gpu_power_watts", [])


@pytest.fixture
def driver(tmp_path):
    driver = Driver(tmp_path / "state.json")
    yield driver
    driver.source.close()


def kinds(source: NvmlGpus) -> list[EventKind]:
    return [event.kind for event in source.events()]


def until_read(driver: Driver, now_s: float) -> list[float]:
    """Look on, the source's clock at twice the real one, until a process that really starts has answered."""
    for number in range(200):
        power = driver.power(now_s + number / 10)
        if power and not math.isnan(power[0]):
            return power
        time.sleep(0.05)
    raise AssertionError("the child never answered")


def test_every_metric_that_the_child_reads_is_in_the_catalogue_with_the_same_type():
    read = dict.fromkeys(GAUGES, MetricType.GAUGE) | dict.fromkeys(COUNTERS, MetricType.COUNTER)
    assert read == {name: CATALOGUE[name].type for name in read}


def test_readings_come_in_base_units_and_counters_exact(driver):
    driver.source.start(0)
    look = driver.source.look(ALL, SECOND)
    assert [gpu.id for gpu in look.gpus] == ["GPU-0", "GPU-1"]
    assert look.time_ns == SECOND
    assert look.gauges["gpu_power_watts"] == [650.5, 650.501]
    assert look.gauges["gpu_utilization_ratio"] == [0.97, 0.97]
    assert look.gauges["gpu_sm_clock_hertz"] == [1.98e9, 1.98e9]
    assert look.gauges["gpu_memory_used_bytes"] == [5 * 2**30] * 2
    assert look.gauges["gpu_row_remap_failed"] == [1, 1]
    assert look.gauges["gpu_processes"] == [1, 1]
    assert look.counters["gpu_energy_joules_total"] == [2**53 + 1, 2**53 + 2]
    assert look.counters["gpu_ecc_uncorrected_errors_total"] == [1, 1]
    assert look.counters["gpu_row_remaps_uncorrected_total"] == [2, 2]
    assert look.counters["gpu_thermal_violation_seconds_total"] == [8, 8]
    assert look.counters["gpu_nvlink_transmit_bytes_total"] == [1138, 1138]


def test_facts_name_each_gpu_by_uuid_with_the_kernels_bus_id(driver):
    driver.source.start(0)
    node, first, second = driver.source.facts()
    assert node.attributes == {"driver": "580.1"}
    assert first.subject.id == "GPU-0"
    assert first.node == NODE
    assert first.name == "node-1/gpu0"
    assert second.attributes == {
        "index": "1",
        "uuid": "GPU-1",
        "pci_bus_id": "0000:1b:00.0",
        "model": "NVIDIA Fake",
        "power_limit_watts": "700",
        "slowdown_celsius": "89",
        "memory_total_bytes": str(140 * 2**30),
    }


def test_what_the_card_does_not_support_and_what_nvml_calls_not_available_has_no_key(driver):
    driver.set(unsupported=["nvmlDeviceGetTotalEnergyConsumption"])
    driver.source.start(0)
    look = driver.source.look(ALL, SECOND)
    assert "gpu_energy_joules_total" not in look.counters
    assert "gpu_pcie_replays_total" not in look.counters
    assert "gpu_power_watts" in look.gauges


def test_a_lost_gpu_is_absent_and_told_once_while_the_other_goes_on(driver):
    driver.source.start(0)
    driver.source.look(ALL, SECOND)
    driver.set(lost=[1])
    looks = [driver.source.look(ALL, now * SECOND) for now in (2, 3)]
    assert [event.kind for event in driver.source.events()] == [EventKind.GPU_LOST]
    for look in looks:
        assert look.gauges["gpu_power_watts"][0] == 650.5
        assert math.isnan(look.gauges["gpu_power_watts"][1])
        assert look.counters["gpu_energy_joules_total"][1] == COUNTER_ABSENT


def test_a_lost_gpu_keeps_its_place_in_the_bus_and_tells_when_it_is_back(driver):
    driver.source.start(0)
    driver.source.look(ALL, SECOND)
    driver.set(lost=[1])
    driver.source.look(ALL, 2 * SECOND)
    (lost,) = driver.source.events()
    assert (lost.subject.id, lost.attributes["pci_bus_id"]) == ("GPU-1", "0000:1b:00.0")
    driver.set()
    driver.source.look(ALL, 3 * SECOND)
    assert kinds(driver.source) == [EventKind.GPU_RETURNED]


def test_a_gpu_that_is_lost_before_anybody_met_it_is_told_by_index_and_met_when_it_returns(driver):
    driver.set(lost=[1])
    driver.source.start(0)
    driver.source.look(ALL, SECOND)
    (lost,) = driver.source.events()
    assert (lost.kind, lost.subject, lost.attributes["index"]) == (EventKind.GPU_LOST, NODE, "1")
    driver.set()
    for _ in range(100):
        if len(until_read(driver, 400)) == 2:
            break
        time.sleep(0.05)
    assert kinds(driver.source) == [EventKind.GPU_RETURNED]


def test_xids_of_nvmls_own_event_api_are_told_between_looks(driver):
    driver.source.start(0)
    driver.set(xids=[[1, 79], [0, 31]])
    events = []
    for _ in range(200):
        events += driver.source.events()
        if len(events) == 2:
            break
        time.sleep(0.02)
    assert [(event.kind, event.subject.id, event.values["code"]) for event in events] == [
        (EventKind.XID, "GPU-1", 79.0),
        (EventKind.XID, "GPU-0", 31.0),
    ]
    assert events[0].attributes == {"pci_bus_id": "0000:1b:00.0"}


def test_a_child_killed_by_the_kernel_is_started_again_after_the_back_off(driver):
    driver.source.start(0)
    assert driver.power(1) == [650.5, 650.501]
    killed = driver.source.child_pid
    os.kill(killed, signal.SIGKILL)
    assert all(map(math.isnan, driver.power(2)))
    assert until_read(driver, 5) == [650.5, 650.501]
    assert driver.source.child_pid != killed
    assert kinds(driver.source) == []


def test_a_hung_driver_costs_one_wait_and_is_told_once_until_it_answers_again(driver):
    driver.source._answer_seconds = 0.2
    driver.source.start(0)
    until_read(driver, 1)
    driver.set(hang=True)
    begun = time.monotonic()
    for now in range(2, 12):
        assert all(map(math.isnan, driver.power(now)))
    assert time.monotonic() - begun < 1.5
    assert kinds(driver.source) == []
    driver.power(13)
    (hung,) = driver.source.events()
    assert (hung.kind, hung.subject, hung.time_ns) == (EventKind.DRIVER_HUNG, NODE, 2 * SECOND)
    driver.set()
    until_read(driver, 40)
    assert kinds(driver.source) == []


def test_a_library_that_is_missing_is_one_line_of_what_to_do(driver):
    driver.set(missing=True)
    with pytest.raises(FixConfiguration, match=r"node-1: NVML Shared Library Not Found; mount the NVIDIA driver"):
        driver.source.start(0)


def test_a_command_that_is_no_child_is_one_line_of_what_to_do():
    source = NvmlGpus(NODE, "node-1", command=(sys.executable, "-c", "print('hello, this is some other program')"))
    with pytest.raises(FixConfiguration, match="ended without a word"):
        source.start(0)


def test_a_driver_that_is_loaded_anew_is_met_again(driver):
    driver.source.start(0)
    driver.power(1)
    driver.set(uninitialised=True)
    assert all(map(math.isnan, driver.power(2)))
    driver.set()
    assert until_read(driver, 60) == [650.5, 650.501]


def test_the_child_ends_when_its_collector_does(driver):
    process = NvmlProcess((sys.executable, "-I", str(CHILD), str(driver.path)))
    assert process.hear(10)
    process.retire()
    for _ in range(100):
        if process.gone():
            break
        time.sleep(0.05)
    assert process.gone()
