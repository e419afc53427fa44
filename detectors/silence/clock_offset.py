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
    _best: dict[Subject, float] = field(default_factory=dict)
    """The best of each."""
    _heard: dict[Subject, None] = field(default_factory=dict)
    """Nodes heard since the last judgement: nothing else can have changed."""
    _agreed: set[Subject] = field(default_factory=set)
    """Nodes of which it has said already that the clocks agree."""

    def heard(self, node: Subject, sent_ns: int, received_ns: int) -> None:
        """A batch of this node came."""
        seen = self._offsets.get(node)
        if seen is None:
            seen = self._offsets[node] = deque(maxlen=KEPT)
        seen.append((sent_ns - received_ns) / NS)
        self._best[node] = max(seen)
        self._heard[node] = None

    def offset_ns(self, node: Subject) -> int:
        """What to add to this node's times so that they are the agent's; 0 while the clocks agree."""
        best = self._best.get(node, 0.0)
        # no batch arrives before it was sent: ahead is certain at once, behind may be a spool that is being emptied
        known = best > LIMIT_S or (best < -LIMIT_S and len(self._offsets[node]) >= LEAST)
        return int(-best * NS) if known else 0

    def on_time(self, inventory: Inventory, now_ns: int, out: Opinions) -> None:
        """Judge the nodes that have been heard."""
        heard, self._heard = self._heard, {}
        for node in heard:
            best = self._best[node]
            if len(self._offsets[node]) < LEAST:
                continue
            if abs(best) > LIMIT_S:
                self._agreed.discard(node)
                place, side = where(inventory, node), "ahead of" if best > 0 else "behind"
                text = f"the clock of {place} is {abs(best):.1f} s {side} the agent's"
                evidence = Evidence(text, now_ns, "sent_ns", best, LIMIT_S, "seconds", source="collector")
                summary = f"Clock of {place} is {abs(best):.1f} s {side} the agent's: its times are corrected."
                out.opens(Opening(FindingKind.CLOCK_OFFSET, node, now_ns, Severity.WARNING, 0.9, summary, (evidence,)))
            elif abs(best) < LIMIT_S / 2 and node not in self._agreed:
                self._agreed.add(node)
                out.clears(FindingKind.CLOCK_OFFSET, node, "the clocks agree")
