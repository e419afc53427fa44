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

MOST_ASKED = 32
"""Neighbours of one kind at one place that a newcomer is compared to, the latest first. One place has rarely more than
a few; a job of 10,000 ranks has more, and there the latest are the nearest."""

_BY_NAME_ALONE = "by name alone"

Key = Subject | Name
Order = tuple[int, int, str]


Cell = dict[int, list[Order]]
"""What stands at one key, in causal order, by `_code`."""
Cells = list[tuple[bool, Cell]]
"""The cells at a newcomer's keys, and whether the key is its own card."""


@dataclass(slots=True)
class Index:
    """Known findings, each at all its places."""

    _at: dict[Key, Cell] = field(default_factory=dict)
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
        code = _code(known.order[0], known.place.own_gpu is not None)
        for key in _stands_at(known.place):
            insort(self._at.setdefault(key, {}).setdefault(code, []), known.order)

    def drop(self, finding_id: str) -> None:
        """Let go of a finding; one that is not here is passed over."""
        known = self._known.pop(finding_id, None)
        if known is None:
            return
        code = _code(known.order[0], known.place.own_gpu is not None)
        for key in _stands_at(known.place):
            cell = self._at[key]
            held = cell[code]
            del held[bisect_left(held, known.order)]
            if not held:
                del cell[code]
                if not cell:
                    del self._at[key]

    def cells(self, newcomer: Known) -> Cells:
        """What stands at a newcomer's keys, for `near`."""
        own = newcomer.place.own_gpu
        return [(key == own, cell) for key in _looked_up(newcomer.place) if (cell := self._at.get(key))]

    def near(self, newcomer: Known, cells: Cells, rank: int, scope: Scope, most: int = MOST_ASKED) -> Iterator[Known]:
        """Findings of a kind (by its `rank_of`) that may share with the newcomer what an edge of this scope asks for,
        latest first a place; some may come twice."""
        by_card = scope is Scope.GPU and newcomer.place.own_gpu is not None
        own_id = newcomer.finding.id
        for is_own, cell in cells:
            for with_card in (True, False):
                if by_card and with_card and not is_own:
                    continue
                held = cell.get(_code(rank, with_card))
                if held is None:
                    continue
                for _, _, finding_id in reversed(held[-most:]):
                    if finding_id != own_id:
                        yield self._known[finding_id]


def _code(rank: int, with_card: bool) -> int:
    """A kind (by its rank) and whether the finding knows its own card."""
    return 2 * rank + with_card


def _stands_at(place: Place) -> Iterator[Key]:
    yield from place.keys
    for name, has_key in _names(place):
        if not has_key:
            yield (_BY_NAME_ALONE, *name)


def _looked_up(place: Place) -> Iterator[Key]:
    """Keys are compared with keys, names only where one side has no key (`place.py`): whoever has one asks under its
    name for those alone that have none."""
    yield from place.gpus
    yield from place.nodes
    yield from place.jobs
    if place.domain_name is not None:
        yield place.domain_name
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
