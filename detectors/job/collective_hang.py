"""`collective_hang`: ranks wait in a collective for one that does not come."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import FindingKind, Severity


class CollectiveHang(SituationDetector):
    """Some ranks spin (100 % utilisation, little power), all others are still, no step for six seconds.

    The guilty rank is the STILL one: those at 100 % wait for it. A save by one rank looks the same but for its log
    line or its length. Where the log is too sparse to disprove progress, the guilty rank must have shown no activity
    at all. Where all ranks that can be seen spin and a card of the job gives no reading any more (it is lost, its
    driver hangs, its node is gone), they wait for that one. Clears when steps are made again, or the job ends.
    """

    kinds = (FindingKind.COLLECTIVE_HANG,)
    situations = frozenset({Situation.HUNG})
    unknown_clears = True
    severity = Severity.CRITICAL
    confidence = 0.9

    def summary(self, case: Case) -> str:
        """In words."""
        waiting = case.ranks(guilty=False)
        others = "1 rank spins" if waiting == 1 else f"{waiting} ranks spin"
        what = "of which nothing is heard" if case.unseen else "which does nothing"
        return f"Collective hang of {case.job_name()}: {others} waiting for {case.who()}, {what}."
