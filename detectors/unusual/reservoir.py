"""A bounded sample of what the fleet has read, to learn from."""

import numpy as np

from detectors.unusual.model import Floats


class Reservoir:
    """Rows of readings, float32, (capacity, F) at most; when full, a new row replaces a random one: old ones fade."""

    def __init__(self, capacity: int, width: int, seed: int) -> None:
        self._rows = np.empty((capacity, width), np.float32)
        self._random = np.random.default_rng(seed)
        self.count = 0

    def offer(self, rows: Floats) -> None:
        """Take in rows (N, F), fewer than its capacity."""
        room = min(len(self._rows) - self.count, len(rows))
        self._rows[self.count : self.count + room] = rows[:room]
        self.count += room
        rest = rows[room:]
        if len(rest):
            self._rows[self._random.choice(len(self._rows), len(rest), replace=False)] = rest

    def rows(self) -> Floats:
        """A copy of what it holds, shape (count, F): safe to hand to a worker."""
        return self._rows[: self.count].copy()
