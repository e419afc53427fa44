"""Batches and a clock for the tests of ingest."""

from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectFacts, SubjectKind

NODE = Subject("prod", SubjectKind.NODE, "node-a")
OTHER_NODE = Subject("prod", SubjectKind.NODE, "node-b")
SECOND_NS = 1_000_000_000


def gpu(id: str) -> Subject:
    return Subject("prod", SubjectKind.GPU, id)


def batch_of(
    node: Subject = NODE,
    sequence: int = 1,
    *,
    subjects: tuple[Subject, ...] = (),
    facts: tuple[SubjectFacts, ...] = (),
    event_about: Subject | None = None,
    origin: Origin = Origin.LIVE,
    spool_id: str = "spool",
) -> Batch:
    events = () if event_about is None else (Event(EventKind.XID, event_about, 1, EventSource.KERNEL_LOG),)
    return Batch(1, origin, node, "boot", spool_id, sequence, 1, (node, *subjects), facts, (), events)


class Clock:
    """Unix ns that only moves when told to."""

    def __init__(self, now_ns: int = 1_000 * SECOND_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)
