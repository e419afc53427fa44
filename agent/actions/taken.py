"""Steps that were carried out, read from the journal at most once a second: guards ask at every decision."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence

from policies.cluster_view import Taken

HORIZON_NS = 31 * 86_400 * 1_000_000_000
"""Guards look back for a week at most by default, and a month at the longest setting."""
FRESH_SECONDS = 1.0


class TakenBook:
    """Give it the journal's `taken`; safe for threads."""

    def __init__(self, read: Callable[[int], Sequence[Taken]], timer: Callable[[], float]) -> None:
        """`timer` gives seconds that only measure."""
        self._read = read
        self._timer = timer
        self._lock = threading.Lock()
        self._until = -1.0
        self._held: Sequence[Taken] = ()
        self._times: list[int] = []
        self._from_ns = 0

    def since(self, since_ns: int) -> Sequence[Taken]:
        """The oldest first. Raises what the store raises."""
        with self._lock:
            if self._timer() >= self._until or since_ns < self._from_ns:
                self._from_ns = min(since_ns, max(0, since_ns - HORIZON_NS // 4))
                self._held = self._read(self._from_ns)
                self._times = [one.time_ns for one in self._held]
                self._until = self._timer() + FRESH_SECONDS
            return self._held[bisect_left(self._times, since_ns) :]

    def stale(self) -> None:
        """Something was carried out: read anew when next asked."""
        with self._lock:
            self._until = -1.0
