"""Failed logins are counted per address, so that guessing is slow and the log stays readable."""

from collections import OrderedDict
from collections.abc import Callable

_NANOSECONDS = 1_000_000_000
_MOST_ADDRESSES = 10_000


class FailedAttempts:
    """A bucket per address: `per_minute` failures at once, refilled evenly over a minute.

    A valid credential is never turned away by it. Behind a port-forward, a proxy or a NAT everybody shares one
    address, and a limit that shut out the rightful would be a lever for the rest; what it protects are random tokens
    of 128 bits or more, which no rate of guessing finds.
    """

    def __init__(self, clock: Callable[[], int], per_minute: int = 10) -> None:
        """`clock` gives Unix ns."""
        self._clock = clock
        self._full = per_minute
        self._per_ns = per_minute / (60 * _NANOSECONDS)
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.failures = 0

    def fail(self, address: str) -> int:
        """Note a failure; the seconds to wait where there were too many, else 0."""
        self.failures += 1
        now = self._clock()
        left, at = self._buckets.pop(address, (float(self._full), now))
        left = min(float(self._full), left + max(0, now - at) * self._per_ns)
        allowed = left >= 1.0
        self._buckets[address] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, round((1.0 - left) / self._per_ns / _NANOSECONDS))
