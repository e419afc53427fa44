"""Findings by kind and place, so that a newcomer meets only those that could be its cause or its effect.

Two findings that share nothing have no key in common (`Place.keys`), and an edge that asks for the same card can never
join two different ones. So a newcomer asks, per kind, for what stands at its own keys; where an edge asks for the card
and the newcomer knows its own, others that know theirs are asked for at that card alone. That keeps 10,000 findings
of one job in one second from meeting each other one by one.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from collectors.model import Subject
from detectors.correlation.link import Known
from detectors.correlation.place import Name, Place
from detectors.correlation.table import Scope
from detectors.model import FindingKind

MOST_ASKED = 32
"""Neighbours of one kind at one place that a newcomer is compared to, the latest first. One place has rarely more than
a few; a job of 10,000 ranks has more, and there the latest are the nearest."""

_BY_NAME_ALONE = "by name alone"

Key = Subject | Name
Order = tuple[int, int, str]


@dataclass(slots=True)
class Index:
    """Known findings, each at all its places."""

    _at: dict[tuple[FindingKind, Key, bool], list[Order]] = field(default_factory=dict)
    """In causal order, by kind, key, and whether the finding knows its own card."""
    _known: dict[str, Known] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, finding_id: str) -> bool:
        return finding_id in self._known

    def get(self, finding_id: str) -> Known:
        """A finding that is here."""
        return self._known[finding_id]

    def put(self, known: Known) -> None:
        """Take in a finding, or its newer value."""
        held = self._known.get(known.finding.id)
        if held is not None and held.order == known.order and held.place.keys == known.place.keys:
            self._known[known.finding.id] = known
            return
        self.drop(known.finding.id)
        self._known[known.finding.id] = known
        for place in _places(known):
            insort(self._at.setdefault(place, []), known.order)

    def drop(self, finding_id: str) -> None:
        """Let go of a finding; one that is not here is passed over."""
        known = self._known.pop(finding_id, None)
        if known is None:
            return
        for place in _places(known):
            held = self._at[place]
            del held[bisect_left(held, known.order)]
            if not held:
                del self._at[place]

    def near(self, newcomer: Known, kind: FindingKind, scope: Scope, most: int = MOST_ASKED) -> Iterator[Known]:
        """Findings of a kind that may share with the newcomer what an edge of this scope asks for, latest first a
        place; some may come twice."""
        own = newcomer.place.own_gpu
        by_card = scope is Scope.GPU and own is not None
        for key in _looked_up(newcomer.place):
            for with_card in (True, False):
                if by_card and with_card and key != own:
                    continue
                for _, _, finding_id in reversed(self._at.get((kind, key, with_card), ())[-most:]):
                    if finding_id != newcomer.finding.id:
                        yield self._known[finding_id]


def _places(known: Known) -> Iterator[tuple[FindingKind, Key, bool]]:
    with_card = known.place.own_gpu is not None
    for key in known.place.keys:
        yield known.finding.kind, key, with_card
    for name, has_key in _names(known.place):
        if not has_key:
            yield known.finding.kind, (_BY_NAME_ALONE, *name), with_card


def _looked_up(place: Place) -> Iterator[Key]:
    """Keys are compared with keys, names only where one side has no key (`place.py`): whoever has one asks under its
    name for those alone that have none."""
    yield from place.gpus
    yield from place.nodes
    yield from place.jobs
    for name, has_key in _names(place):
        yield (_BY_NAME_ALONE, *name) if has_key else name


def _names(place: Place) -> Iterator[tuple[Name, bool]]:
    """The names of a place, and whether it has a key for the same."""
    for name, has_key in (
        (place.own_gpu_name, place.own_gpu is not None),
        (place.node_name, bool(place.nodes)),
        (place.job_name, bool(place.jobs)),
    ):
        if name:
            yield name, has_key
