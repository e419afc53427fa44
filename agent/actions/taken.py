"""Steps that were carried out, read from the journal at most once a second: guards ask at every decision.

What was read stays at hand: a later look reads only what is newer, with an overlap for what was written late.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter

from policies.cluster_view import Taken

OVERLAP_NS = 120 * 1_000_000_000
"""A step bears the time of its end; it is written a moment later, or by another agent, whose clock may differ."""
FRESH_SECONDS = 1.0
MOST_HELD = 20_000
"""Beyond it all is read anew, so that what nobody asks for any more is let go of."""


class TakenBook:
    """Give it the journal's `taken`; safe for threads."""

    def __init__(self, read: Callable[[int], Sequence[Taken]], timer: Callable[[], float]) -> None:
        """`timer` gives seconds that only measure."""
        self._read = read
        self._timer = timer
        self._lock = threading.Lock()
        self._until = -1.0
        self._held: list[Taken] = []
        self._times: list[int] = []
        self._from_ns: int | None = None

    def since(self, since_ns: int) -> Sequence[Taken]:
        """The oldest first. Raises what the store raises."""
        with self._lock:
            if self._from_ns is None or since_ns < self._from_ns or len(self._held) > MOST_HELD:
                self._put(self._read(since_ns))
                self._from_ns = since_ns
                self._until = self._timer() + FRESH_SECONDS
            elif self._timer() >= self._until:
                newest = self._times[-1] if self._times else self._from_ns
                fresh = max(self._from_ns, newest - OVERLAP_NS)
                kept = self._held[: bisect_left(self._times, fresh)]
                self._put([*kept, *self._read(fresh)])
                self._until = self._timer() + FRESH_SECONDS
            return self._held[bisect_left(self._times, since_ns) :]

    def stale(self) -> None:
        """Something was carried out: read anew when next asked."""
        with self._lock:
            self._until = -1.0

    def _put(self, steps: Sequence[Taken]) -> None:
        self._held = sorted(steps, key=attrgetter("time_ns"))
        self._times = [one.time_ns for one in self._held]
