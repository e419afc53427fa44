"""`rank_crash`: a rank's process is gone while the others wait for it."""

from detectors.job.situation import Situation
from detectors.job.situation_detector import Case, SituationDetector
from detectors.model import Evidence, FindingKind, Severity


class RankCrash(SituationDetector):
    """A rank's memory is back at empty, the other ranks hold theirs and spin for it, for three seconds.

    Ranks that end in order leave within a second or two of each other, and after a line that says so. If all are gone
    the job has ended, well or badly: only an exit code or a traceback can say. Clears when the job ends or works again.
    """

    kinds = (FindingKind.RANK_CRASH,)
    situations = frozenset({Situation.RANK_GONE})
    looks_to_clear = 2
    severity = Severity.CRITICAL
    confidence = 0.95

    def summary(self, case: Case) -> str:
        """In words."""
        waiting = case.ranks(guilty=False)
        others = "1 rank waits" if waiting == 1 else f"{waiting} ranks wait"
        return f"Rank died in {case.job_name()}: {case.who()} has no process left, {others} for it."

    def evidence(self, case: Case) -> tuple[Evidence, ...]:
        """The memory that was given back, and what the others do."""
        view = case.view
        said = []
        for column in case.look.guilty:
            used, habit = float(view.habits.memory_bytes[column]), float(view.habits.held_bytes[column])
            where, held = view.where(int(column)), f"{habit / 2**30:.1f}"
            text = f"memory in use on {where} fell to {used / 2**30:.1f} GiB, it held {held}"
            said.append(
                Evidence(text, case.look.since_ns, "gpu_memory_used_bytes", used, habit, "bytes", source="nvml")
            )
        return (*said[:4], *case.gpu_evidence()[1:], *case.log_evidence())
