"""`training_stall`: no step, and every GPU of the job is still."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import FindingKind, Severity


class TrainingStall(SituationDetector):
    """All ranks' GPUs hold memory and do nothing for six seconds, no step line came, nothing was announced.

    Nothing on the GPU tells a job that waits for data from one whose host is stuck (same power, same utilisation):
    the finding names both, and `dataloader_stall` or `host_stall` follows when the resuming line gives it away.
    Six seconds: the longest benign stall seen was 5.4 s (a save); a longer save that nobody announces is reported.
    Clears when the GPUs work again.
    """

    kinds = (FindingKind.TRAINING_STALL,)
    situations = frozenset({Situation.STALLED})
    unknown_clears = True
    severity = Severity.WARNING
    confidence = 0.9

    def summary(self, case: Case) -> str:
        """In words."""
        ranks = len(case.look.cols)
        all_of = "its GPU is" if ranks == 1 else f"all {ranks} GPUs are"
        return f"Training of {case.job_name()} stands still: {all_of} idle; it waits for data or for its host."
