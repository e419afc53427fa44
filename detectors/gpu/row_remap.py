"""`row_remap`, from NVML's remapped-rows counters and flags. Xid 63 and 64 add to the same finding."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import Floats, grown
from detectors.model import Evidence, FindingKind, Severity
from detectors.view import LookDetector, View

PENDING, FAILED = "gpu_row_remap_pending", "gpu_row_remap_failed"
REMAPS = "gpu_row_remaps_uncorrected_total"


class RowRemap(LookDetector):
    """A row was remapped after an uncorrected error, a remap waits for a reset, or a remap failed.

    A failed remap means that the bank's spare rows are used up: NVIDIA's advice is to return the card. First sight is
    the baseline: a flag that was up before the agent came is as-found, not news. Clears when the flags go down (the
    card was reset).
    """

    kinds = (FindingKind.ROW_REMAP,)
    needs = Needs(metrics=(PENDING, FAILED, REMAPS))

    def __init__(self) -> None:
        self._flags = np.full((2, 0), np.nan, np.float32)
        """Pending and failed as last seen, shape (2, columns)."""

    def look(self, view: View) -> None:
        """One frame."""
        frame = view.frame
        self._flags = grown(self._flags, int(frame.cols.max()) + 1, np.nan)  # type: ignore[assignment]  # dtype is kept
        now = np.stack([frame.gauge(PENDING), frame.gauge(FAILED)])
        before: Floats = self._flags[:, frame.cols]
        self._flags[:, frame.cols] = np.where(np.isnan(now), before, now)
        with np.errstate(invalid="ignore"):
            raised = ((now > 0) & (before == 0)).any(axis=0)
            lowered = (before > 0).any(axis=0) & (now == 0).all(axis=0)
            remapped = frame.increase(REMAPS) > 0
        for i in np.flatnonzero(raised | remapped):
            self._open(view, int(i), now[:, i])
        for i in np.flatnonzero(lowered):
            view.out.clears(self.kinds[0], view.subject(int(i)), "the flags are down: the card was reset")

    def _open(self, view: View, i: int, flags: Floats) -> None:
        where, time_ns = view.where(int(view.frame.cols[i])), int(view.frame.times_ns[i])
        failed, pending = bool(flags[1] > 0), bool(flags[0] > 0)
        metric = FAILED if failed else PENDING if pending else REMAPS
        state = "a remap failed" if failed else "a remap waits for a reset" if pending else "a row was remapped"
        evidence = Evidence(f"{state} on {where}", time_ns, metric, 1.0, 0.0, source="nvml")
        severity = Severity.CRITICAL if failed else Severity.WARNING
        summary = f"Row remapping on {where}: {state}."
        view.out.opens(Opening(self.kinds[0], view.subject(i), time_ns, severity, 0.97, summary, (evidence,)))
