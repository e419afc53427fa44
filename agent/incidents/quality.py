"""How good the watch is by the word of people: precision by kind and by rule, with how far it can be trusted."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from agent.store.rows import Judgement, KindCount

Z_95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Quality:
    """One kind's or rule's incidents as people judged them."""

    name: str
    """The kind or the rule; empty where no rule matched."""
    true: int
    false: int
    duplicate: int
    unjudged: int

    @property
    def total(self) -> int:
        """All incidents of the stretch."""
        return self.true + self.false + self.duplicate + self.unjudged

    @property
    def precision(self) -> float | None:
        """True among true and false; None where nobody said either. A duplicate says nothing about being right."""
        judged = self.true + self.false
        return self.true / judged if judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the precision lies with 95 % confidence (Wilson), if those judged are like those not judged."""
        judged = self.true + self.false
        return wilson(self.true, judged) if judged else None

    @property
    def unjudged_share(self) -> float:
        """Share that nobody judged, 0 to 1."""
        return self.unjudged / self.total if self.total else 0.0


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a share, 95 %. Holds for few trials too, where the usual one says 100 % of 3 of 3.

    >>> [round(bound, 3) for bound in wilson(3, 3)]
    [0.438, 1.0]
    >>> [round(bound, 3) for bound in wilson(0, 20)]
    [0.0, 0.161]
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} of {trials} is no share")
    share, z2 = successes / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return low, high


def by_kind(counts: Iterable[KindCount]) -> list[Quality]:
    """By kind, the most incidents first."""
    return _gathered((count.kind, count) for count in counts)


def by_rule(counts: Iterable[KindCount]) -> list[Quality]:
    """By policy rule, the most incidents first; those that no rule matched under an empty name."""
    return _gathered((count.rule, count) for count in counts)


def overall(counts: Iterable[KindCount]) -> Quality:
    """All of them together."""
    together = _gathered(("", count) for count in counts)
    return together[0] if together else Quality("", 0, 0, 0, 0)


def _gathered(named: Iterable[tuple[str, KindCount]]) -> list[Quality]:
    found: dict[str, dict[str | None, int]] = {}
    for name, count in named:
        sums = found.setdefault(name, {})
        sums[count.judgement] = sums.get(count.judgement, 0) + count.count
    made = [
        Quality(
            name,
            sums.get(Judgement.TRUE.value, 0),
            sums.get(Judgement.FALSE.value, 0),
            sums.get(Judgement.DUPLICATE.value, 0),
            sums.get(None, 0),
        )
        for name, sums in found.items()
    ]
    return sorted(made, key=lambda quality: (-quality.total, quality.name))
