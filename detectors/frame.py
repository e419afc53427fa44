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
LATEST_NS = 2**63 - 1
BEYOND = 1e15
"""No gauge reaches it: 1 PB of memory, 1 PHz."""
LONGEST_DIFFERENCE_NS = 120 * NS
"""A counter's difference over a longer gap says nothing about the present: it starts anew."""
MOST_PLACES = 500_000
"""Sets of subjects remembered; beyond it they are worked out anew. A node has one or two."""


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


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where a table's metrics go in a frame."""

    counter: bool
    known: tuple[tuple[int, int], ...]
    """Place in the table and row in the frame, of each metric of the catalogue."""


@dataclass(slots=True)
class _Looks:
    """Tables of the same metrics and as many GPUs, of any nodes, gathered in one slot: one array when it is due."""

    cols: list[Ints] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Block:
    """The same as arrays; a cell is one GPU at one instant."""

    rows: _Rows
    cols: Ints
    times_ns: Ints
    values: npt.NDArray[np.generic]
    """Shape (tables, metrics of the catalogue, GPUs)."""
    there: Bools
    """Which of the values are no gaps, same shape."""
    told: Bools
    """Which cells have any reading."""


@dataclass(slots=True)
class _Place:
    """Where the subjects of a batch stand."""

    cols: Ints
    """Column of each, -1 for what is no GPU."""
    picked: dict[tuple[int, ...], tuple[Ints, Bools | None]] = field(default_factory=dict)
    """By a table's subjects: the columns of its GPUs, and which of the subjects those are (None: all)."""

    def pick(self, indices: tuple[int, ...]) -> tuple[Ints, Bools | None]:
        """For a table about these of the subjects."""
        cols = self.cols[list(indices)]
        gpus = cols >= 0
        found = self.picked[indices] = (cols, None) if gpus.all() else (cols[gpus], gpus)
        return found


Slot = dict[tuple[tuple[str, ...], int], _Looks]
"""By the tables' metrics and their number of GPUs."""


