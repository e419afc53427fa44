"""What one collector sends at once."""

from enum import StrEnum

import msgspec

from collectors.model.event import Event
from collectors.model.subject import Subject, SubjectFacts

WIRE_VERSION = 1
COUNTER_ABSENT = -1
"""A counter that could not be read, in `Table.data` of counters."""


class Origin(StrEnum):
    """Where a batch comes from. What is not live is decided in audit only and notifies nobody."""

    LIVE = "live"
    REPLAY = "replay"
    TEST = "test"


LIVE_ONLY: frozenset[Origin] = frozenset({Origin.LIVE})
"""The origins that an agent takes for live: they go by its own clock, and may be acted on. On a test cluster `test` is
one of them too (`watch.test_as_live`)."""


class Table(msgspec.Struct, frozen=True, array_like=True):
    """Readings of some metrics of some subjects at some times, as one block.

    All metrics of a table are gauges or all are counters (`collectors.model.metrics.CATALOGUE` says which). `data` is
    little-endian, shape (times, metrics, subjects): float32 for gauges in the catalogue's unit, NaN where absent;
    int64 for counters in the catalogue's unit divided by its `scale`, exact, `COUNTER_ABSENT` where absent.
    """

    metrics: tuple[str, ...]
    subjects: tuple[int, ...]
    """Indices into `Batch.subjects`."""
    times_ns: tuple[int, ...]
    """Unix ns by the node's clock, ascending."""
    data: bytes


class Batch(msgspec.Struct, frozen=True):
    """Readings and events of one node. (node, boot_id, spool_id, sequence) makes a repeat harmless."""

    version: int
    origin: Origin
    node: Subject
    boot_id: str
    spool_id: str
    sequence: int
    sent_ns: int
    """When it left, by the node's clock, Unix ns; the agent learns the node's clock offset from it."""
    subjects: tuple[Subject, ...]
    facts: tuple[SubjectFacts, ...] = ()
    """At a collector's start, on change, and every minute."""
    tables: tuple[Table, ...] = ()
    events: tuple[Event, ...] = ()
    suspicion: str = ""
    """Why the collector sends second by second now; empty while nothing is out of its range."""
