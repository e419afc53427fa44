"""The fitted model: pure, finite whatever the rows, and far where the rows never were."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.unusual import UnusualModel, fit_unusual
from detectors.unusual.peers import sorted_median

NAMES = ("a", "b", "c")


def rows(count: int = 2000, seed: int = 1) -> np.ndarray:
    """Two metrics that move together, and one of its own, of very different sizes."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, count)
    return np.stack(
        [300 + 50 * common, 1.5e9 + 1e8 * common + 1e6 * rng.normal(0, 1, count), rng.normal(40, 2, count)], axis=1
    ).astype(np.float32)


def distance(model: UnusualModel, *reading: float) -> float:
    return float(model.distance(model.scaled(np.array(reading, np.float32)[:, None]))[0])


def test_the_same_rows_and_seed_give_the_same_model() -> None:
    first, second = (fit_unusual(rows(), NAMES, 3) for _ in range(2))
    assert np.array_equal(first.precision, second.precision)
    assert first.threshold == second.threshold


def test_a_broken_relation_is_far_though_each_metric_is_in_its_range() -> None:
    model = fit_unusual(rows(), NAMES, 3)
    assert distance(model, 350, 1.6e9, 40) < 1
    assert distance(model, 350, 1.4e9, 40) > 2


def test_the_metrics_that_drive_it_come_first() -> None:
    model = fit_unusual(rows(), NAMES, 3)
    z = model.scaled(np.array([300, 1.5e9, 80], np.float32)[:, None])
    assert model.driving(z[:, 0])[0] == 2


def test_about_one_row_in_a_hundred_lies_beyond_the_threshold() -> None:
    learnt, fresh = rows(20_000), rows(20_000, seed=2)
    model = fit_unusual(learnt, NAMES, 3)
    assert (model.distance(model.scaled(fresh.T)) > 1).mean() < 0.015


def test_constant_and_missing_metrics_say_nothing() -> None:
    data = np.concatenate([rows(), np.full((2000, 1), 7.0), np.full((2000, 1), np.nan)], axis=1).astype(np.float32)
    model = fit_unusual(data, (*NAMES, "constant", "missing"), 3)
    assert model.used.tolist() == [True, True, True, False, False]
    assert distance(model, 300, 1.5e9, 40, 99, 99) < 1


def test_a_subject_with_too_little_is_not_judged() -> None:
    model = fit_unusual(rows(), NAMES, 3)
    nan = np.nan
    values = np.array([[300, 300, nan], [1.5e9, nan, nan], [40, nan, nan]], np.float32)
    assert model.judged(values).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (np.zeros((10, 3), np.float32), NAMES),
        (np.zeros((2000, 2), np.float32), NAMES),
        (np.zeros(5, np.float32), NAMES),
    ],
    ids=["too few", "too narrow", "no table"],
)
def test_rows_that_cannot_be_learnt_from_are_refused(data: np.ndarray, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="rows"):
        fit_unusual(data, names, 3)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (80, 3), elements=st.floats(width=32)))
def test_garbage_gives_a_model_of_finite_numbers(data: np.ndarray) -> None:
    model = fit_unusual(data, NAMES, 3)
    for part in (model.center, model.scale, model.mean, model.precision, np.array(model.threshold)):
        assert np.isfinite(part).all()
    assert np.isfinite(model.distance(model.scaled(data.T))).all()


@settings(max_examples=100, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(0, 7)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.just(np.nan),
    )
)
def test_the_sorted_median_is_the_median_without_nan(values: np.ndarray) -> None:
    found = sorted_median(values)
    for row, median in zip(values.astype(np.float64), found, strict=True):
        held = row[~np.isnan(row)]
        assert np.isnan(median) if not len(held) else np.isclose(median, np.median(held), rtol=1e-5, atol=1e-30)


@pytest.mark.slow
def test_importing_the_detector_does_not_import_scikit_learn() -> None:
    code = "import sys, detectors.unusual; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
