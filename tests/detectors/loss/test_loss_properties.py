"""Whatever the log holds: no error, openings and clearings alternate, windows agree with the definition."""

import math
import statistics

from hypothesis import given, settings
from hypothesis import strategies as st
from loss_job_log import SECOND, Log, steady

from collectors.model import EventKind
from detectors.contract import Opening
from detectors.loss.window import RobustWindow

figure = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e300, 3.0, 9.0])
values = st.dictionaries(
    st.sampled_from(["step", "loss", "grad_norm", "loss_scale", "nan_steps", "skipped_steps", "learning_rate"]), figure
)
other = st.sampled_from([EventKind.CHECKPOINT_RESTORE, EventKind.TRAINING_START, EventKind.XID])
happening = st.tuples(values, st.sampled_from(["", "0", "1"])) | other


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(happening, max_size=60))
def test_garbage_raises_nothing_and_no_kind_opens_twice_or_clears_unopened(warm: bool, happenings: list) -> None:
    log = Log().lines(steady(40)) if warm else Log()
    for item in happenings:
        log.time_ns += SECOND
        if isinstance(item, EventKind):
            log.event(item)
        else:
            log.raw(item[0], {"rank": item[1]})
    is_open = set()
    for at, opinion in log.said:
        if isinstance(opinion, Opening):
            assert opinion.kind not in is_open
            assert 0 <= opinion.since_ns <= at
            assert 0 < opinion.confidence <= 1
            is_open.add(opinion.kind)
        else:
            assert opinion.kind in is_open
            is_open.remove(opinion.kind)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 20))
def test_the_window_is_the_median_and_deviation_of_its_last_values(series: list[float], size: int) -> None:
    window = RobustWindow(size)
    for value in series:
        window.add(value)
    held = series[-size:]
    median = statistics.median_low(held)
    deviation = statistics.median_low([abs(value - median) for value in held])
    assert (len(held), median) == (window.count, window.median)
    assert math.isclose(statistics.fmean(held), window.mean, rel_tol=1e-9, abs_tol=1e-6)
    assert window._median_deviation(median) in (deviation, statistics.median_high([abs(v - median) for v in held]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False), max_size=40))
def test_the_window_stays_finite_whatever_is_added(series: list[float]) -> None:
    window = RobustWindow(8)
    for value in series:
        window.add(value)
    assert all(math.isfinite(figure) for figure in (window.median, window.sigma, window.mean))
