"""A job's life in a few words: batches of events through a real watch, and attempts as the store would have them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.jobs.record import AttemptRecord, AttemptState, Checkpoint, Fault, JobNode, SaveState
from agent.watch import Watch
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
from detectors.goodput import Account, Cause
from detectors.model import FindingKind

S = 10**9
T0 = 1_795_000_000 * S
NODE = Subject("c", SubjectKind.NODE, "n1")
JOB = Subject("c", SubjectKind.JOB, "team/llama")


@dataclass
class Story:
    """Tells a watch what a log says, second by second."""

    watch: Watch = field(default_factory=lambda: Watch(Origin.LIVE, "c"))
    rows: dict[int, AttemptRecord] = field(default_factory=dict)
    job: Subject = JOB
    at: float = 0.0
    number: int = 0

    def holds(self, gpus: int, job: Subject | None = None, pods: str = "") -> None:
        """The inventory places so many GPUs with the job; each in a pod with this and the rank as its UID."""
        job = job or self.job
        subjects = tuple(Subject("c", SubjectKind.GPU, f"GPU-{i}") for i in range(gpus))
        facts = tuple(
            SubjectFacts(
                s,
                s.id,
                NODE,
                {"index": str(i), "rank": str(i), "job": job.id, **({"pod_uid": f"{pods}{i}"} if pods else {})},
            )
            for i, s in enumerate(subjects)
        )
        size = SubjectFacts(job, "llama", None, {"world_size": str(gpus)})
        self._send((), (*facts, size), subjects)

    def says(self, kind: EventKind, at: float | None = None, rank: str = "", path: str = "", **values: float) -> None:
        """One line of the log, at a second (now by default); it arrives now."""
        attributes = {k: v for k, v in (("rank", rank), ("path", path)) if v}
        time_ns = T0 + round((self.at if at is None else at) * S)
        self._send((Event(kind, self.job, time_ns, EventSource.TRAINING_LOG, values, attributes, kind.value),))

    def steps(self, first: int, last: int, every: float = 1.0, rank: str = "") -> None:
        """Steps one after the other, time passing."""
        for step in range(first, last + 1):
            self.passes(every)
            self.says(EventKind.TRAINING_STEP, rank=rank, step=float(step))

    def passes(self, seconds: float) -> None:
        """Time goes by."""
        self.at += seconds
        self._take(self.watch.advance(T0 + round(self.at * S)).jobs)

    def looks(self) -> None:
        """The watch ticks now; the rows are those of this moment, due for saving or not."""
        now_ns = T0 + round(self.at * S)
        self._take(self.watch.tick(now_ns).jobs)
        job = self.watch.jobs.job(self.job)
        if job is not None:
            self._take([job.record(one, now_ns) for one in (job.before, job.attempt) if one is not None])

    @property
    def newest(self) -> AttemptRecord:
        """The newest attempt as it was saved last."""
        return self.rows[max(self.rows)]

    def _take(self, rows: list[AttemptRecord]) -> None:
        for row in rows:
            if row.job == self.job.id:
                self.rows[row.number] = row

    def _send(
        self, events: tuple[Event, ...], facts: tuple[SubjectFacts, ...] = (), subjects: tuple[Subject, ...] = ()
    ) -> None:
        self.number += 1
        now_ns = T0 + round(self.at * S)
        power = struct.pack(f"<{len(subjects)}f", *(90.0 for _ in subjects))
        table = Table(("gpu_power_watts",), tuple(range(len(subjects))), (now_ns,), power)
        tables = (table,) if subjects else ()
        batch = Batch(
            WIRE_VERSION, Origin.LIVE, NODE, "boot", "spool", self.number, now_ns, subjects, facts, tables, events
        )
        self.watch.receive(batch, now_ns)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def attempt() -> Callable[..., AttemptRecord]:
    """An attempt that failed on node-a; every field can be given."""

    def make(number: int = 1, **changes: object) -> AttemptRecord:
        wall = {Cause.START_UP: 60 * S, Cause.PRODUCTIVE: 3000 * S, Cause.FAILURE: 540 * S}
        values: dict[str, object] = {
            "origin": Origin.LIVE,
            "cluster": "c",
            "job": "j-1",
            "number": number,
            "name": "llama",
            "state": AttemptState.FAILED,
            "started_ns": T0 + number * 10_000 * S,
            "as_of_ns": T0 + number * 10_000 * S + 3600 * S,
            "account": Account(wall, {cause: 16 * ns for cause, ns in wall.items()}, steps=3000),
            "began_because": "first seen",
            "gpus": 16,
            "nodes": (JobNode("a", "node-a", "580.1"), JobNode("b", "node-b", "580.1")),
            "first_step": 1,
            "last_step": 3000,
            "pace_ns": S,
            "saves": (Checkpoint(2900, SaveState.COMPLETE, T0, T0 + S, "/ckpt/2900"),),
            "fault": fault(FindingKind.RANK_CRASH),
        }
        return AttemptRecord(**(values | changes))  # type: ignore[arg-type]  # a test's own fields

    return make


def fault(kind: FindingKind, node: str = "node-a", codes: tuple[int, ...] = (), signature: str = "") -> Fault:
    """The root of an incident on a node."""
    subject = Subject("c", SubjectKind.GPU, "GPU-7")
    names = {"node": node, "gpu": "7", "rank": "7", "job": "llama"} if node else {"job": "llama"}
    title = f"{kind.value} on {node}"
    return Fault(
        "INC-1", kind, title, subject, T0, T0 + S, names, node, (kind,), codes=codes, signature=signature, deadly=True
    )
