"""How much a count can say."""

import math


def most_events(seen: int, confidence: float = 0.95) -> float:
    """The largest mean of a Poisson count that is still compatible with so few events.

    For none it is -ln 0.05 = 3.0: the rule of three.

    >>> round(most_events(0), 2), round(most_events(1), 2), round(most_events(10), 2)
    (3.0, 4.74, 16.96)
    """
    low, high = float(seen), 3.0 * seen + 20.0
    for _ in range(100):
        middle = (low + high) / 2
        if _at_most(seen, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(seen: int, mean: float) -> float:
    """Chance of at most so many events."""
    logs = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(seen + 1))
    return sum(math.exp(one) for one in logs) if mean > 0 else 1.0


def percentile(values: list[float], share: float) -> float | None:
    """The value below which a share of them lies, by the nearest rank; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
