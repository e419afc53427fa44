"""`ecc_correctable_storm`, from the counter of corrected errors."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import NS
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.persistence import Persistence
from detectors.view import LookDetector, View

METRIC = "gpu_ecc_corrected_errors_total"
STORM_PER_S = 1.0
"""Corrected errors a second. Healthy cards show a handful a day; storms in the field run at 60 to 17,657 a second
(NVSentinel issue 1748). A single one now and then is what ECC is for and is never reported."""


class EccCorrectableStorm(LookDetector):
    """Corrected errors at a rate that no healthy card shows, two looks of three.

    Fails on a storm shorter than one sampling interval. Clears after three looks below the threshold.
    """

    kinds = (FindingKind.ECC_CORRECTABLE_STORM,)
    needs = Needs(metrics=(METRIC,))

    def __init__(self) -> None:
        self._hold = Persistence(k=2, n=3, m=3)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart."""
        self._hold.adopt(np.array([column], np.int64))

    def look(self, view: View) -> None:
        """One frame."""
        frame, rate = view.frame, view.frame.rate(METRIC)
        with np.errstate(invalid="ignore"):
            bad = rate >= STORM_PER_S
        opens, clears = self._hold.look(frame.cols, bad, ~np.isnan(rate), frame.times_ns)
        since = self._hold.since_ns(frame.cols)
        for i in opens:
            where, value = view.where(int(frame.cols[i])), float(rate[i])
            text = f"{value:,.0f} corrected ECC errors a second on {where}; a healthy card shows a few a day"
            evidence = Evidence(
                text, int(frame.times_ns[i]), METRIC, value, STORM_PER_S, "errors per second", source="nvml"
            )
            # the first bad difference began one sampling interval earlier; half of it is the best guess
            start_ns = int(since[i]) - int(float(frame.span(METRIC)[i]) * NS / 2)
            summary = f"Correctable ECC error storm on {where}: {value:,.0f} errors a second."
            view.out.opens(
                Opening(self.kinds[0], view.subject(i), start_ns, Severity.WARNING, 0.95, summary, (evidence,))
            )
        for i in clears:
            view.out.clears(self.kinds[0], view.subject(i), "corrected errors fell below one a second")
