"""`unusual` findings: they open nothing and keep nothing open; they hang on an incident at their place."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from collectors.model import Subject
from detectors.correlation.group import Group
from detectors.correlation.link import Known
from detectors.correlation.place import Name, overlap

MOST_COMPARED = 64
"""Members of an incident that are looked at for a place in common; they share a key with it already."""


@dataclass(slots=True)
class Lone:
    """Those that no incident has taken in yet, and where the unresolved incidents stand."""

    _known: dict[str, Known] = field(default_factory=dict)
    _at: dict[Subject | Name, set[str]] = field(default_factory=dict)
    """Unresolved incidents by place."""
    _places: dict[str, set[Subject | Name]] = field(default_factory=dict)
    """The same the other way round."""
    _fresh: set[Subject | Name] = field(default_factory=set)
    """Places where an incident has come since the last look."""
    _new: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._known) + len(self._at) + len(self._places) + len(self._fresh) + len(self._new)

    def put(self, known: Known) -> None:
        """Take one in, or its newer value."""
        self._known[known.finding.id] = known
        self._new.add(known.finding.id)

    def note_place(self, incident: str, known: Known) -> None:
        """An unresolved incident has a member there."""
        places = self._places.setdefault(incident, set())
        for key in known.place.keys - places:
            places.add(key)
            self._at.setdefault(key, set()).add(incident)
            self._fresh.add(key)

    def leave(self, incident: str) -> None:
        """An incident is resolved."""
        for key in self._places.pop(incident, ()):
            self._at[key].discard(incident)
            if not self._at[key]:
                del self._at[key]

    def move(self, incident: str, into: str) -> None:
        """An incident became part of another."""
        places = self._places.get(incident, set())
        self.leave(incident)
        held = self._places.setdefault(into, set())
        held |= places
        for key in places:
            self._at.setdefault(key, set()).add(into)
            self._fresh.add(key)

    def homes(
        self, groups: Mapping[str, Group], by_age: Callable[[set[str]], list[str]]
    ) -> Iterator[tuple[Known, str]]:
        """Those that found an incident, the oldest at their place; what has cleared alone is let go."""
        fresh, self._fresh = self._fresh, set()
        new, self._new = self._new, set()
        for finding_id, known in sorted(self._known.items(), key=lambda item: item[1].order):
            if finding_id not in new and fresh.isdisjoint(known.place.keys):
                continue
            near = {incident for key in known.place.keys for incident in self._at.get(key, ())}
            home = next((i for i in by_age(near) if _meets(known, groups[i])), None)
            if home is not None:
                del self._known[finding_id]
                yield known, home
            elif known.finding.cleared_ns is not None:
                del self._known[finding_id]


def _meets(known: Known, group: Group) -> bool:
    keys = known.place.keys
    near = (member for member in group.members.values() if not keys.isdisjoint(member.place.keys))
    for compared, member in enumerate(near):
        if overlap(known.place, member.place):
            return True
        if compared >= MOST_COMPARED:
            break
    return False
