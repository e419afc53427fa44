"""Whether a fault that is said again is the old one still, or has befallen the card anew.

An Xid of the hardware and an uncorrectable error stay open until the card is reset, which nobody may do for weeks. The
job does not wait for that: it dies, starts again, on the same card as often as not, and makes steps. What that job had
to suffer is over then, whatever the card still needs; the same error after that is another fault with another victim.
"""

from dataclasses import dataclass, field

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from detectors.contract import Opening
from detectors.frame import NS
from detectors.model import Finding, FindingKind, Inventory

RECURRING = frozenset({FindingKind.XID, FindingKind.ECC_UNCORRECTABLE})
"""Instants of a card whose findings outlast their effects."""
MOST_JOBS = 50_000
"""Jobs that are remembered, as the loss detectors follow; the ones longest without news are forgotten first."""
ANEW = "said again after its job had got over it"
READ_SECONDS = 60.0
"""What does not come from a log is read every 30 s, and may be of one read before (as the causal table's slack)."""
_DEATHS = frozenset({EventKind.CUDA_ERROR, EventKind.COLLECTIVE_TIMEOUT, EventKind.TRAINING_START})
"""After each of these the job's processes are others. A traceback may have been caught."""


@dataclass(slots=True)
class Recoveries:
    """When each job last made its first step after it had died. Known since the agent's start."""

    most_jobs: int = MOST_JOBS
    _died: dict[Subject, None] = field(default_factory=dict)
    _steps_again_ns: dict[Subject, int] = field(default_factory=dict)

    def on_event(self, event: Event) -> None:
        """One event of a job."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP:
            if job in self._died:
                del self._died[job]
                self._steps_again_ns.pop(job, None)  # to the end of the line
                self._steps_again_ns[job] = event.time_ns
                self._bound(self._steps_again_ns)
        elif event.kind in _DEATHS or (event.kind is EventKind.PROCESS_EXIT and event.values.get("exit_code") != 0):
            self._died[job] = None
            self._bound(self._died)

    def anew(self, held: Finding, said: Opening, inventory: Inventory) -> bool:
        """Whether what is open was over for the job before it was said again."""
        if held.kind not in RECURRING or held.subject.kind is not SubjectKind.GPU:
            return False
        slow = not any(item.source == EventSource.KERNEL_LOG.value for item in said.evidence)
        since_ns = said.since_ns - (int(READ_SECONDS * NS) if slow else 0)
        if since_ns <= held.since_ns:
            return False
        suffered = next((subject for subject in held.related if subject.kind is SubjectKind.JOB), None)
        works_for = inventory.job_of(held.subject)
        if suffered is None or works_for is None:
            return False
        if suffered != works_for:
            return True
        return held.since_ns < self._steps_again_ns.get(suffered, 0) < since_ns

    def _bound(self, held: dict[Subject, None] | dict[Subject, int]) -> None:
        while len(held) > self.most_jobs:
            del held[next(iter(held))]
