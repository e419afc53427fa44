"""`host_stall`, and `dataloader_stall` after the fact: what a stalled job's resuming line gives away."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, Subject
from detectors.book import Book
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.frame import NS
from detectors.job.rhythm import Rhythms
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity

DATA_SHARE = 0.5
"""Of the gap: the resuming step waited this much of it for data."""
HOST_SHARE = 0.1
"""Of the gap: it waited no more than this, although the line speaks for (nearly) the whole gap."""
SPOKEN_FOR_STEPS = 2
"""The wait that a line states belongs to one step: a line that stands for ten may hide it in another."""
LEAST_GAP_S = 4.0
"""A stall lasts six seconds at least; a shorter gap is not the one that ends it."""
OVER_S = 3.0


@dataclass(slots=True)
class HostStall:
    """A job stood still, resumed, and its first line says whether it had waited for data.

    Data: `dataloader_stall`. No data, in a line that stands for at most two steps, or from a trainer that prints every
    slow step: the host (`host_stall`: garbage collection, a sleeping main process, a slow logger). A sparser line
    says nothing sure, and the finding stays `training_stall`, which names both. Opens at the resumption and clears
    three seconds later: the cause is a matter of record by then.
    """

    book: Book
    rhythms: Rhythms
    kinds = (FindingKind.HOST_STALL, FindingKind.DATALOADER_STALL)
    needs = Needs(events=(EventKind.TRAINING_STEP,), history_steps=8)
    _adopted: set[Subject] = field(default_factory=set)
    _over: dict[tuple[FindingKind, Subject], int] = field(default_factory=dict)

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """A step line, after the rhythm has taken it in."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP and job in self._adopted:
            self._adopted.discard(job)
            self._over[FindingKind.HOST_STALL, job] = now_ns
        if event.kind is not EventKind.TRAINING_STEP or not self.book.is_open(FindingKind.TRAINING_STALL, job):
            return
        rhythm = self.rhythms.of(job)
        gap = rhythm.gaps[-1] if rhythm.gaps else None
        if gap is None or gap.end_ns != event.time_ns or gap.data_wait_s is None or gap.seconds < LEAST_GAP_S:
            return
        share = gap.data_wait_s / max(gap.seconds, 1e-9)
        speaks = gap.steps <= SPOKEN_FOR_STEPS or rhythm.logs_slow_steps
        if share >= DATA_SHARE:
            kind, why, sure = FindingKind.DATALOADER_STALL, "waited for data", 0.95
        elif share <= HOST_SHARE and speaks and gap.seconds >= 5 * (rhythm.usual_gap_s or gap.seconds):
            kind, why = FindingKind.HOST_STALL, "was held up by its host, not by its data"
            sure = 0.9 if rhythm.logs_slow_steps or gap.steps == 1 else 0.6
        else:
            return
        self._over[kind, job] = now_ns
        text = f"the first line after {gap.seconds:.1f} s says that the step waited {gap.data_wait_s:.2f} s for data"
        evidence = Evidence(
            text,
            event.time_ns,
            "data_wait_seconds",
            gap.data_wait_s,
            gap.seconds,
            "seconds",
            source="training_log",
            line=event.line,
        )
        summary = f"Job {inventory.name_of(job)} stood still for {gap.seconds:.0f} s and {why}."
        since_ns = event.time_ns - int(gap.seconds * NS)
        yield Opening(kind, job, since_ns, Severity.WARNING, sure, summary, (evidence,))

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """What was named clears."""
        for (kind, job), opened_ns in list(self._over.items()):
            if now_ns - opened_ns > OVER_S * NS:
                del self._over[kind, job]
                yield Clearing(kind, job, "the job steps again")

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart: over with the next step line. Waiting for data is judged by the GPUs as well."""
        if finding.kind is FindingKind.HOST_STALL:
            self._adopted.add(finding.subject)

    def ready(self, subject: Subject) -> bool:
        """Once the job's usual gap is known."""
        return self.rhythms.of(subject).usual_gap_s is not None
