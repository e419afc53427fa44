"""GPU-seconds lost by cause, from a recording's own power readings. Thin: goodput proper is a later room's work.

While an incident about a job lasts, each of the job's GPUs loses the share of its habitual load that it does not draw:
1 - (P - P_idle) / (P_busy - P_idle), P_busy its power at full work, P_idle 0.18 of that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import quantiles

from collectors.recording.folder import Recording
from detectors.gpu.habits import BUSY_UTILISATION, IDLE_SHARE
from detectors.model import FindingKind

_POWER, _UTILISATION = "gpu_power_watts", "gpu_utilization_ratio"
LONGEST_ROW_S = 2.0
_TENTHS = 10
"""Full work: nine tenths of the looks at 90 % utilisation or more draw less. A rank that spins for another shows 100 %
at a third of the power, and in a recording full of faults it does so half of the time: the median would be of that."""


@dataclass(frozen=True, slots=True)
class Interval:
    """How long a cause lasted, Unix ns."""

    kind: FindingKind
    start_ns: int
    end_ns: int


def lost_gpu_seconds(recording: Recording, intervals: Iterable[Interval]) -> dict[FindingKind, float]:
    """Seconds of GPU lost while each kind of root cause held; empty where the recording has no power readings."""
    telemetry = recording.telemetry
    lost: dict[FindingKind, float] = {}
    if telemetry is None or not {_POWER, _UTILISATION} <= set(telemetry.gauges):
        return lost
    power, used = telemetry.gauges.index(_POWER), telemetry.gauges.index(_UTILISATION)
    spans = list(_united(intervals))
    for rows in telemetry.gpus.values():
        busy = [row[power] for row in rows.gauges if row[used] >= BUSY_UTILISATION and row[power] > 0]
        if len(busy) < _TENTHS:
            continue
        habit = quantiles(busy, n=_TENTHS)[-1]
        idle = IDLE_SHARE * habit
        for span in spans:
            for before_ns, now_ns, row in zip(rows.times_ns, rows.times_ns[1:], rows.gauges[1:]):
                if span.start_ns <= now_ns < span.end_ns and row[power] == row[power]:
                    seconds = min((now_ns - before_ns) / 1e9, LONGEST_ROW_S)
                    share = 1 - (row[power] - idle) / (habit - idle)
                    lost[span.kind] = lost.get(span.kind, 0.0) + seconds * min(max(share, 0.0), 1.0)
    return lost


def _united(intervals: Iterable[Interval]) -> Iterator[Interval]:
    """Overlapping ones of a kind made one: what two cards show at once is lost once."""
    held: Interval | None = None
    for one in sorted(intervals, key=lambda one: (one.kind, one.start_ns)):
        if held is not None and one.kind == held.kind and one.start_ns <= held.end_ns:
            held = replace(held, end_ns=max(held.end_ns, one.end_ns))
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held
