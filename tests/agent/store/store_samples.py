"""Values for the store's tests, each with a word to vary it by."""

from typing import Any

import msgspec
import numpy as np

from agent.store.chunks import ReadingsChunk
from collectors.model import Event, EventKind, EventSource, Origin, Subject, SubjectKind
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Severity
from policies.model import Action, ActionKind, Decision, GuardWord, Mode, Verdict

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOW = 1_795_317_140 * SECOND + 123_456_789
NODE = Subject("c1", SubjectKind.NODE, "node-1")
GPU = Subject("c1", SubjectKind.GPU, "GPU-0a1b")


def finding(id_: str = "f1", **changes: Any) -> Finding:
    value = Finding(
        id=id_,
        kind=FindingKind.XID,
        subject=GPU,
        severity=Severity.CRITICAL,
        opened_ns=NOW,
        since_ns=NOW - SECOND,
        confidence=0.9,
        summary="Xid 79 on GPU 3",
        origin=Origin.LIVE,
        evidence=(Evidence(text="kernel log", time_ns=NOW, value=79.0, line="NVRM: Xid (PCI:0000:18:00): 79"),),
        related=(NODE,),
        names={"node": "n1", "gpu": "3"},
    )
    return msgspec.structs.replace(value, **changes)


def incident(id_: str = "INC-aaaa1111", **changes: Any) -> Incident:
    value = Incident(
        id=id_,
        state=IncidentState.OPEN,
        root="f1",
        findings=("f1",),
        kind=FindingKind.XID,
        subject=GPU,
        severity=Severity.CRITICAL,
        title="Xid 79 on GPU 3 of n1",
        opened_ns=NOW,
        since_ns=NOW - SECOND,
        updated_ns=NOW,
        origin=Origin.LIVE,
        names={"node": "n1"},
        kinds=(FindingKind.XID,),
    )
    return msgspec.structs.replace(value, **changes)


def decision(id_: str = "d1", **changes: Any) -> Decision:
    value = Decision(
        id=id_,
        incident="INC-aaaa1111",
        rule="cordon-lost-gpu",
        mode=Mode.AUDIT,
        verdict=Verdict.WOULD_DO,
        actions=(Action(ActionKind.CORDON, NODE, "n1", "uncordon n1"),),
        guards=(GuardWord("G6", True, "1 of 100 nodes is cordoned, 5 may be"),),
        reason="would cordon n1",
        decided_ns=NOW,
        origin=Origin.LIVE,
    )
    return msgspec.structs.replace(value, **changes)


def event(time_ns: int = NOW, **changes: Any) -> Event:
    value = Event(
        kind=EventKind.TRAINING_STEP,
        subject=Subject("c1", SubjectKind.JOB, "job-1"),
        time_ns=time_ns,
        source=EventSource.TRAINING_LOG,
        values={"step": 10.0, "loss": 2.5},
        attributes={"rank": "0"},
        line="step 10 loss 2.5",
    )
    return msgspec.structs.replace(value, **changes)


def gauges(start_ns: int = NOW, samples: int = 120, **changes: Any) -> ReadingsChunk:
    """Power and clock of two GPUs every 5 s."""
    random = np.random.default_rng(start_ns % 1000)
    values = {
        "subjects": (GPU, Subject("c1", SubjectKind.GPU, "GPU-0a1c")),
        "metrics": ("gpu_power_watts", "gpu_sm_clock_hertz"),
        "times_ns": start_ns + np.arange(samples, dtype=np.int64) * 5 * SECOND,
        "values": random.uniform(100, 2e9, (samples, 2, 2)).astype(np.float32),
    }
    return ReadingsChunk(**(values | changes))


def counters(start_ns: int = NOW, samples: int = 120, **changes: Any) -> ReadingsChunk:
    """Energy of one GPU every 5 s, in millijoules."""
    values = {
        "subjects": (GPU,),
        "metrics": ("gpu_energy_joules_total",),
        "times_ns": start_ns + np.arange(samples, dtype=np.int64) * 5 * SECOND,
        "values": (10**15 + np.arange(samples, dtype=np.int64) * 3_500_123).reshape(samples, 1, 1),
    }
    return ReadingsChunk(**(values | changes))
