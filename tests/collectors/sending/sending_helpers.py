"""What the tests of spool and sender share."""

import errno
import os
from pathlib import Path

from collectors.model import WIRE_VERSION, Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind, Table
from collectors.sending.spool import Spool
from collectors.wire import decode

NODE = Subject("prod", SubjectKind.NODE, "node-1")


class FakeDisk:
    """A disk that can be full: `write` as os.write, until `room` bytes are used up."""

    def __init__(self) -> None:
        self.room = 10**12

    def write(self, fd: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[: self.room])
        self.room -= written
        return written


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def batch_of(number: int, *, readings: bool = True, events: int = 0, ballast: int = 0) -> Batch:
    """A batch that bears a number; `ballast` bytes that do not compress."""
    tables = (Table(("gpu_power_watts",), (0,), (number + 1,), b"\0\0\0\0"),) if readings else ()
    happened = tuple(
        Event(EventKind.XID, NODE, number, EventSource.KERNEL_LOG, {"code": 79.0}, {}, os.urandom(ballast // 2).hex())
        for _ in range(events)
    )
    suspicion = "" if events else os.urandom(ballast // 2).hex()
    return Batch(
        version=WIRE_VERSION,
        origin=Origin.LIVE,
        node=NODE,
        boot_id="boot",
        spool_id="",
        sequence=0,
        sent_ns=number,
        subjects=(NODE,),
        tables=tables,
        events=happened,
        suspicion=suspicion,
    )


def drain(spool: Spool) -> list[Batch]:
    """Everything that waits, acknowledged one by one."""
    batches = []
    while (waiting := spool.oldest()) is not None:
        batch = decode(waiting.body)
        assert (waiting.spool_id, waiting.sequence) == (batch.spool_id, batch.sequence)
        batches.append(batch)
        spool.acknowledge(waiting)
    return batches


def numbers(batches: list[Batch]) -> list[int]:
    return [batch.sent_ns for batch in batches]


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.segment"))
