import struct

import pytest

from collectors.model import (
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

NODE = Subject("prod", SubjectKind.NODE, "node-uid-1")
GPUS = tuple(Subject("prod", SubjectKind.GPU, f"GPU-{i}") for i in range(2))
T0 = 1_800_000_000_000_000_000


def gauges(count: int) -> bytes:
    return struct.pack(f"<{count}f", *range(count))


def counters(count: int) -> bytes:
    return struct.pack(f"<{count}q", *range(count))


@pytest.fixture
def batch() -> Batch:
    return Batch(
        version=WIRE_VERSION,
        origin=Origin.LIVE,
        node=NODE,
        boot_id="boot-1",
        spool_id="spool-1",
        sequence=7,
        sent_ns=T0 + 5_000_000_000,
        subjects=(NODE, *GPUS),
        facts=(SubjectFacts(GPUS[0], "gpu 0", NODE, {"index": "0", "pci_bus_id": "0000:18:00.0"}),),
        tables=(
            Table(("gpu_power_watts", "gpu_temperature_celsius"), (1, 2), (T0, T0 + 1_000), gauges(8)),
            Table(("gpu_energy_joules_total",), (1, 2), (T0,), counters(2)),
        ),
        events=(
            Event(EventKind.XID, GPUS[0], T0, EventSource.KERNEL_LOG, {"code": 79.0}, {"pci_bus_id": "0000:18:00.0"}),
            Event(EventKind.TRAINING_STEP, NODE, T0, EventSource.TRAINING_LOG, {"loss": float("inf")}, {}, "step 1"),
        ),
    )
