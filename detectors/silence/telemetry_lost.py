"""`telemetry_lost`: a node or a GPU that was heard is silent, and nothing explains it."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from collectors.model import Event, EventKind, Subject, SubjectKind
from detectors.book import Book
from detectors.contract import Needs, Opening, Opinions
from detectors.frame import NS, Columns, Frame, Ints, grown
from detectors.model import Evidence, FindingKind, Inventory, Severity
from detectors.view import where

NODE_SILENT_S = 30.0
"""Four batch intervals of 5 s and the allowed lateness of 10 s."""
GPU_SILENT_S = 20.0
"""A card whose node goes on reporting: two batch intervals and the allowed lateness."""
HEARD_S = 10.0
"""A node that was heard within this goes on reporting; one that was not may be silent itself, with all its cards."""


@dataclass(slots=True)
class TelemetryLost:
    """No batch from a node for 30 s, or no reading of one GPU for 20 s while its node goes on reporting.

    Silence is never health and never resolves anything. A collector that said goodbye (and, once it is back, has had
    20 s to look at its cards), a node that the cluster no longer has, and a card that is known to be lost are
    explained. Readings that come late from a spool clear it, with their own times.
    """

    book: Book
    kinds = (FindingKind.TELEMETRY_LOST,)
    needs = Needs()
    _node_ns: OrderedDict[Subject, int] = field(default_factory=OrderedDict)
    """When each node was heard, the longest silent first: a fleet that speaks costs one look at the first."""
    _goodbye: set[Subject] = field(default_factory=set)
    _back_ns: dict[Subject, int] = field(default_factory=dict)
    """When each collector that had said goodbye was heard again."""
    _gpu_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def heard(self, node: Subject, events: tuple[Event, ...], received_ns: int) -> None:
        """A batch of this node came."""
        self._node_ns[node] = received_ns
        self._node_ns.move_to_end(node)
        if node in self._goodbye:
            self._goodbye.discard(node)
            self._back_ns[node] = received_ns
        if events and any(event.kind is EventKind.COLLECTOR_GOODBYE for event in events):
            self._goodbye.add(node)

    def saw(self, frame: Frame, now_ns: int) -> None:
        """These GPUs have a look."""
        self._gpu_ns = grown(self._gpu_ns, int(frame.cols.max()) + 1, 0)  # type: ignore[assignment]  # dtype is kept
        self._gpu_ns[frame.cols] = now_ns

    def on_time(self, columns: Columns, inventory: Inventory, now_ns: int, out: Opinions) -> None:
        """Judge silence against now."""
        for node, heard_ns in self._node_ns.items():
            if now_ns - heard_ns <= NODE_SILENT_S * NS:
                break
            if node not in self._goodbye and node not in inventory.gone:
                self._open(node, heard_ns, "no batch", inventory, out)
        seen = self._gpu_ns[: len(columns)]
        for column in np.flatnonzero((seen > 0) & (now_ns - seen > GPU_SILENT_S * NS)).tolist():
            subject = columns.subjects[column]
            home = inventory.node_of(subject)
            explained = home is None or self._explained(home, inventory, now_ns)
            if not explained and not self.book.is_open(FindingKind.GPU_LOST, subject):
                self._open(subject, int(seen[column]), "no reading", inventory, out)
        for finding in self.book.of_kind(FindingKind.TELEMETRY_LOST):
            if finding.subject.kind is SubjectKind.NODE and finding.subject not in self._goodbye:
                heard_ns = self._node_ns.get(finding.subject, 0)
                if now_ns - heard_ns <= NODE_SILENT_S * NS:
                    out.clears(FindingKind.TELEMETRY_LOST, finding.subject, "its collector reports again")
            if finding.subject.kind is SubjectKind.GPU:
                known = columns.find(finding.subject)
                # a column may stand without a reading: a batch that names a GPU and tells nothing of it
                if (
                    known is not None
                    and known < len(self._gpu_ns)
                    and now_ns - int(self._gpu_ns[known]) <= GPU_SILENT_S * NS
                ):
                    out.clears(FindingKind.TELEMETRY_LOST, finding.subject, "its readings are back")

    def _explained(self, home: Subject, inventory: Inventory, now_ns: int) -> bool:
        """Whether a node gives the reason for the silence of its cards."""
        if home in self._goodbye or home in inventory.gone or now_ns - self._node_ns.get(home, 0) > HEARD_S * NS:
            return True
        return now_ns - self._back_ns.get(home, 0) <= GPU_SILENT_S * NS

    def _open(self, subject: Subject, since_ns: int, what: str, inventory: Inventory, out: Opinions) -> None:
        if self.book.is_open(FindingKind.TELEMETRY_LOST, subject):
            return
        place = where(inventory, subject)
        limit = NODE_SILENT_S if subject.kind is SubjectKind.NODE else GPU_SILENT_S
        evidence = Evidence(
            f"{what} of {place} for more than {limit:.0f} s, and no goodbye",
            since_ns,
            "collector",
            None,
            limit,
            "seconds",
            source="collector",
        )
        summary = f"Telemetry lost: {what} of {place} for more than {limit:.0f} s."
        related: tuple[Subject, ...] = ()
        if subject.kind is SubjectKind.NODE:
            # whose ranks are not seen: a time-out of such a job may come of it
            jobs = {job for card in inventory.gpus_of(subject) if (job := inventory.job_of(card)) is not None}
            related = tuple(sorted(jobs))
        out.opens(
            Opening(FindingKind.TELEMETRY_LOST, subject, since_ns, Severity.WARNING, 0.9, summary, (evidence,), related)
        )
