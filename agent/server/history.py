"""Readings on their way into the store: tables of one node gathered into chunks of some minutes."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from agent.store.chunks import ReadingsChunk
from collectors.model import CATALOGUE, LIVE_ONLY, Batch, MetricType, Origin, Subject, Table

_NANOSECONDS = 1_000_000_000
_MOST_NOTED = 100_000

Series = tuple[Origin, str, tuple[Subject, ...], tuple[str, ...]]
"""Origin, node id, subjects, metrics: tables of one series can be laid end to end."""


@dataclass(slots=True)
class _Stretch:
    """Tables of one series that lie in one stretch of the grid."""

    begins_ns: int
    tables: list[Table] = field(default_factory=list)


class History:
    """Gathers tables; hands out chunks whose stretch is over.

    Stretches lie on a grid that is shifted for each node, so that the nodes of a fleet do not all fall due at once.
    Times are the node's own. What comes late, for a stretch handed out already, becomes a small chunk of its own.
    """

    def __init__(self, chunk_seconds: float = 600.0, as_live: frozenset[Origin] = LIVE_ONLY) -> None:
        """`as_live`: origins whose times go on as the agent's clock does."""
        self._as_live = as_live
        self._length_ns = int(chunk_seconds * _NANOSECONDS)
        self._open: dict[Series, _Stretch] = {}
        self._shift_ns: dict[str, int] = {}
        """How far each node's grid is shifted, worked out once."""
        self._spoken_of: dict[tuple[tuple[Subject, ...], tuple[int, ...]], tuple[Subject, ...]] = {}
        """The subjects of a table, by those of its batch and its own numbers: the same for hours."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, batch: Batch, stored_ns: int = 0) -> list[ReadingsChunk]:
        """Take in a batch's tables; returns the chunks that are complete by it.

        Tables of stretches that were over by `stored_ns` are passed over: they are in the store already.
        """
        done: list[ReadingsChunk] = []
        for table in batch.tables:
            if not table.times_ns or not table.metrics or not table.subjects:
                continue
            subjects = self._spoken_of.get((batch.subjects, table.subjects))
            if subjects is None:
                subjects = self._note(batch.subjects, table.subjects)
            series = (batch.origin, batch.node.id, subjects, table.metrics)
            begins_ns = self._begins(batch.node, table.times_ns[-1])
            if begins_ns + self._length_ns <= stored_ns:
                continue
            stretch = self._open.get(series)
            if stretch is not None and stretch.begins_ns != begins_ns:
                done += chunks_of(series, stretch.tables)
                stretch = None
            if stretch is None:
                stretch = self._open[series] = _Stretch(begins_ns)
            stretch.tables.append(table)
        return done

    def take_before(self, now_ns: int) -> list[ReadingsChunk]:
        """Chunks of live series whose stretch was over by `now_ns`, whether or not anything came after it."""
        due = [
            series
            for series, stretch in self._open.items()
            if series[0] in self._as_live and stretch.begins_ns + self._length_ns <= now_ns
        ]
        return self._take(due)

    def take_all(self, origin: Origin | None = None, cluster: str = "") -> list[ReadingsChunk]:
        """All that is gathered of one space, or of all; what comes later for the same stretch reaches further."""
        return self._take(
            [
                series
                for series in self._open
                if origin is None or (series[0] is origin and series[2][0].cluster == cluster)
            ]
        )

    def _take(self, series_due: Iterable[Series]) -> list[ReadingsChunk]:
        return [chunk for series in series_due for chunk in chunks_of(series, self._open.pop(series).tables)]

    def _note(self, of: tuple[Subject, ...], indices: tuple[int, ...]) -> tuple[Subject, ...]:
        if len(self._spoken_of) >= _MOST_NOTED:
            self._spoken_of.clear()
        subjects = self._spoken_of[of, indices] = tuple(of[index] for index in indices)
        return subjects

    def _begins(self, node: Subject, time_ns: int) -> int:
        shift = self._shift_ns.get(node.id)
        if shift is None:
            if len(self._shift_ns) >= _MOST_NOTED:
                self._shift_ns.clear()
            shift = self._shift_ns[node.id] = zlib.crc32(node.id.encode()) % 1000 * (self._length_ns // 1000)
        return (time_ns - shift) // self._length_ns * self._length_ns + shift


def chunks_of(series: Series, tables: list[Table]) -> list[ReadingsChunk]:
    """Tables of one series as one chunk, times ascending, each time once (the later table wins); none if empty."""
    if not tables:
        return []
    _, _, subjects, metrics = series
    counter = metrics[0] in CATALOGUE and CATALOGUE[metrics[0]].type is MetricType.COUNTER
    dtype = np.dtype("<i8" if counter else "<f4")
    times = np.array([time for table in tables for time in table.times_ns], dtype=np.int64)
    flat = np.frombuffer(b"".join(table.data for table in tables), dtype=dtype)
    values = flat.reshape(len(times), len(metrics), len(subjects))
    if np.any(np.diff(times) <= 0):
        # The last of equal times: unique gives the first, so look from behind.
        unique, from_behind = np.unique(times[::-1], return_index=True)
        values = values[len(times) - 1 - from_behind]
        times = unique
    return [ReadingsChunk(subjects, metrics, times, values)]
