"""`gpu_memory_leak`: memory in use rises and rises."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import NS, Bools, Floats, Ints, grown
from detectors.gpu.memory import total_bytes
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.view import LookDetector, View

METRIC = "gpu_memory_used_bytes"
RISES = 5
"""Rises running. Allocators step up a few times while a job warms up, then plateau; a restore is one step."""
RISE_SHARE, SUM_SHARE = 0.002, 0.05
"""Of the card: each rise at least, and all together at least."""
RUN_LOOKS = 3
"""Rises further apart than this many looks are not one run: a restore's one step is not the start of a leak."""
SLOW_MINUTES = 8
"""Rises of the minute's LEAST use, running: what an allocator frees and takes within a minute does not count."""
SLOW_SUM_SHARE = 0.02


class GpuMemoryLeak(LookDetector):
    """Fast: five rises running of at least 0.2 % of the card each, 5 % in all. Slow: the least use of each minute

    rises eight minutes running, 2 % of the card in all. Only once the GPU is in steady load (warm-up is over); the
    summary says when the card is full at this slope. A job that legitimately grows its cache for eight minutes looks
    the same. Clears when memory falls, or after three looks without a rise (fast), or a minute without (slow and after
    a restart of the agent), or when the card is empty.
    Source: the recordings study (fast), and leaks of MB a step (slow: slope against what is left).
    """

    kinds = (FindingKind.GPU_MEMORY_LEAK,)
    needs = Needs(metrics=(METRIC,), history_seconds=10.0)

    def __init__(self) -> None:
        self._last = np.full(0, np.nan, np.float32)
        self._start = np.full(0, np.nan, np.float32)
        self._start_ns = np.zeros(0, np.int64)
        self._rises = np.zeros(0, np.int64)
        self._rise_ns = np.zeros(0, np.int64)
        self._look_ns = np.zeros(0, np.int64)
        self._minute = np.zeros(0, np.int64)
        self._least = np.full(0, np.inf, np.float32)
        self._before = np.full(0, np.nan, np.float32)
        self._slow_start = np.full(0, np.nan, np.float32)
        self._slow_rises = np.zeros(0, np.int64)
        self._open_fast = np.zeros(0, np.bool_)
        self._open_slow = np.zeros(0, np.bool_)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart: judged like a slow one, by a whole minute."""
        self._grow(column + 1)
        self._open_slow[column] = True

    def look(self, view: View) -> None:
        """One frame."""
        at = view.at[~np.isnan(view.frame.gauge(METRIC)[view.at])]
        if not len(at):
            return
        cols, times, used = view.frame.cols[at], view.frame.times_ns[at], view.frame.gauge(METRIC)[at]
        self._grow(int(cols.max()) + 1)
        total = total_bytes(view, at)
        armed = view.habits.armed[cols] & ~np.isnan(total)
        total = np.where(armed, total, np.inf).astype(np.float32)
        last, was = self._last[cols], self._open_fast[cols] | self._open_slow[cols]
        with np.errstate(invalid="ignore"):
            over = (last - used >= RISE_SHARE * total) | view.habits.free(cols)
        fast_bad, fast_over = self._fast(view, at, cols, times, used, total)
        slow_bad, slow_over = self._slow(view, at, cols, times, used, total)
        self._open_fast[cols] = (self._open_fast[cols] | fast_bad) & ~fast_over & ~over
        self._open_slow[cols] = (self._open_slow[cols] | slow_bad) & ~(slow_over & armed) & ~over
        for k in np.flatnonzero(was & ~self._open_fast[cols] & ~self._open_slow[cols]).tolist():
            view.out.clears(self.kinds[0], view.subject(int(at[k])), "memory in use has stopped rising")

    def _fast(self, view: View, at: Ints, cols: Ints, times: Ints, used: Floats, total: Floats) -> tuple[Bools, Bools]:
        """Which leak fast now, and which have stopped."""
        last = self._last[cols]
        with np.errstate(invalid="ignore"):
            rose = used - last >= RISE_SHARE * total
            fell = (last - used >= RISE_SHARE * total) | np.isnan(last)
        fresh = rose & (self._rises[cols] == 0)
        self._start[cols] = np.where(fresh, last, self._start[cols])
        self._start_ns[cols] = np.where(fresh, times, self._start_ns[cols])
        self._rises[cols] = np.where(fell, 0, self._rises[cols] + rose)
        self._rise_ns[cols] = np.where(rose, times, self._rise_ns[cols])
        self._last[cols] = used
        apart = np.maximum(times - self._look_ns[cols], NS)
        self._look_ns[cols] = times
        quiet = (self._rises[cols] > 0) & (times - self._rise_ns[cols] > RUN_LOOKS * apart)
        self._rises[cols] = np.where(quiet, 0, self._rises[cols])
        with np.errstate(invalid="ignore"):
            bad = (self._rises[cols] >= RISES) & rose & (used - self._start[cols] >= SUM_SHARE * total)
        for k in np.flatnonzero(bad).tolist():
            self._open(view, int(at[k]), float(self._start[cols[k]]), int(self._start_ns[cols[k]]), float(total[k]))
        return bad, fell | quiet

    def _slow(self, view: View, at: Ints, cols: Ints, times: Ints, used: Floats, total: Floats) -> tuple[Bools, Bools]:
        """Which leak slowly now, and which have stopped: a minute whose least use is no more than the one before."""
        minute = times // (60 * NS)
        turn = minute != self._minute[cols]
        least, before = self._least[cols], self._before[cols]
        with np.errstate(invalid="ignore"):
            rose = turn & (least > before)
            fell = turn & ~(least > before)
            over = turn & (least <= before)
        fresh = rose & (self._slow_rises[cols] == 0)
        self._slow_start[cols] = np.where(fresh, before, self._slow_start[cols])
        self._slow_rises[cols] = np.where(fell, 0, self._slow_rises[cols] + rose)
        self._before[cols] = np.where(turn & np.isfinite(least), least, before)
        self._least[cols] = np.where(turn, used, np.minimum(least, used))
        self._minute[cols] = minute
        with np.errstate(invalid="ignore"):
            bad = rose & (self._slow_rises[cols] >= SLOW_MINUTES)
            bad &= least - self._slow_start[cols] >= SLOW_SUM_SHARE * total
        for k in np.flatnonzero(bad).tolist():
            since_ns = int((minute[k] - self._slow_rises[cols[k]]) * 60 * NS)
            self._open(view, int(at[k]), float(self._slow_start[cols[k]]), since_ns, float(total[k]))
        return bad, over

    def _open(self, view: View, i: int, start: float, since_ns: int, total: float) -> None:
        where, time_ns = view.where(int(view.frame.cols[i])), int(view.frame.times_ns[i])
        used = float(view.frame.gauge(METRIC)[i])
        slope = (used - start) / max((time_ns - since_ns) / NS, 1.0)
        full = (total - used) / slope if slope > 0 else float("inf")
        text = (
            f"memory in use rose from {start / 2**30:.1f} to {used / 2**30:.1f} GiB, {slope / 2**20:,.1f} MiB a second"
        )
        evidence = Evidence(text, time_ns, METRIC, used, start, "bytes", source="nvml")
        left = f"full in {full:,.0f} s" if full < 600 else f"full in {full / 3600:,.1f} h"
        summary = f"Memory leak on {where}: {used / 2**30:.1f} of {total / 2**30:.1f} GiB in use and rising, {left}."
        view.out.opens(Opening(self.kinds[0], view.subject(i), since_ns, Severity.WARNING, 0.85, summary, (evidence,)))

    def _grow(self, size: int) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                fill = np.inf if name == "_least" else np.nan if value.dtype == np.float32 else 0
                setattr(self, name, grown(value, size, fill))
