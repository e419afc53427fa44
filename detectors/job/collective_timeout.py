"""`collective_timeout`: NCCL's watchdog gave up."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity

DUMPS_KEPT = 16


def _in_dump(values: dict[str, float], told: dict[str, str]) -> str:
    """What a dump says of its rank: one with no collective waiting is the one that the others wait for."""
    last = values.get("last_enqueued_sequence")
    reached = f", the last it entered is number {last:.0f}" if last is not None else ""
    if values.get("waiting_collectives") == 0:
        return f"no collective waits there{reached}: it has not come to the one that the other ranks wait in"
    number = f" number {values['sequence_number']:.0f}" if "sequence_number" in values else ""
    return f"it waits in {told.get('operation') or told.get('detail') or 'a collective'}{number}{reached}"


@dataclass(slots=True)
class CollectiveTimeout:
    """The watchdog's line in a rank's output: a collective ran longer than its timeout (10 or 30 minutes by default).

    A confirmation, never the first to know: the cause lies that long before. All ranks' lines are one finding of the
    job. Flight-recorder dumps, before or after the line, say who waits in what: a rank with no collective waiting is
    the one that the others wait for, and one without a dump is suspect too. Clears when the job steps again.
    """

    kinds = (FindingKind.COLLECTIVE_TIMEOUT,)
    needs = Needs(events=(EventKind.COLLECTIVE_TIMEOUT,))
    _open: set[Subject] = field(default_factory=set)
    _dumps: dict[Subject, deque[Event]] = field(default_factory=dict)
    """Dumps that came before the watchdog's line."""

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP:
            self._dumps.pop(job, None)
            if job in self._open:
                self._open.discard(job)
                yield Clearing(FindingKind.COLLECTIVE_TIMEOUT, job, "the job steps again")
        elif event.kind is EventKind.COLLECTIVE_TIMEOUT:
            self._open.add(job)
            yield self._opening(event, inventory)
            for dump in self._dumps.pop(job, ()):
                yield self._opening(dump, inventory)
        elif event.kind is EventKind.FLIGHT_RECORDER:
            if job in self._open:
                yield self._opening(event, inventory)
            else:
                self._dumps.setdefault(job, deque(maxlen=DUMPS_KEPT)).append(event)

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
            text = f"flight recorder of {whose}: {_in_dump(values, told)}"
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
