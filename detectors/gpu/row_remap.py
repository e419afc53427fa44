"""`row_remap`, from NVML's remapped-rows counters and flags. Xid 63 and 64 add to the same finding."""

import numpy as np

from collectors.model import Subject
from detectors.contract import Needs, Opening
from detectors.frame import Bools, Floats, grown
from detectors.model import Evidence, FindingKind, Severity
from detectors.view import LookDetector, View

PENDING, FAILED = "gpu_row_remap_pending", "gpu_row_remap_failed"
REMAPS = "gpu_row_remaps_uncorrected_total"
DOWN_LOOKS = 2
"""The flags follow the Xid by a look."""


class RowRemap(LookDetector):
    """A row was remapped after an uncorrected error, a remap waits for a reset, or a remap failed.

    A failed remap means that the bank's spare rows are used up: NVIDIA's advice is to return the card. First sight is
    the baseline: a flag that was up before the agent came is as-found, not news. Clears after two looks with both flags
    down (the card was reset, or needed no reset), whoever opened it.
    """

    kinds = (FindingKind.ROW_REMAP,)
    needs = Needs(metrics=(PENDING, FAILED, REMAPS))

    def __init__(self) -> None:
        self._flags = np.full((2, 0), np.nan, np.float32)
        """Pending and failed as last seen, shape (2, columns)."""
        self._down: dict[Subject, int] = {}
        """Looks running with both flags down, of cards about which something is open."""

    def look(self, view: View) -> None:
        """One frame."""
        frame = view.frame
        self._flags = grown(self._flags, int(frame.cols.max()) + 1, np.nan)  # type: ignore[assignment]  # dtype is kept
        now = np.stack([frame.gauge(PENDING), frame.gauge(FAILED)])
        before: Floats = self._flags[:, frame.cols]
        self._flags[:, frame.cols] = np.where(np.isnan(now), before, now)
        with np.errstate(invalid="ignore"):
            raised = ((now > 0) & (before == 0)).any(axis=0)
            remapped = frame.increase(REMAPS) > 0
        for i in np.flatnonzero(raised | remapped):
            self._open(view, int(i), now[:, i])
        self._judge_open(view, ~np.isnan(now[0]) | ~np.isnan(now[1]))

    def _judge_open(self, view: View, known: Bools) -> None:
        """Also what an Xid or an agent before its restart has opened."""
        about = [finding.subject for finding in view.book.of_kind(self.kinds[0])]
        self._down = {subject: self._down.get(subject, 0) for subject in about}
        for subject in about:
            column = view.columns.find(subject)
            i = -1 if column is None else view.position(column)
            if column is None or i < 0 or not known[i]:
                continue
            up = bool((self._flags[:, column] > 0).any())
            self._down[subject] = 0 if up else self._down[subject] + 1
            if self._down[subject] >= DOWN_LOOKS:
                view.out.clears(self.kinds[0], subject, "no remap waits for a reset and none has failed")

    def _open(self, view: View, i: int, flags: Floats) -> None:
        where, time_ns = view.where(int(view.frame.cols[i])), int(view.frame.times_ns[i])
        failed, pending = bool(flags[1] > 0), bool(flags[0] > 0)
        metric = FAILED if failed else PENDING if pending else REMAPS
        state = "a remap failed" if failed else "a remap waits for a reset" if pending else "a row was remapped"
        evidence = Evidence(f"{state} on {where}", time_ns, metric, 1.0, 0.0, source="nvml")
        severity = Severity.CRITICAL if failed else Severity.WARNING
        summary = f"Row remapping on {where}: {state}."
        view.out.opens(Opening(self.kinds[0], view.subject(i), time_ns, severity, 0.97, summary, (evidence,)))
