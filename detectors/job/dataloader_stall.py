"""`dataloader_stall`: the GPUs wait for data."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import Evidence, FindingKind, Severity


class DataloaderStall(SituationDetector):
    """All ranks rest between short bursts and none waits for another: a common cause outside the GPUs, their input.

    Where the log states the wait for data, at least 0.3 of the time must be such (TraceML calls 0.25 a warning, 0.35
    critical); one GPU without that word is called `throughput_drop`. On one rank: it rests while the others spin for
    it, in bursts: prefetching workers deliver a batch each, then a wait (a slow host delays every step alike). Also
    said, after the fact, when a stalled job's resuming line shows that it waited for data. Clears when all work again.
    """

    kinds = (FindingKind.DATALOADER_STALL,)
    situations = frozenset({Situation.SLOW_INPUT, Situation.LATE_INPUT})
    looks_to_open = 2
    severity = Severity.WARNING
    confidence = 0.85

    def summary(self, case: Case) -> str:
        """In words."""
        load = max(case.mean(case.look.load, guilty=True if len(case.look.guilty) else None), 0.0)
        if case.look.situation is Situation.LATE_INPUT:
            return (
                f"Slow dataloader on {case.who()} holds up {case.job_name()}: "
                f"it runs at {load:.0%} of its load, in bursts, and the other ranks wait for it."
            )
        share = case.look.data_share
        told = f"; the log says {share:.0%} of the time goes into waiting for data" if share is not None else ""
        return f"{case.job_name().capitalize()} waits for data: its GPUs run at {load:.0%} of their load{told}."

    def evidence(self, case: Case) -> tuple[Evidence, ...]:
        """The GPUs, the log's clock, and its word on the wait for data."""
        said = (*case.gpu_evidence(), *case.log_evidence())
        share = case.look.data_share
        if share is None:
            return said
        text = f"steps waited for data {share:.0%} of the time"
        unit = "share of time"
        told = Evidence(text, case.look.time_ns, "data_wait_seconds", share, 0.3, unit, source="training_log")
        return (*said, told)