@dataclass(slots=True)
class FrameBuilder:
    """Gathers the tables of batches and hands them out as frames, in order of time.

    A look not newer than the newest already handed out for its subject is dropped here (a spool that comes late is
    for the store, not for the present) and counted in `late`.

    A batch is only filed (a few us); all of a slot are laid side by side at once. Nodes send the same subjects and the
    same metrics for hours, so where those stand is worked out once.
    """

    columns: Columns = field(default_factory=Columns)
    late: int = 0
    future: int = 0
    _pending: dict[int, Slot] = field(default_factory=lambda: defaultdict(lambda: defaultdict(_Looks)))
    _places: dict[tuple[Subject, ...], _Place] = field(default_factory=dict)
    _rows: dict[tuple[str, ...], _Rows] = field(default_factory=dict)
    _raw: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(COUNTERS), 0), np.int64))
    _raw_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(COUNTERS), 0), np.int64))
    _last_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _at: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Position of each column in the frame being laid out; -1 outside."""

    def add(self, batch: Batch, offset_ns: int = 0, latest_ns: int = LATEST_NS) -> None:
        """Take in a batch's readings; `offset_ns` is added to its times (the node's clock corrected).

        Looks later than `latest_ns` are dropped and counted: they would make every true one after them a late one.
        """
        if not batch.tables:
            return
        place = self._places.get(batch.subjects) or self._place(batch.subjects)
        for table in batch.tables:
            cols, gpus = place.picked.get(table.subjects) or place.pick(table.subjects)
            if not table.metrics or not len(cols):
                continue
            look_bytes = len(table.data) // max(1, len(table.times_ns))
            for i, time_ns in enumerate(table.times_ns):
                time_ns += offset_ns
                if time_ns > latest_ns:
                    self.future += 1
                    continue
                data = table.data if len(table.times_ns) == 1 else table.data[i * look_bytes : (i + 1) * look_bytes]
                if gpus is not None:
                    cells = np.frombuffer(data, f"V{look_bytes // len(gpus) // len(table.metrics)}")
                    data = cells.reshape(-1, len(gpus))[:, gpus].tobytes()
                looks = self._pending[time_ns // SLOT_NS][table.metrics, len(cols)]
                looks.cols.append(cols)
                looks.times_ns.append(time_ns)
                looks.data.append(data)

    def take(self) -> list[Frame]:
        """All frames gathered since the last call, oldest first."""
        frames = [self._frame(self._pending[slot]) for slot in sorted(self._pending)]
        self._pending.clear()
        return [frame for frame in frames if len(frame.cols)]

    def _place(self, subjects: tuple[Subject, ...]) -> _Place:
        if len(self._places) >= MOST_PLACES:
            self._places.clear()
        cols = [self.columns.of(s) if s.kind is SubjectKind.GPU else -1 for s in subjects]
        place = self._places[subjects] = _Place(np.array(cols, np.int64))
        size = len(self.columns)
        self._raw = grown(self._raw, size, COUNTER_ABSENT)  # type: ignore[assignment]  # dtype is kept
        self._raw_ns = grown(self._raw_ns, size, 0)  # type: ignore[assignment]
        self._last_ns = grown(self._last_ns, size, 0)  # type: ignore[assignment]
        self._at = grown(self._at, size, -1)  # type: ignore[assignment]
        return place

    def _rows_of(self, metrics: tuple[str, ...]) -> _Rows:
        found = self._rows.get(metrics)
        if found is None:
            counter = metrics[0] in _COUNTER_ROW
            rows = _COUNTER_ROW if counter else _GAUGE_ROW
            known = tuple((k, rows[name]) for k, name in enumerate(metrics) if name in rows)
            found = self._rows[metrics] = _Rows(counter, known)
        return found

    def _block(self, metrics: tuple[str, ...], gpus: int, looks: _Looks) -> _Block:
        rows = self._rows_of(metrics)
        flat = np.frombuffer(b"".join(looks.data), dtype="<i8" if rows.counter else "<f4")
        values = flat.reshape(len(looks.data), len(metrics), gpus)
        if len(rows.known) < len(metrics):
            values = values[:, [k for k, _ in rows.known]]
        # nothing that the catalogue measures is negative, infinite or beyond all bounds: such a value is no reading
        there = values >= 0 if rows.counter else (values >= 0) & (values < BEYOND)
        times = np.repeat(np.array(looks.times_ns, np.int64), gpus)
        return _Block(rows, np.concatenate(looks.cols), times, values, there, there.any(axis=1).ravel())

    def _frame(self, slot: Slot) -> Frame:
        blocks = [self._block(metrics, gpus, looks) for (metrics, gpus), looks in slot.items()]
        cols, times = self._newest(blocks)
        n = len(cols)
        gauges = np.full((len(GAUGES), n), np.nan, np.float32)
        counters = np.full((len(COUNTERS), n), COUNTER_ABSENT, np.int64)
        self._at[cols] = np.arange(n)
        for block in blocks:
            at = self._at[block.cols]
            kept = (at >= 0) & (times[at] == block.times_ns) if n else np.zeros(len(at), np.bool_)
            out = counters if block.rows.counter else gauges
            for k, (_, row) in enumerate(block.rows.known):
                # a gap overwrites nothing: of several tables of one instant each says what it knows
                here = kept & block.there[:, k].ravel()
                values = block.values[:, k].ravel()
                if here.all():
                    out[row, at] = values
                else:
                    out[row, at[here]] = values[here]
        self._at[cols] = -1
        self._last_ns[cols] = times
        increases, spans = self._differences(cols, times, counters)
        return Frame(cols, times, gauges, increases, spans)

    def _newest(self, blocks: list[_Block]) -> tuple[Ints, Ints]:
        """Columns with a look newer than any before, ascending, and when: one look a subject and slot, the newest."""
        cols = np.concatenate([block.cols[block.told] for block in blocks])
        times = np.concatenate([block.times_ns[block.told] for block in blocks])
        newer = times > self._last_ns[cols]
        if not newer.all():
            late = ~newer
            self.late += len(set(zip(cols[late].tolist(), times[late].tolist())))
            cols, times = cols[newer], times[newer]
        if not len(cols):
            return cols, times
        first = int(cols.min())
        there = np.zeros(int(cols.max()) + 1 - first, np.bool_)
        there[cols - first] = True
        chosen = np.flatnonzero(there) + first
        self._at[chosen] = np.arange(len(chosen))
        newest = np.zeros(len(chosen), np.int64)
        np.maximum.at(newest, self._at[cols], times)
        self._at[chosen] = -1
        return chosen, newest

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
