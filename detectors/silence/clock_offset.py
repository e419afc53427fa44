"""`clock_offset`: a node's clock disagrees with the agent's."""

from collections import deque
from dataclasses import dataclass, field

from collectors.model import Subject
from detectors.contract import Needs, Opening, Opinions
from detectors.frame import NS
from detectors.model import Evidence, FindingKind, Inventory, Severity
from detectors.view import where

LIMIT_S = 2.0
"""An offset above this puts events of different nodes in the wrong order (design: Detect)."""
KEPT = 20
"""Batches whose offsets are compared: one that waited in a spool looks like a clock that is behind."""
LEAST = 3


@dataclass(slots=True)
class ClockOffset:
    """The node's clock at sending against the agent's at receipt: the best of the last 20 batches.

    A batch only ever travels forward in time, so the greatest (sent - received) is the one that travelled fastest. A
    spool that is being emptied looks like a clock that is behind until fresh batches come. Clears below half the limit.
    """

    kinds = (FindingKind.CLOCK_OFFSET,)
    needs = Needs()
    _offsets: dict[Subject, deque[float]] = field(default_factory=dict)

    def heard(self, node: Subject, sent_ns: int, received_ns: int) -> None:
        """A batch of this node came."""
        self._offsets.setdefault(node, deque(maxlen=KEPT)).append((sent_ns - received_ns) / NS)

    def offset_ns(self, node: Subject) -> int:
        """What to add to this node's times so that they are the agent's; 0 while the clocks agree."""
        seen = self._offsets.get(node)
        if not seen:
            return 0
        best = max(seen)
        # no batch arrives before it was sent: ahead is certain at once, behind may be a spool that is being emptied
        known = best > LIMIT_S or (best < -LIMIT_S and len(seen) >= LEAST)
        return int(-best * NS) if known else 0

    def on_time(self, inventory: Inventory, now_ns: int, out: Opinions) -> None:
        """Judge all nodes."""
        for node, seen in self._offsets.items():
            if len(seen) < LEAST:
                continue
            best = max(seen)
            if abs(best) > LIMIT_S:
                place, side = where(inventory, node), "ahead of" if best > 0 else "behind"
                text = f"the clock of {place} is {abs(best):.1f} s {side} the agent's"
                evidence = Evidence(text, now_ns, "sent_ns", best, LIMIT_S, "seconds", source="collector")
                summary = f"Clock of {place} is {abs(best):.1f} s {side} the agent's: its times are corrected."
                out.opens(Opening(FindingKind.CLOCK_OFFSET, node, now_ns, Severity.WARNING, 0.9, summary, (evidence,)))
            elif abs(best) < LIMIT_S / 2:
                out.clears(FindingKind.CLOCK_OFFSET, node, "the clocks agree")
