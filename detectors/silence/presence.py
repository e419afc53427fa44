"""What a reboot and a deletion end: findings that hold until a card is reset, and findings about what is no more."""

from dataclasses import dataclass, field

from collectors.model import Batch, Subject, SubjectKind
from detectors.book import Book
from detectors.contract import Clearing, Opinions
from detectors.frame import Columns, Frame, Ints
from detectors.model import Finding, FindingKind, Inventory

ENDED_BY_REBOOT = frozenset({FindingKind.XID, FindingKind.ECC_UNCORRECTABLE})
"""These last until the card is reset, and a reboot resets it. A lost card must answer again (`gpu_returned`; after a
reboot, of whose collector nothing was lost, a reading), and a row remap's flags are read."""


@dataclass(slots=True)
class Presence:
    """Watches boot ids and what the cluster no longer has. It opens nothing."""

    book: Book
    _boots: dict[Subject, str] = field(default_factory=dict)
    _rebooted: dict[Subject, None] = field(default_factory=dict)
    _awaited: dict[Subject, None] = field(default_factory=dict)
    """Lost cards of nodes that were rebooted since."""
    _generation: int = -1

    def heard(self, batch: Batch) -> None:
        """A batch of a node came."""
        held = self._boots.get(batch.node)
        if held != batch.boot_id:
            self._boots[batch.node] = batch.boot_id
            if held is not None:
                self._rebooted[batch.node] = None

    def saw(self, frame: Frame, at: Ints, columns: Columns, out: Opinions) -> None:
        """One frame; `at`: positions in it whose card gave a reading."""
        if not self._awaited:
            return
        for column in frame.cols[at].tolist():
            subject = columns.subjects[column]
            if subject in self._awaited:
                del self._awaited[subject]
                out.clears(FindingKind.GPU_LOST, subject, "the card answers again after a reboot")

    def on_time(self, inventory: Inventory, out: Opinions) -> None:
        """Clear what is over."""
        rebooted, self._rebooted = self._rebooted, {}
        removed = self._generation != inventory.generation and inventory.gone
        self._generation = inventory.generation
        if not (rebooted or removed) or not len(self.book):
            return
        for finding in self.book.open_findings():
            home = inventory.node_of(finding.subject)
            if home in rebooted and finding.kind is FindingKind.GPU_LOST:
                self._awaited[finding.subject] = None
            if home in rebooted and finding.kind in ENDED_BY_REBOOT:
                out.said.append(_clearing(finding, "the node was rebooted"))
                continue
            gone = inventory.gone.get(finding.subject)
            if gone is None and home is not None and finding.subject.kind is SubjectKind.GPU:
                gone = inventory.gone.get(home)
            if gone is not None:
                out.said.append(_clearing(finding, f"gone: {finding.subject.kind.value} {gone.because}"))


def _clearing(finding: Finding, because: str) -> Clearing:
    return Clearing(finding.kind, finding.subject, because, finding.mark)
