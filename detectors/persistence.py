"""Opening after k bad looks of the last n and clearing after m clean ones: one mechanism for all detectors."""

from dataclasses import dataclass, field

import numpy as np

from detectors.frame import Bools, Ints, grown


@dataclass(slots=True)
class Persistence:
    """Vectorised over columns. A look is bad, clean, or unknown (which neither opens nor clears).

    Example: k=3, n=4 opens at the third bad look of any four running, and forgives one clean look among them.
    """

    k: int
    n: int
    m: int
    hold_s: float = 0.0
    """Seconds that must lie between the first bad look and the one that opens."""
    _history: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """The last n known looks, a bit each, the newest lowest."""
    _clean: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _since_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _open: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= 62 or self.m < 1:
            raise ValueError(f"persistence needs 1 <= k <= n <= 62 and m >= 1, not k={self.k} n={self.n} m={self.m}")

    def look(self, cols: Ints, bad: Bools, known: Bools, times_ns: Ints) -> tuple[Ints, Ints]:
        """Take in one look at some columns; positions (into `cols`) that open now, and positions that clear now."""
        self._grow(int(cols.max()) + 1 if len(cols) else 0)
        bad = bad & known
        mask = (1 << self.n) - 1
        history = self._history[cols]
        fresh = bad & (history == 0)
        since = np.where(fresh, times_ns, self._since_ns[cols])
        history = np.where(known, ((history << 1) | bad) & mask, history)
        clean = np.where(bad, 0, np.where(known, self._clean[cols] + 1, self._clean[cols]))
        was = self._open[cols]
        held = (times_ns - since) >= self.hold_s * 1e9
        opens = ~was & bad & held & (np.bitwise_count(history) >= self.k)
        clears = was & (clean >= self.m)
        self._history[cols] = np.where(clears, 0, history)
        self._clean[cols] = clean
        self._since_ns[cols] = since
        self._open[cols] = (was | opens) & ~clears
        return np.flatnonzero(opens), np.flatnonzero(clears)

    def since_ns(self, cols: Ints) -> Ints:
        """Time of the first bad look of the run that is in hand."""
        since: Ints = self._since_ns[cols]
        return since

    def adopt(self, cols: Ints) -> None:
        """These are open already, opened by an agent before its restart: they clear after m clean looks like any."""
        self._grow(int(cols.max()) + 1 if len(cols) else 0)
        self._open[cols] = True
        self._clean[cols] = 0

    def is_open(self, cols: Ints) -> Bools:
        """Which columns are open now."""
        self._grow(int(cols.max()) + 1 if len(cols) else 0)
        state: Bools = self._open[cols]
        return state

    def forget(self, cols: Ints) -> None:
        """Start anew: the job ended, the card was reset."""
        self._grow(int(cols.max()) + 1 if len(cols) else 0)
        for array in (self._history, self._clean, self._since_ns):
            array[cols] = 0
        self._open[cols] = False

    def _grow(self, size: int) -> None:
        self._history = grown(self._history, size, 0)  # type: ignore[assignment]  # dtype is kept
        self._clean = grown(self._clean, size, 0)  # type: ignore[assignment]
        self._since_ns = grown(self._since_ns, size, 0)  # type: ignore[assignment]
        self._open = grown(self._open, size, 0)  # type: ignore[assignment]
