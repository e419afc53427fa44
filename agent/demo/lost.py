"""GPU-seconds lost by cause, from a recording's own power readings. Thin: goodput proper is a later room's work.

While an incident about a job lasts, each of the job's GPUs loses the share of its habitual load that it does not draw:
1 - (P - P_idle) / (P_busy - P_idle), P_busy its median power at 90 % utilisation or more, P_idle 0.18 of that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from collectors.recording.folder import Recording
from detectors.gpu.habits import BUSY_UTILISATION, IDLE_SHARE
from detectors.model import FindingKind

_POWER, _UTILISATION = "gpu_power_watts", "gpu_utilization_ratio"
LONGEST_ROW_S = 2.0


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
    spans = list(intervals)
    for rows in telemetry.gpus.values():
        busy = [row[power] for row in rows.gauges if row[used] >= BUSY_UTILISATION and row[power] > 0]
        if not busy:
            continue
        habit = median(busy)
        idle = IDLE_SHARE * habit
        for span in spans:
            for before_ns, now_ns, row in zip(rows.times_ns, rows.times_ns[1:], rows.gauges[1:]):
                if span.start_ns <= now_ns < span.end_ns and row[power] == row[power]:
                    seconds = min((now_ns - before_ns) / 1e9, LONGEST_ROW_S)
                    share = 1 - (row[power] - idle) / (habit - idle)
                    lost[span.kind] = lost.get(span.kind, 0.0) + seconds * min(max(share, 0.0), 1.0)
    return lost
