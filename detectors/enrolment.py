"""First sight of a node is its baseline: what was there before is reported once, as found, and pages nobody.

A collector that starts on a node reads the kernel's ring buffer and the job's log from their beginnings, and cards
count their errors since they were made. All of that happened before anybody watched: it makes one event a node
(`as_found`), which the store keeps, and no finding. Rises of counters and raised flags are judged against the first
look anyway (`detectors.gpu`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from collectors.model import CATALOGUE, COUNTER_ABSENT, Batch, Event, EventKind, EventSource, MetricType, Subject
from detectors.frame import NS
from detectors.model import Inventory

BEFORE_S = 60.0
"""An event this much older than the node's first batch was there before: what a collector reports late (a spool, a
slow log) is seconds old, and the first batch itself leaves within five."""
GATHER_S = 60.0
"""How long after its first batch a node's report waits: counters are read every 30 s, logs in the first seconds."""
MOST_TOLD = 12
LONGEST_LINE = 1_000

JUDGED = frozenset(
    {
        EventKind.XID,
        EventKind.SXID,
        EventKind.OOM_KILL,
        EventKind.HUNG_TASK,
        EventKind.COLLECTIVE_TIMEOUT,
        EventKind.FLIGHT_RECORDER,
        EventKind.TRACEBACK,
        EventKind.CUDA_ERROR,
        EventKind.CUDA_OUT_OF_MEMORY,
        EventKind.PROCESS_EXIT,
        EventKind.DATALOADER_ERROR,
    }
)
"""Events that say that something went wrong. A job's steps from before are kept: they teach its rhythm."""

COUNTED = (
    "gpu_ecc_uncorrected_errors_total",
    "gpu_ecc_corrected_errors_total",
    "gpu_row_remaps_uncorrected_total",
    "gpu_row_remaps_corrected_total",
    "gpu_row_remap_pending",
    "gpu_row_remap_failed",
)
"""Readings that are news only when they rise."""


@dataclass(slots=True)
class _Sight:
    """What a node's first minute showed."""

    since_ns: int
    due_ns: int
    events: Counter[str] = field(default_factory=Counter)
    readings: dict[tuple[str, Subject], float] = field(default_factory=dict)


@dataclass(slots=True)
class Enrolment:
    """Sorts out what was there before. After a restart of the agent every node is seen for the first time again, and
    nothing is lost by it: batches that waited in spools are as old as their events."""

    _since_ns: dict[Subject, int] = field(default_factory=dict)
    """When each node's first batch left, by its own clock."""
    _new: dict[Subject, _Sight] = field(default_factory=dict)

    def fresh(self, batch: Batch, received_ns: int) -> Iterable[Event]:
        """The events of a batch that are news."""
        since_ns = self._since_ns.get(batch.node)
        if since_ns is None:
            since_ns = self._since_ns[batch.node] = batch.sent_ns
            self._new[batch.node] = _Sight(since_ns, received_ns + int(GATHER_S * NS))
        sight = self._new.get(batch.node)
        if sight is not None:
            self._read(batch, sight)
        if not batch.events:
            return ()
        horizon_ns = since_ns - int(BEFORE_S * NS)
        if all(event.time_ns >= horizon_ns for event in batch.events):
            return batch.events
        old = [event for event in batch.events if event.time_ns < horizon_ns and event.kind in JUDGED]
        if sight is not None:
            sight.events.update(_words(event) for event in old)
        return [event for event in batch.events if event.time_ns >= horizon_ns or event.kind not in JUDGED]

    def reports(self, inventory: Inventory, now_ns: int) -> list[Event]:
        """One event for each node whose first minute is over and that had a past."""
        due = [node for node, sight in self._new.items() if now_ns >= sight.due_ns]
        found = (_report(node, self._new.pop(node), inventory) for node in due)
        return [event for event in found if event is not None]

    @staticmethod
    def _read(batch: Batch, sight: _Sight) -> None:
        for table in batch.tables:
            rows = [(row, name) for row, name in enumerate(table.metrics) if name in COUNTED]
            if not rows:
                continue
            counter = CATALOGUE[rows[0][1]].type is MetricType.COUNTER
            shape = (len(table.times_ns), len(table.metrics), len(table.subjects))
            data = np.frombuffer(table.data, "<i8" if counter else "<f4").reshape(shape)
            for row, name in rows:
                for place, value in zip(table.subjects, data[0, row].tolist()):
                    if value == value and value != COUNTER_ABSENT:
                        sight.readings.setdefault((name, batch.subjects[place]), value)


def _words(event: Event) -> str:
    if event.kind in (EventKind.XID, EventKind.SXID) and "code" in event.values:
        return f"{'Xid' if event.kind is EventKind.XID else 'SXid'} {event.values['code']:.0f}"
    return event.kind.value.replace("_", " ")


def _report(node: Subject, sight: _Sight, inventory: Inventory) -> Event | None:
    told = [f"{words} ({times} times)" if times > 1 else words for words, times in sorted(sight.events.items())]
    values: dict[str, float] = {}
    if sight.events:
        values["events"] = float(sight.events.total())
    for name in COUNTED:
        counts = {gpu: value for (metric, gpu), value in sight.readings.items() if metric == name and value > 0}
        if counts:
            values[name] = float(sum(counts.values()))
            cards = ", ".join(sorted(inventory.attribute(gpu, "index") or gpu.id for gpu in counts))
            told.append(f"{name} {values[name]:.0f} on GPU {cards}")
    if inventory.attribute(node, "cordoned") == "true":
        values["cordoned"] = 1.0
        told.append("cordoned")
    if not told:
        return None
    more = f"; {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    line = f"as found on {inventory.name_of(node)}: {'; '.join(told[:MOST_TOLD])}{more}"
    return Event(EventKind.AS_FOUND, node, sight.since_ns, EventSource.COLLECTOR, values, line=line[:LONGEST_LINE])
