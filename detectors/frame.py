"""Readings laid out as arrays, and the columns that subjects stand in.

A `Frame` is metric x subject at one slot of time (all looks that fall into it), compact: only the subjects that have
a look there. Gauges are float32, NaN where missing; counters have become 64-bit differences before they enter
(float32 would swallow an ECC storm); times are int64 ns.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from collectors.model import CATALOGUE, COUNTER_ABSENT, Batch, MetricType, Subject, SubjectKind

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NS = 1_000_000_000
GAUGES: tuple[str, ...] = tuple(name for name, m in CATALOGUE.items() if m.type is MetricType.GAUGE)
COUNTERS: tuple[str, ...] = tuple(name for name, m in CATALOGUE.items() if m.type is MetricType.COUNTER)
_GAUGE_ROW = {name: i for i, name in enumerate(GAUGES)}
_COUNTER_ROW = {name: i for i, name in enumerate(COUNTERS)}
_SCALE = np.array([CATALOGUE[name].scale for name in COUNTERS])
SLOT_NS = NS // 5
"""Looks of different nodes within 0.2 s are handled together; finer than any sampling plan."""
LONGEST_DIFFERENCE_NS = 120 * NS
"""A counter's difference over a longer gap says nothing about the present: it starts anew."""


class Columns:
    """Gives every GPU a column, for as long as the agent runs; arrays that follow it grow by doubling."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []
        self._column: dict[Subject, int] = {}

    def __len__(self) -> int:
        return len(self.subjects)

    def of(self, subject: Subject) -> int:
        """The column of a subject, a new one at first sight."""
        column = self._column.get(subject)
        if column is None:
            column = self._column[subject] = len(self.subjects)
            self.subjects.append(subject)
        return column

    def find(self, subject: Subject) -> int | None:
        """The column of a subject already seen."""
        return self._column.get(subject)


@dataclass(slots=True)
class Frame:
    """One slot of time: `n` subjects, every metric of the catalogue."""

    cols: Ints
    """Columns of the subjects that have a look here, shape (n,), ascending."""
    times_ns: Ints
    """When each was looked at, by its node's clock corrected to the agent's, shape (n,)."""
    gauges: Floats
    """Shape (len(GAUGES), n)."""
    increases: Floats
    """What counters rose since the look before, in the catalogue's unit, shape (len(COUNTERS), n); NaN: unknown."""
    spans_s: Floats
    """Seconds that each increase covers, shape (len(COUNTERS), n)."""

    def gauge(self, metric: str) -> Floats:
        """One gauge over the frame's subjects, shape (n,)."""
        row: Floats = self.gauges[_GAUGE_ROW[metric]]
        return row

    def increase(self, metric: str) -> Floats:
        """Rise of one counter since the look before, shape (n,)."""
        row: Floats = self.increases[_COUNTER_ROW[metric]]
        return row

    def span(self, metric: str) -> Floats:
        """Seconds that `increase` of the same counter covers, shape (n,)."""
        row: Floats = self.spans_s[_COUNTER_ROW[metric]]
        return row

    def rate(self, metric: str) -> Floats:
        """Rise per second of one counter, shape (n,); NaN where unknown."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rate: Floats = self.increase(metric) / self.span(metric)
        return rate


def grown(array: npt.NDArray[np.generic], size: int, fill: float) -> npt.NDArray[np.generic]:
    """The array with room for `size` columns on its last axis, new ones holding `fill`."""
    have = array.shape[-1]
    if size <= have:
        return array
    room = max(size, have * 2, 64)
    larger = np.full((*array.shape[:-1], room), fill, dtype=array.dtype)
    larger[..., :have] = array
    return larger


@dataclass(slots=True)
class _Node:
    """What one node has delivered for one instant, before it is laid beside other nodes'."""

    cols: Ints
    told: Bools
    """Which of them have any reading at this instant."""
    gauges: Floats
    counters: Ints


