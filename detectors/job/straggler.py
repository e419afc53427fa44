"""`straggler`: one rank makes all others wait at every step."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import Evidence, FindingKind, Severity


class Straggler(SituationDetector):
    """A rank whose GPU works more at a lower clock while its peers rest, or whose host comes late to each step.

    Compute: clock 8 % of habit below and power 4 % above the peers' median (both, since clocks of healthy ranks drift
    apart by 5 %). Host: the rank rests while the others spin for it, steps go on, every gap is longer alike. A noisy
    neighbour on the card looks like the first. Fails for a rank that was slow from the job's first minute. A card
    below its power cap shows the power gap alone and is not found. Clears when all ranks work alike again.
    """

    kinds = (FindingKind.STRAGGLER,)
    situations = frozenset({Situation.COMPUTE_STRAGGLER, Situation.LATE_RANK})
    looks_to_open = 2
    severity = Severity.WARNING
    confidence = 0.9

    def summary(self, case: Case) -> str:
        """In words."""
        if case.look.situation is Situation.LATE_RANK:
            rest = case.mean(case.look.watts, guilty=False)
            why = f"comes late to each step (slow host or slow input) while the others spin at {rest:.0f} W"
        else:
            clock = 1 - case.mean(case.look.clock, guilty=True)
            others = case.mean(case.look.power, guilty=False)
            why = f"computes more, its clock {clock:.0%} under its habit, while the others draw {others:.0%} of theirs"
        return f"Straggler in {case.job_name()}: {case.who()} {why}."

    def evidence(self, case: Case) -> tuple[Evidence, ...]:
        """Clock and power against the peers, and the log's clock."""
        look = case.look
        own, others = case.mean(look.clock, guilty=True), case.mean(look.clock, guilty=False)
        text = f"SM clock of {case.who()} is at {own:.1%} of its habit, the others' at {others:.1%}"
        clock = Evidence(text, look.time_ns, "gpu_sm_clock_hertz", own, others, "ratio to habit", source="nvml")
        return (*case.gpu_evidence(), clock, *case.log_evidence())
