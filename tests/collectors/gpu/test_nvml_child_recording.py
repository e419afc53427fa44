"""What a real H200 told the NVML child, read by the collector's side of it."""

import json
import math
import sys
import time
from pathlib import Path

import pytest

from collectors.gpu.nvml import NvmlGpus
from collectors.model import CATALOGUE, EventKind, Subject, SubjectKind

pytestmark = pytest.mark.slow
RECORDING = Path(__file__).parents[3] / "recordings" / "nvml-child-h200"
CHILD = Path(__file__).with_name("recorded_nvml_child.py")
SECOND = 10**9


@pytest.fixture(scope="module")
def played():
    """The looks of the recording's 40 seconds, the facts, and the events."""
    source = NvmlGpus(
        Subject("c", SubjectKind.NODE, "n"),
        "n",
        command=(sys.executable, str(CHILD), str(RECORDING / "child.jsonl")),
        answer_seconds=10.0,
    )
    source.start(0)
    asked = [json.loads(line) for line in (RECORDING / "child.jsonl").read_text().splitlines() if '"asked_ns"' in line]
    looks = [source.look(tuple(one["metrics"]), one["id"] * SECOND) for one in asked]
    events = source.events()
    for _ in range(200):
        if events:
            break
        time.sleep(0.02)
        events = source.events()
    facts = source.facts()
    source.close()
    return looks, facts, events


def test_a_real_card_gives_every_metric_of_the_plan_but_nvlinks_and_dcgms(played):
    looks, _, _ = played
    given = {*looks[0].gauges, *looks[0].counters}
    missing = {name for name in CATALOGUE if not name.endswith(("_min", "_max"))} - given
    assert missing == {
        "gpu_nvlink_transmit_bytes_total",
        "gpu_nvlink_receive_bytes_total",
        "gpu_sm_active_ratio",
        "gpu_tensor_active_ratio",
        "gpu_last_xid",
    }


def test_real_facts_have_the_kernels_bus_id_and_the_cards_limits(played):
    _, (node, gpu), _ = played
    assert node.attributes == {"driver": "580.159.04"}
    assert gpu.attributes == {
        "index": "0",
        "uuid": "GPU-dbece784-0e04-dbd7-4404-08010393a1aa",
        "pci_bus_id": "0000:00:06.0",
        "model": "NVIDIA H200",
        "power_limit_watts": "700",
        "slowdown_celsius": "89",
        "memory_total_bytes": "150754820096",
    }


def test_real_energy_between_two_looks_is_the_power_that_the_card_says(played):
    looks, _, _ = played
    joules = [look.counters["gpu_energy_joules_total"][0] * 1e-3 for look in looks]
    watts = [look.gauges["gpu_power_watts"][0] for look in looks]
    assert min(watts) < 100
    assert max(watts) > 650
    steady = [n for n in range(2, 40) if max(watts[n - 2 : n + 1]) - min(watts[n - 2 : n + 1]) < 15]
    assert len(steady) > 15
    for n in steady:
        assert math.isclose(joules[n] - joules[n - 1], watts[n], rel_tol=0.05)


def test_a_real_xid_comes_through_nvmls_event_api(played):
    _, _, (xid,) = played
    assert (xid.kind, xid.values, xid.attributes) == (EventKind.XID, {"code": 31.0}, {"pci_bus_id": "0000:00:06.0"})
