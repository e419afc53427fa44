"""What else is going on while an incident is judged: plans under way, faults of the same kind, what was done lately."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence

import msgspec

from policies.cluster_view import Place

MOST_COUNTED = 1_000
"""Faults that are looked at for one crowd; the largest step of a ramp is far below."""

Where = tuple[Place, str]
"""The fleet, or a pool, rack or NVLink domain by its name."""


class Pending(msgspec.Struct, frozen=True):
    """A plan of another incident that is decided and not seen done."""

    plan: str
    incident: str
    root_kind: str
    nodes: tuple[str, ...]
    """uids of nodes that it takes out of service."""
    jobs: tuple[str, ...]
    """uids of the owners of jobs that it moves."""


class Crowd(msgspec.Struct, frozen=True):
    """Faults of one kind near in time in one place."""

    place: Place
    name: str
    nodes: int
    """Different nodes."""
    first_ns: int
    last_ns: int


class Around(msgspec.Struct, frozen=True):
    """All of it. Empty where a decision stands alone."""

    pending: tuple[Pending, ...] = ()
    crowds: tuple[Crowd, ...] = ()


ALONE = Around()
"""Nothing else is going on."""


class Crowds:
    """Open faults by kind and place, so that many small incidents are seen as the wave that they are."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, Where], list[tuple[int, str, str]]] = {}
        """(since, incident, node uid), sorted."""
        self._of: dict[str, list[tuple[str, Where, tuple[int, str, str]]]] = {}

    def note(self, incident: str, kind: str, nodes: Iterable[tuple[str, int, Sequence[Where]]]) -> None:
        """An incident shows on these nodes: uid, since when (Unix ns), and in which places each stands."""
        self.drop(incident)
        held = self._of.setdefault(incident, [])
        for uid, since_ns, places in nodes:
            entry = (since_ns, incident, uid)
            for where in ((Place.FLEET, ""), *places):
                insort(self._at.setdefault((kind, where), []), entry)
                held.append((kind, where, entry))

    def drop(self, incident: str) -> None:
        """An incident is over."""
        for kind, where, entry in self._of.pop(incident, ()):
            entries = self._at[kind, where]
            index = bisect_left(entries, entry)
            if index < len(entries) and entries[index] == entry:
                del entries[index]
            if not entries:
                del self._at[kind, where]

    def near(self, kind: str, since_ns: int, places: Iterable[Where], window_ns: int) -> tuple[Crowd, ...]:
        """The faults of a kind within `window_ns` of a moment, place by place."""
        found = []
        for where in ((Place.FLEET, ""), *places):
            entries = self._at.get((kind, where), [])
            low = bisect_left(entries, (since_ns - window_ns,))
            high = bisect_right(entries, (since_ns + window_ns + 1,))
            if high > low:
                nodes = {uid for _, _, uid in entries[low : min(high, low + MOST_COUNTED)]}
                found.append(Crowd(where[0], where[1], len(nodes), entries[low][0], entries[high - 1][0]))
        return tuple(found)
