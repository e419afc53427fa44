"""A job's own best: the median step time of its best sustained stretch."""

from statistics import median

import msgspec

BLOCK_GAPS = 8
BLOCK_NS = 10 * 10**9
"""A stretch is sustained that has at least eight step lines (as `detectors.job.rhythm` learns from) and ten seconds: a
burst of prefetched batches after a stall lasts neither."""
MOST_GAPS = 256


class Pace(msgspec.Struct):
    """Learns from the gaps between step lines, block by block."""

    best_ns: int | None = None
    """Nanoseconds a step at the job's best; None before the first block."""
    usual_ns: int | None = None
    """Nanoseconds between two step lines in the newest block."""
    gaps: list[tuple[int, int]] = []
    """Of the block under way: nanoseconds, steps."""
    length_ns: int = 0

    def learn(self, gap_ns: int, steps: int, *, quiet: bool) -> bool:
        """One gap between two step lines; whether the best has changed.

        `quiet`: nothing is wrong that anybody knows of, so the gaps may become the usual ones. The best needs no such
        word: what is slow never is the best.
        """
        self.gaps.append((gap_ns, steps))
        self.length_ns += gap_ns
        if len(self.gaps) < BLOCK_GAPS or self.length_ns < BLOCK_NS:
            if len(self.gaps) >= MOST_GAPS:  # very short steps: two and two together
                pairs = zip(self.gaps[::2], self.gaps[1::2], strict=True)
                self.gaps = [(one[0] + two[0], one[1] + two[1]) for one, two in pairs]
            return False
        a_step = max(1, int(median(gap / steps for gap, steps in self.gaps)))
        if quiet or self.usual_ns is None:
            self.usual_ns = max(1, int(median(gap for gap, _ in self.gaps)))
        self.gaps, self.length_ns = [], 0
        if self.best_ns is not None and a_step >= self.best_ns:
            return False
        self.best_ns = a_step
        return True
