"""`throughput_drop`: the job is slow, and nothing tells why."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import FindingKind, Severity


class ThroughputDrop(SituationDetector):
    """One GPU rests between bursts and the log does not say for what, or steps take 1.5 times their habit while the

    GPUs are busy (fifteen seconds and six gaps, all of them: one pause inside a window makes a rate look bad).
    The honest name where neither input nor host can be told. Trusts the clock between lines, not the figure that the
    job prints. Clears when the pace is back.
    """

    kinds = (FindingKind.THROUGHPUT_DROP,)
    situations = frozenset({Situation.SLOW_ALONE, Situation.SLOW_STEPS})
    looks_to_open = 2
    severity = Severity.WARNING
    confidence = 0.8

    def summary(self, case: Case) -> str:
        """In words."""
        if case.look.situation is Situation.SLOW_STEPS:
            return f"{case.job_name().capitalize()} has slowed down: every step takes 1.5 times its habit or more."
        load = max(case.mean(case.look.load), 0.0)
        return f"{case.job_name().capitalize()} has slowed down: its GPU runs at {load:.0%} of its load, in bursts."
