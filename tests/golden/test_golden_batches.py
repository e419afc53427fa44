"""Batches that collectors of each readable wire version have sent, as bytes: today's reader reads them.

The files are never made anew (make_golden.py says when one is added): whoever changes the model, the codec or a
library and breaks them breaks every collector that is not upgraded yet.
"""

import math
import struct
from pathlib import Path

import pytest

from collectors.model import (
    COUNTER_ABSENT,
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from collectors.wire import READABLE_VERSIONS, decode

HERE = Path(__file__).parent
T0 = 1_795_317_140_241_000_000
NODE = Subject("prod", SubjectKind.NODE, "5d1f8a52-node")
GPUS = tuple(Subject("prod", SubjectKind.GPU, f"GPU-00000000-0000-0000-0000-00000000000{i}") for i in range(2))
JOB = Subject("prod", SubjectKind.JOB, "llama-70b")


def batch(sequence: int, **fields) -> Batch:
    return Batch(
        version=1,
        origin=Origin.LIVE,
        node=NODE,
        boot_id="0d7f9ef4-9c86-4a22-a2a1-7f2f4f1f3c55",
        spool_id="63bcef7409904fe5b1aed367e070fc73",
        sequence=sequence,
        sent_ns=T0 + 5_000_000_000,
        **fields,
    )


EXPECTED: dict[str, Batch] = {
    "readings": batch(
        0,
        subjects=(NODE, *GPUS),
        tables=(
            Table(
                ("gpu_power_watts", "gpu_power_watts_max"),
                (1, 2),
                (T0, T0 + 1_000_000_000),
                struct.pack("<8f", 81.25, 700.5, 90.0, 701.0, 81.5, math.nan, 95.5, math.nan),
            ),
            Table(("gpu_energy_joules_total",), (1, 2), (T0,), struct.pack("<2q", 2**53 + 1, COUNTER_ABSENT)),
        ),
        suspicion="gpu_power_watts out of its range",
    ),
    "facts": batch(
        1,
        subjects=(),
        facts=(
            SubjectFacts(NODE, "node-17", None, {"boot_id": "0d7f9ef4", "driver": "570.124.06"}),
            SubjectFacts(GPUS[0], "node-17/gpu0", NODE, {"index": "0", "pci_bus_id": "0000:18:00.0"}),
        ),
    ),
    "events": batch(
        2**62,
        subjects=(),
        events=(
            Event(
                EventKind.XID,
                GPUS[0],
                T0,
                EventSource.KERNEL_LOG,
                {"code": 79.0},
                {"pci_bus_id": "0000:18:00.0"},
                "NVRM: Xid (PCI:0000:18:00): 79, pid=1234, name=python, GPU has fallen off the bus.",
            ),
            Event(EventKind.TRAINING_STEP, JOB, T0 + 1, EventSource.TRAINING_LOG, {"step": 7.0, "loss": math.inf}),
            Event(
                EventKind.TRACEBACK,
                JOB,
                T0 + 2,
                EventSource.TRAINING_LOG,
                {},
                {"rank": "3"},
                "Grüße — 損失 is NaN \U0001f525",
            ),
            Event(EventKind.COLLECTOR_GOODBYE, NODE, T0 + 3, EventSource.COLLECTOR),
        ),
    ),
}


def path_of(name: str, version: int) -> Path:
    return HERE / f"batch_v{version}_{name}.bin"


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("version", READABLE_VERSIONS)
def test_a_batch_of_every_readable_version_is_read_as_it_was_meant(version: int, name: str) -> None:
    assert EXPECTED[name] == decode(path_of(name, version).read_bytes())


def test_versions_n_and_n_minus_1_are_readable_and_no_other() -> None:
    allowed = {WIRE_VERSION, WIRE_VERSION - 1} - {0}
    assert WIRE_VERSION in READABLE_VERSIONS
    assert set(READABLE_VERSIONS) <= allowed


def test_every_golden_file_is_read_by_a_test() -> None:
    wanted = {path_of(name, version).name for name in EXPECTED for version in READABLE_VERSIONS}
    assert wanted == {path.name for path in HERE.glob("*.bin")}


def test_every_kind_of_thing_that_a_batch_can_hold_stands_in_a_golden_one() -> None:
    whole = EXPECTED.values()
    for field in ("subjects", "facts", "tables", "events", "suspicion"):
        assert any(getattr(one, field) for one in whole), field
