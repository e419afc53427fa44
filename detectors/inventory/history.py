"""What held before: the last values of each attribute that ever changed, with their times. Bounded."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from collectors.model import Subject, SubjectFacts
from detectors.inventory.dated import Fact
from detectors.inventory.sources import Source, believed, keys_of, stated

MOST_VALUES = 16
"""Past values kept of one attribute: a flapping pod must not fill the memory."""
MOST_CHANGED = 200_000
"""Attributes with a past, over all subjects; the ones longest unchanged are forgotten first."""


@dataclass(slots=True)
class History:
    """Values that were replaced. What has never changed takes no room here."""

    most_changed: int = MOST_CHANGED
    _past: OrderedDict[tuple[Subject, str], deque[Fact]] = field(default_factory=OrderedDict)
    _since: OrderedDict[tuple[Subject, str], int] = field(default_factory=OrderedDict)

    def note(self, before: SubjectFacts, after: SubjectFacts, known_ns: int, now_ns: int) -> None:
        """One subject's facts were replaced; `known_ns`: when the subject was first heard of."""
        for key in keys_of((before, after)):
            old, new = stated(before, key), stated(after, key)
            if old == new:
                continue
            place = (before.subject, key)
            since_ns = self._since.get(place, known_ns)
            if old is not None:
                past = self._past.setdefault(place, deque(maxlen=MOST_VALUES))
                past.append(Fact(old, since_ns, None, now_ns))
                self._past.move_to_end(place)
            self._since[place] = now_ns
            self._since.move_to_end(place)
        for held in (self._past, self._since):
            while len(held) > self.most_changed:
                held.popitem(last=False)

    def since_ns(self, subject: Subject, key: str, known_ns: int) -> int:
        """Since when the present value is known."""
        return self._since.get((subject, key), known_ns)

    def past(self, subject: Subject, key: str) -> tuple[Fact, ...]:
        """Values that held before, oldest first."""
        return tuple(self._past.get((subject, key), ()))

    def forget(self, subject: Subject, keys: set[str]) -> None:
        """A subject is forgotten altogether."""
        for key in keys:
            self._past.pop((subject, key), None)
            self._since.pop((subject, key), None)


def present(told: Mapping[Source, SubjectFacts], key: str, since_ns: int) -> Fact | None:
    """The value that holds now, with its source; None where nobody says anything."""
    source = believed(told, key)
    if source is None:
        return None
    value = stated(told[source], key)
    return None if value is None else Fact(value, since_ns, source)
