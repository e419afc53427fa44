"""Which node a card was last heard from, so that a collector bound to one node cannot speak of another's cards."""

from collections.abc import Iterable

from collectors.model import LIVE_ONLY, Batch, Origin, Subject, SubjectKind

LAPSES_AFTER_SECONDS = 600.0
"""A card that its node has not spoken of for so long may have moved: whoever speaks of it next has it."""

PLACED = frozenset({SubjectKind.GPU, SubjectKind.NIC, SubjectKind.LINK})
"""Kinds that sit in exactly one node. Jobs span nodes; pods and ranks move."""


class Placement:
    """Cards to nodes, learnt from live batches that were accepted. Belongs to the event loop."""

    def __init__(
        self, lapses_after_seconds: float = LAPSES_AFTER_SECONDS, as_live: frozenset[Origin] = LIVE_ONLY
    ) -> None:
        """`as_live`: origins whose word counts."""
        self._as_live = as_live
        self._lapse_ns = int(lapses_after_seconds * 1_000_000_000)
        self._held: dict[Subject, tuple[Subject, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def node_of(self, subject: Subject, now_ns: int) -> Subject | None:
        """The node that a card sits in; None where nobody has told, or not for long."""
        held = self._held.get(subject)
        return held[0] if held is not None and now_ns - held[1] < self._lapse_ns else None

    def learn(self, batch: Batch, received_ns: int) -> None:
        """Note where an accepted batch says its cards are."""
        if batch.origin not in self._as_live:
            return
        held = (batch.node, received_ns)
        for subject in batch.subjects:
            if subject.kind in PLACED:
                self._held[subject] = held

    def misplaced(self, batch: Batch, now_ns: int) -> str:
        """What a batch of a collector bound to `batch.node` may not say, in one line; empty where all is well."""
        if batch.origin not in self._as_live:
            return ""
        for subject in spoken_of(batch):
            if subject.kind is SubjectKind.NODE and subject != batch.node:
                return f"it speaks of node {subject.id}"
            if subject.kind in PLACED:
                node = self.node_of(subject, now_ns)
                if node is not None and node != batch.node:
                    return f"it speaks of {subject.kind.value} {subject.id}, which is in node {node.id}"
        for facts in batch.facts:
            if facts.node is not None and facts.node != batch.node:
                return f"it places {facts.subject.kind.value} {facts.subject.id} in node {facts.node.id}"
        return ""

    def forget_lapsed(self, now_ns: int) -> None:
        """Let go of cards that nobody speaks of any more."""
        for subject, (_, heard_ns) in list(self._held.items()):
            if now_ns - heard_ns >= self._lapse_ns:
                del self._held[subject]


def spoken_of(batch: Batch) -> Iterable[Subject]:
    """Every subject that a batch says something about, most of them once."""
    yield from batch.subjects
    last: Subject | None = None
    for event in batch.events:  # a burst is about few subjects, mostly one after the other
        if event.subject != last:
            last = event.subject
            yield last
    for facts in batch.facts:
        yield facts.subject
