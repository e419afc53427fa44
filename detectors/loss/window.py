"""The habit of one series: median and spread of its last values, exact, a few microseconds an update."""

from array import array
from bisect import bisect_left, insort

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""
Q90_TO_SIGMA = 1.2816
"""Distance from median to 90th percentile of a normal distribution, in standard deviations."""
SKEWED = 1.4
"""Upper tail over MAD from which a series counts as skewed: 1 for normal noise, 1.8 for exponential noise."""
LARGEST = 1e30
"""Values are held within +-LARGEST, so that sums and differences stay finite; a loss of 1e25 has been seen in a real
log."""


class RobustWindow:
    """The last `size` finite values of a series, in order of arrival and sorted, 16 bytes a value.

    Median, spread and mean are of the values held, in the unit of the series. All are 0.0 while it is empty.
    """

    __slots__ = ("_next", "_ring", "_sorted", "count", "median", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.empty()

    def empty(self) -> None:
        """Forget every value."""
        self._ring = array("d")
        self._sorted = array("d")
        self._next = 0
        self.count = 0
        """How many values are held."""
        self.median = 0.0
        """Of an even count the lower of the two middle values: a value that was really seen."""

    def add(self, value: float) -> None:
        """Take in one finite value; the oldest leaves when the window is full."""
        if not -LARGEST <= value <= LARGEST:
            value = LARGEST if value > 0 else -LARGEST
        if self.count < self.size:
            self._ring.append(value)
            self.count += 1
        else:
            old = self._ring[self._next]
            self._sorted.pop(bisect_left(self._sorted, old))
            self._ring[self._next] = value
            self._next = (self._next + 1) % self.size
        insort(self._sorted, value)
        self.median = self._sorted[(self.count - 1) // 2]

    @property
    def mean(self) -> float:
        """Arithmetic mean, summed anew: a running sum would keep the rounding error of a huge value that has left."""
        return sum(self._ring) / self.count if self.count else 0.0

    @property
    def sigma(self) -> float:
        """A standard deviation, from the median absolute deviation, or from the upper tail where that is far longer.

        Rises are judged, so a series with a long upper tail (diffusion, small batches, one rank's own loss) must be
        given its tail: with the MAD alone 3 of 5 lines above 4 sigma would happen 2 times in 10,000 exponential ones.
        """
        count = self.count
        if count < 2:
            return 0.0
        middle = MAD_TO_SIGMA * self._median_deviation(self.median)
        tail = (self._sorted[(count * 9) // 10] - self.median) / Q90_TO_SIGMA
        return tail if tail > SKEWED * middle else middle

    def _median_deviation(self, median: float) -> float:
        """The median of |value - median|, by bisection: deviations to the left and right are sorted already."""
        values = self._sorted
        count = len(values)
        middle = (count - 1) // 2  # values[middle] is the median
        wanted = (count + 1) // 2  # how many values lie within the median deviation
        # Take `right` values from the right of the middle and the rest from its left, the median itself included:
        # the widest of the cheapest such choice is the deviation.
        low, high = max(0, wanted - 1 - middle), min(wanted - 1, count - 1 - middle)
        while low < high:
            right = (low + high) // 2
            left = wanted - 1 - right
            # one more from the right is right as long as it is nearer than the furthest on the left
            if values[middle + right + 1] - median < median - values[middle - left]:
                low = right + 1
            else:
                high = right
        left = wanted - 1 - low
        return max(values[middle + low] - median, median - values[middle - left])
