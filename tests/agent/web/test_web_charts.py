from hypothesis import given
from hypothesis import strategies as st

from agent.web.charts import GAP_NS, MOST_POINTS, bounds, stretches, thinned

POINTS = st.lists(st.tuples(st.integers(0, 2**62), st.floats(-1e9, 1e9)), min_size=1, max_size=2_000).map(sorted)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_an_axis_holds_what_it_shows(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    bottom, top = bounds(low, high)

    slack = 1e-9 * max(1.0, abs(low), abs(high))
    assert bottom <= low + slack
    assert top >= high - slack
    assert top > bottom


def test_an_axis_begins_at_zero_where_that_wastes_little_and_near_the_values_else() -> None:
    assert bounds(169.2, 693.0) == (0.0, 700.0)
    assert bounds(1_810.0, 1_980.0) == (1_800.0, 2_000.0)
    assert bounds(0.0, 0.0) == (0.0, 1.0)


@given(POINTS)
def test_thinning_keeps_order_and_both_extremes(points: list[tuple[int, float]]) -> None:
    kept = thinned(points)
    values = [value for _, value in points]

    assert len(kept) <= MOST_POINTS + 2
    assert sorted(kept) == kept
    assert {min(values), max(values)} <= {value for _, value in kept}


def test_a_pause_is_not_drawn_as_a_line() -> None:
    points = [(0, 1.0), (1, 1.0), (2 + GAP_NS, 2.0), (3 + GAP_NS, 2.0), (9 * GAP_NS, 3.0)]

    assert stretches(points) == [points[:2], points[2:4]]
