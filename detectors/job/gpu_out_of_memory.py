"""`gpu_out_of_memory`: an allocation on the card failed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity


@dataclass(slots=True)
class GpuOutOfMemory:
    """The framework's own line: CUDA out of memory. Trainers may catch it and go on: clears when the job steps again.

    Trap: after an uncorrectable memory error, and right after a collective timeout, the same line is a consequence
    (correlation says so); a nearly empty card that is "out of memory" is hardware.
    """

    kinds = (FindingKind.GPU_OUT_OF_MEMORY,)
    needs = Needs(events=(EventKind.CUDA_OUT_OF_MEMORY,))
    _open: set[Subject] = field(default_factory=set)

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP and job in self._open:
            self._open.discard(job)
            yield Clearing(FindingKind.GPU_OUT_OF_MEMORY, job, "the job steps again")
        elif event.kind is EventKind.CUDA_OUT_OF_MEMORY:
            self._open.add(job)
            rank = event.attributes.get("rank")
            whose = f"rank {rank} of " if rank else ""
            text = event.attributes.get("detail") or "an allocation on the card failed"
            evidence = Evidence(text, event.time_ns, event.kind.value, source=event.source.value, line=event.line)
            summary = f"CUDA out of memory in {whose}job {inventory.name_of(job)}."
            yield Opening(
                FindingKind.GPU_OUT_OF_MEMORY, job, event.time_ns, Severity.CRITICAL, 0.97, summary, (evidence,)
            )

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Nothing passes by itself."""
        return ()

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart."""
        self._open.add(finding.subject)

    def ready(self, subject: Subject) -> bool:
        """It needs no history."""
        return True
