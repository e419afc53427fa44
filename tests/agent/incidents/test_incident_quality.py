"""Precision by the word of people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.incidents.quality import by_kind, by_rule, overall, wilson
from agent.store.rows import KindCount

COUNTS = [
    KindCount("xid", "gpu-lost", "true", 8),
    KindCount("xid", "gpu-lost", "false", 2),
    KindCount("xid", "", None, 5),
    KindCount("straggler", "", "duplicate", 3),
    KindCount("straggler", "", None, 1),
]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        pytest.param(8, 10, 0.4902, 0.9433, id="8 of 10"),
        pytest.param(0, 10, 0.0, 0.2775, id="0 of 10"),
        pytest.param(10, 10, 0.7225, 1.0, id="10 of 10"),
        pytest.param(1, 1, 0.2065, 1.0, id="1 of 1"),
        pytest.param(50, 100, 0.4038, 0.5962, id="50 of 100"),
    ],
)
def test_wilsons_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    """Known figures of the formula."""
    assert (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)) == wilson(successes, trials)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_has_no_interval(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(successes, trials)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_lies_between_nought_and_one(case: tuple[int, int]) -> None:
    low, high = wilson(*case)

    assert 0 <= low <= case[0] / case[1] <= high <= 1


def test_precision_counts_true_among_true_and_false_and_leaves_duplicates_out() -> None:
    xid, straggler = by_kind(COUNTS)

    assert (xid.name, xid.total, xid.precision, xid.unjudged_share) == ("xid", 15, 0.8, 5 / 15)
    assert (straggler.name, straggler.total, straggler.precision, straggler.interval) == ("straggler", 4, None, None)


def test_rules_are_counted_with_those_that_none_matched_under_an_empty_name() -> None:
    assert [(one.name, one.total) for one in by_rule(COUNTS)] == [("gpu-lost", 10), ("", 9)]


def test_all_together_is_the_sum() -> None:
    assert (overall(COUNTS).total, overall(COUNTS).unjudged) == (19, 6)
    assert (overall([]).total, overall([]).unjudged_share) == (0, 0.0)
