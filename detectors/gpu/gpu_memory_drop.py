"""`gpu_memory_drop`: a running process lost a large part of its memory at once."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import NS, grown
from detectors.gpu.habits import GONE_SHARE
from detectors.gpu.memory import excused
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.view import LookDetector, View

METRIC = "gpu_memory_used_bytes"
DROP_SHARE = 0.2
"""Of what was in use. Any share from 5 to 80 % scores alike on the recordings."""
WORKING_UTILISATION = 0.5
CONFIRM_S = 10.0
CLEAR_S = 60.0
_ADOPTED = -1


class GpuMemoryDrop(LookDetector):
    """More than a fifth of the memory in use vanished between two looks, and the process works on at the next look.

    The next look excludes an exit: a process that has left is no drop (`rank_crash`, or the job's end). A save, an
    evaluation or a restore that the log announced may free a cache and is no finding. Often the end of a leak: the
    allocator gave its cache back. An event more than a state: it clears after a minute.
    """

    kinds = (FindingKind.GPU_MEMORY_DROP,)
    needs = Needs(metrics=(METRIC, "gpu_utilization_ratio"), history_seconds=10.0)

    def __init__(self) -> None:
        self._last = np.full(0, np.nan, np.float32)
        self._from = np.full(0, np.nan, np.float32)
        self._drop_ns = np.zeros(0, np.int64)
        self._open_ns = np.zeros(0, np.int64)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart: the minute begins with the first look."""
        self._open_ns = grown(self._open_ns, column + 1, 0)  # type: ignore[assignment]  # dtype is kept
        self._open_ns[column] = _ADOPTED

    def look(self, view: View) -> None:
        """One frame."""
        at = view.at[~np.isnan(view.frame.gauge(METRIC)[view.at])]
        if not len(at):
            return
        cols, times, used = view.frame.cols[at], view.frame.times_ns[at], view.frame.gauge(METRIC)[at]
        for name in ("_last", "_from", "_drop_ns", "_open_ns"):
            value = getattr(self, name)
            setattr(self, name, grown(value, int(cols.max()) + 1, np.nan if value.dtype == np.float32 else 0))
        habits, last = view.habits, self._last[cols]
        empty = habits.empty_bytes[cols]
        with np.errstate(invalid="ignore"):
            waiting = (self._drop_ns[cols] > 0) & (times - self._drop_ns[cols] <= CONFIRM_S * NS)
            works = view.frame.gauge("gpu_utilization_ratio")[at] >= WORKING_UTILISATION
            there = used - empty > GONE_SHARE * (habits.held_bytes[cols] - empty)
            confirmed = waiting & works & there
            dropped = habits.armed[cols] & (last - used > DROP_SHARE * (last - empty)) & (last - empty > 0)
        dropped &= habits.gone_since_ns[cols] == 0
        fell = np.flatnonzero(dropped)
        dropped[fell] = ~excused(view, cols[fell], times[fell])
        for k in np.flatnonzero(confirmed).tolist():
            self._open(view, int(at[k]), float(self._from[cols[k]]), int(self._drop_ns[cols[k]]))
            self._open_ns[cols[k]] = times[k]
        self._drop_ns[cols] = np.where(dropped, times, np.where(waiting & ~confirmed, self._drop_ns[cols], 0))
        self._from[cols] = np.where(dropped, last, self._from[cols])
        self._last[cols] = used
        self._open_ns[cols] = np.where(self._open_ns[cols] == _ADOPTED, times, self._open_ns[cols])
        for k in np.flatnonzero((self._open_ns[cols] > 0) & (times - self._open_ns[cols] > CLEAR_S * NS)).tolist():
            self._open_ns[cols[k]] = 0
            view.out.clears(self.kinds[0], view.subject(int(at[k])), "no further drop for a minute")

    def _open(self, view: View, i: int, start: float, since_ns: int) -> None:
        where, used = view.where(int(view.frame.cols[i])), float(view.frame.gauge(METRIC)[i])
        text = f"memory in use fell from {start / 2**30:.1f} to {used / 2**30:.1f} GiB while the process worked on"
        evidence = Evidence(text, since_ns, METRIC, used, start, "bytes", source="nvml")
        summary = f"Memory in use on {where} fell from {start / 2**30:.1f} to {used / 2**30:.1f} GiB; the job runs on."
        view.out.opens(Opening(self.kinds[0], view.subject(i), since_ns, Severity.INFO, 0.9, summary, (evidence,)))
