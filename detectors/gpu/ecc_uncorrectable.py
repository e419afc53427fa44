"""`ecc_uncorrectable`, from the counter. The kernel log's Xids add to the same finding (`detectors.hardware`)."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.model import Evidence, FindingKind, Severity
from detectors.view import LookDetector, View

METRIC = "gpu_ecc_uncorrected_errors_total"


class EccUncorrectable(LookDetector):
    """The uncorrected-error counter rose. One is enough: the error has happened and data was lost.

    Fails where the counter was reset together with the error; Xid 48, 94, 95 or 140 tells then. Never clears by
    itself: the card must be reset.
    """

    kinds = (FindingKind.ECC_UNCORRECTABLE,)
    needs = Needs(metrics=(METRIC,))

    def look(self, view: View) -> None:
        """One frame."""
        rise = view.frame.increase(METRIC)
        for i in np.flatnonzero(rise > 0).tolist():
            where, count, time_ns = view.where(int(view.frame.cols[i])), int(rise[i]), int(view.frame.times_ns[i])
            text = f"uncorrected ECC errors rose by {count} on {where}"
            evidence = Evidence(text, time_ns, METRIC, float(count), 0.0, "errors", source="nvml")
            summary = f"Uncorrectable memory error on {where}: {count} since the last look."
            view.out.opens(
                Opening(self.kinds[0], view.subject(i), time_ns, Severity.CRITICAL, 0.99, summary, (evidence,))
            )
