"""`gpu_memory_pressure`: the card is all but full."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.gpu.memory import total_bytes
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.persistence import Persistence
from detectors.view import LookDetector, View

METRIC = "gpu_memory_used_bytes"
FULL_SHARE = 0.985
"""Of the card. Training jobs and inference servers hold 90 to 97 % by design; what is left here is under a CUDA
context and a NCCL buffer (0.6 and 0.5 GB measured on the H200: 1 % of it)."""


class GpuMemoryPressure(LookDetector):
    """Memory in use at or above 98.5 % of the card, three looks running: the next allocation may fail.

    Not an error by itself, severity info. Clears after three looks below.
    """

    kinds = (FindingKind.GPU_MEMORY_PRESSURE,)
    needs = Needs(metrics=(METRIC, "gpu_memory_total_bytes"))

    def __init__(self) -> None:
        self._hold = Persistence(k=3, n=3, m=3)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart."""
        self._hold.adopt(np.array([column], np.int64))

    def look(self, view: View) -> None:
        """One frame."""
        at = view.at
        if not len(at):
            return
        used, total = view.frame.gauge(METRIC)[at], total_bytes(view, at)
        with np.errstate(invalid="ignore"):
            bad = used >= FULL_SHARE * total
        known = ~np.isnan(used) & ~np.isnan(total)
        opens, clears = self._hold.look(view.frame.cols[at], bad, known, view.frame.times_ns[at])
        since = self._hold.since_ns(view.frame.cols[at])
        for k in opens.tolist():
            i = int(at[k])
            where, time_ns = view.where(int(view.frame.cols[i])), int(view.frame.times_ns[i])
            share, left = float(used[k] / total[k]), float(total[k] - used[k]) / 2**30
            text = f"{share:.1%} of the card's memory is in use, {left:.1f} GiB are left"
            limit = FULL_SHARE * float(total[k])
            evidence = Evidence(text, time_ns, METRIC, float(used[k]), limit, "bytes", source="nvml")
            summary = f"Memory of {where} is {share:.1%} full."
            view.out.opens(
                Opening(self.kinds[0], view.subject(i), int(since[k]), Severity.INFO, 0.9, summary, (evidence,))
            )
        for k in clears.tolist():
            view.out.clears(self.kinds[0], view.subject(int(at[k])), "memory in use is below 98.5 % again")
