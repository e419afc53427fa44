"""`collective_timeout`: NCCL's watchdog gave up."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity


@dataclass(slots=True)
class CollectiveTimeout:
    """The watchdog's line in a rank's output: a collective ran longer than its timeout (10 or 30 minutes by default).

    A confirmation, never the first to know: the cause lies that long before. All ranks' lines are one finding of the
    job. Flight-recorder dumps that are there add which ranks had not entered the collective; a rank without a dump is
    evidence too, a weak one. Clears when the job steps again.
    """

    kinds = (FindingKind.COLLECTIVE_TIMEOUT,)
    needs = Needs(events=(EventKind.COLLECTIVE_TIMEOUT,))
    _open: set[Subject] = field(default_factory=set)

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP and job in self._open:
            self._open.discard(job)
            yield Clearing(FindingKind.COLLECTIVE_TIMEOUT, job, "the job steps again")
        elif event.kind is EventKind.COLLECTIVE_TIMEOUT:
            self._open.add(job)
            yield self._opening(event, inventory)
        elif event.kind is EventKind.FLIGHT_RECORDER and job in self._open:
            yield self._opening(event, inventory)

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Nothing passes by itself."""
        return ()

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart."""
        self._open.add(finding.subject)

    def ready(self, subject: Subject) -> bool:
        """It needs no history."""
        return True

    @staticmethod
    def _opening(event: Event, inventory: Inventory) -> Opening:
        values, told = event.values, event.attributes
        rank = told.get("rank") or (f"{values['rank']:.0f}" if "rank" in values else "")
        whose = f"rank {rank}" if rank else "a rank"
        operation = told.get("operation", "a collective")
        ran = f" after {values['ran_for_seconds']:.0f} s" if "ran_for_seconds" in values else ""
        if event.kind is EventKind.FLIGHT_RECORDER:
            text = f"flight recorder of {whose}: {told.get('detail') or operation}"
        else:
            number = f" number {values['sequence_number']:.0f}" if "sequence_number" in values else ""
            text = f"NCCL watchdog of {whose} gave up on {operation}{number}{ran}"
        ran_s = values.get("ran_for_seconds")
        evidence = Evidence(
            text,
            event.time_ns,
            f"{event.kind.value} {whose}",
            ran_s,
            None,
            "seconds" if ran_s is not None else "",
            source=event.source.value,
            line=event.line,
        )
        since_ns = event.time_ns - int((ran_s or 0.0) * 1e9)
        summary = f"Collective timeout in job {inventory.name_of(event.subject)}: {operation} on {whose} gave up{ran}."
        return Opening(
            FindingKind.COLLECTIVE_TIMEOUT, event.subject, since_ns, Severity.CRITICAL, 0.97, summary, (evidence,)
        )
