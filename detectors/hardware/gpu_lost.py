"""`gpu_lost`, by the driver library's own word. Xid 79 adds to the same finding (`detectors.hardware.xid`)."""

from collections.abc import Iterable

from collectors.model import Event, EventKind, Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity
from detectors.view import where


class GpuLost:
    """NVML answers "GPU is lost" for a card that was there. Clears when the card is back (after a reset or reboot).

    A card that merely sends no more readings is `telemetry_lost`: the collector may be at fault.
    """

    kinds = (FindingKind.GPU_LOST,)
    needs = Needs(events=(EventKind.GPU_LOST, EventKind.GPU_RETURNED))

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event."""
        if event.kind is EventKind.GPU_RETURNED:
            yield Clearing(FindingKind.GPU_LOST, event.subject, "the card answers again")
        if event.kind is EventKind.GPU_LOST:
            place = where(inventory, event.subject)
            text = f"NVML says that {place} is lost"
            evidence = Evidence(text, event.time_ns, "gpu_lost", source=event.source.value, line=event.line)
            summary = f"GPU lost: {place} no longer answers its driver."
            yield Opening(
                FindingKind.GPU_LOST, event.subject, event.time_ns, Severity.CRITICAL, 0.97, summary, (evidence,)
            )

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Nothing passes by itself: a lost card stays lost."""
        return ()

    def adopt(self, finding: Finding) -> None:
        """Nothing to take over: the card's return clears it, whoever opened it."""

    def ready(self, subject: Subject) -> bool:
        """It needs no history."""
        return True
