"""loss_spike and grad_norm_spike need lines that agree, and give way to what is graver."""

import pytest
from loss_job_log import Log, steady

from detectors.model import FindingKind

SPIKE, GRAD, DIVERGENCE = FindingKind.LOSS_SPIKE, FindingKind.GRAD_NORM_SPIKE, FindingKind.LOSS_DIVERGENCE


def test_four_raised_lines_open_and_five_good_ones_clear(warm: Log) -> None:
    warm.lines([4.2] * 4).lines(steady(4))
    assert (warm.opened(), warm.cleared()) == ([SPIKE], [])
    warm.lines(steady(1))
    assert warm.cleared() == [SPIKE]


def test_two_lines_open_it_together_with_the_gradient_norm(warm: Log) -> None:
    warm.lines([4.2] * 2, grad_norm=3.5)
    assert warm.opened() == [SPIKE]


@pytest.mark.parametrize("lone", [5.7, 20.0, 1e25])
def test_a_lone_outlier_however_high_opens_nothing(warm: Log, lone: float) -> None:
    for _ in range(20):
        warm.lines([lone]).lines(steady(30))
    assert warm.opened() == []


def test_a_new_level_is_learnt_after_a_window(warm: Log) -> None:
    warm.lines(steady(140, 4.2))
    assert "new level" in warm.clearing(SPIKE).because
    warm.lines(steady(300, 4.2))
    assert warm.opened() == [SPIKE]


def test_it_clears_into_a_divergence(warm: Log) -> None:
    warm.lines([4.2] * 4).lines([9.0] * 4)
    assert warm.opened() == [SPIKE, DIVERGENCE]
    assert "graver" in warm.clearing(SPIKE).because


def test_the_norms_of_a_published_176b_run_open_before_the_loss_peaks(log: Log) -> None:
    """BigScience's run: the norm leaves its habit at 31,214, the loss peaks at 31,219."""
    log.lines((2.3 + 0.05 * (number % 5) for number in range(300)), grad_norm=0.2)
    norms = [0.242, 0.947, 2.390, 15.9, 145.0, 960.0]
    said = [
        [opinion.kind for opinion in log.line(loss=loss, grad_norm=norm)]
        for norm, loss in zip(norms, [2.3, 2.4, 2.2, 2.5, 2.6, 5.098], strict=True)
    ]
    assert said == [[], [], [], [], [GRAD], []]


def test_a_gradient_norm_that_settles_is_learnt(warm: Log) -> None:
    warm.lines(steady(140), grad_norm=8.0)
    assert "new level" in warm.clearing(GRAD).because


def test_a_norm_that_is_logged_as_zero_says_nothing(log: Log) -> None:
    log.lines(steady(200), grad_norm=0.0)
    log.lines(steady(20), grad_norm=50.0)
    assert log.opened() == []


def test_three_high_lines_among_five_come_by_chance_and_are_nothing(warm: Log) -> None:
    """As met on simulated logs with the tails of real ones: 2.81, 2.85, 2.81 around 2.65 with 0.04 of noise."""
    for _ in range(20):
        warm.lines([4.2] * 3).lines(steady(40))
    assert warm.opened() == []