@dataclass(slots=True)
class FrameBuilder:
    """Gathers the tables of batches and hands them out as frames, in order of time.

    A look not newer than the newest already handed out for its subject is dropped here (a spool that comes late is
    for the store, not for the present) and counted in `late`.
    """

    columns: Columns = field(default_factory=Columns)
    late: int = 0
    _pending: dict[int, dict[tuple[int, Subject], _Node]] = field(default_factory=lambda: defaultdict(dict))
    _raw: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(COUNTERS), 0), np.int64))
    _raw_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(COUNTERS), 0), np.int64))
    _last_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, batch: Batch, offset_ns: int = 0) -> None:
        """Take in a batch's readings; `offset_ns` is added to its times (the node's clock corrected)."""
        if not batch.tables:
            return
        gpus = [(i, self.columns.of(s)) for i, s in enumerate(batch.subjects) if s.kind is SubjectKind.GPU]
        if not gpus:
            return
        self._grow(len(self.columns))
        place = {i: k for k, (i, _) in enumerate(gpus)}
        cols = np.array([column for _, column in gpus], np.int64)
        for table in batch.tables:
            picked = [(k, place[i]) for k, i in enumerate(table.subjects) if i in place]
            if not table.metrics or not picked:
                continue
            counter = table.metrics[0] in _COUNTER_ROW
            rows = _COUNTER_ROW if counter else _GAUGE_ROW
            known = [(k, rows[name]) for k, name in enumerate(table.metrics) if name in rows]
            shape = (len(table.times_ns), len(table.metrics), len(table.subjects))
            data = np.frombuffer(table.data, dtype="<i8" if counter else "<f4").reshape(shape)
            take = np.ix_([k for k, _ in known], [k for k, _ in picked])
            put = np.ix_([r for _, r in known], [k for _, k in picked])
            for i, time_ns in enumerate(table.times_ns):
                node = self._node(batch.node, time_ns + offset_ns, cols)
                block = data[i][take]
                (node.counters if counter else node.gauges)[put] = block
                there = block != COUNTER_ABSENT if counter else ~np.isnan(block)
                node.told[put[1][0]] |= there.any(axis=0)

    def _node(self, node: Subject, time_ns: int, cols: Ints) -> _Node:
        slot = self._pending[time_ns // SLOT_NS]
        found = slot.get((time_ns, node))
        if found is None or len(found.cols) != len(cols):
            gauges = np.full((len(GAUGES), len(cols)), np.nan, np.float32)
            counters = np.full((len(COUNTERS), len(cols)), COUNTER_ABSENT, np.int64)
            found = slot[(time_ns, node)] = _Node(cols, np.zeros(len(cols), np.bool_), gauges, counters)
        return found

    def _grow(self, size: int) -> None:
        self._raw = grown(self._raw, size, COUNTER_ABSENT)  # type: ignore[assignment]  # dtype is kept
        self._raw_ns = grown(self._raw_ns, size, 0)  # type: ignore[assignment]
        self._last_ns = grown(self._last_ns, size, 0)  # type: ignore[assignment]

    def take(self) -> list[Frame]:
        """All frames gathered since the last call, oldest first."""
        frames = [self._frame(self._pending[slot]) for slot in sorted(self._pending)]
        self._pending.clear()
        return [frame for frame in frames if len(frame.cols)]

    def _frame(self, nodes: dict[tuple[int, Subject], _Node]) -> Frame:
        keys = sorted(nodes)
        parts = [nodes[key] for key in keys]
        cols = np.concatenate([p.cols for p in parts])
        told = np.concatenate([p.told for p in parts])
        times = np.concatenate([np.full(len(p.cols), key[0], np.int64) for key, p in zip(keys, parts)])
        gauges = np.concatenate([p.gauges for p in parts], axis=1)
        counters = np.concatenate([p.counters for p in parts], axis=1)
        newer = times > self._last_ns[cols]
        self.late += int(np.count_nonzero(told & ~newer))
        fresh = told & newer
        # one look a subject and slot: the newest wins (stable sort keeps the order of time within a column)
        order = np.flatnonzero(fresh)[np.argsort(cols[fresh], kind="stable")]
        if len(order) > 1:
            last = np.append(cols[order][1:] != cols[order][:-1], True)
            order = order[last]
        cols, times, gauges, counters = cols[order], times[order], gauges[:, order], counters[:, order]
        self._last_ns[cols] = times
        increases, spans = self._differences(cols, times, counters)
        return Frame(cols, times, gauges, increases, spans)

    def _differences(self, cols: Ints, times: Ints, counters: Ints) -> tuple[Floats, Floats]:
        before, before_ns = self._raw[:, cols], self._raw_ns[:, cols]
        there = counters != COUNTER_ABSENT
        span_ns = times[None, :] - before_ns
        # a counter that fell was reset (driver reload, GPU reset): its difference starts anew
        usable = there & (before != COUNTER_ABSENT) & (counters >= before) & (span_ns <= LONGEST_DIFFERENCE_NS)
        rise = np.where(usable, (counters - before) * _SCALE[:, None], np.nan).astype(np.float32)
        span = np.where(usable, span_ns / NS, np.nan).astype(np.float32)
        self._raw[:, cols] = np.where(there, counters, before)
        self._raw_ns[:, cols] = np.where(there, times[None, :], before_ns)
        return rise, span
