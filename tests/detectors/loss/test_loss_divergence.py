"""loss_divergence opens on a loss that leaves its course for good, and on nothing milder."""

import random

import pytest
from loss_job_log import SECOND, Log, steady

from collectors.model import EventKind
from detectors.model import FindingKind, Severity

DIVERGENCE = FindingKind.LOSS_DIVERGENCE


@pytest.mark.parametrize("stride", [1, 10, 40])
def test_a_tripled_loss_opens_on_the_third_line(stride: int) -> None:
    log = Log(stride=stride).lines(steady(60))
    first = log.time_ns + SECOND
    log.lines([9.0, 9.5, 9.2])
    opening = log.opening(DIVERGENCE)
    assert log.opened() == [DIVERGENCE]
    assert (first, Severity.CRITICAL) == (opening.since_ns, opening.severity)
    assert "3.1x its median of 3" in opening.summary


def test_a_lesser_rise_opens_together_with_the_gradient_norm(warm: Log) -> None:
    warm.lines([4.5, 4.6, 4.7], grad_norm=4.0)
    assert DIVERGENCE in warm.opened()


def test_a_resume_that_rises_1_8_fold_is_none(warm: Log) -> None:
    warm.lines([5.4, 5.0, 4.5, 4.0, 3.6, 3.3], grad_norm=1.9)
    assert DIVERGENCE not in warm.opened()


def test_a_plateau_does_not_become_normal(warm: Log) -> None:
    warm.lines(steady(2000, 9.0))
    assert warm.opened() == [DIVERGENCE]
    assert warm.cleared() == []


def test_it_clears_when_the_loss_is_back_for_ten_lines(warm: Log) -> None:
    warm.lines([9.0] * 5).lines(steady(9))
    assert warm.cleared() == []
    warm.lines(steady(1))
    assert "back near its median" in warm.clearing(DIVERGENCE).because


def test_the_steep_fall_of_the_first_lines_opens_nothing(log: Log) -> None:
    rng = random.Random(3)
    losses = (2.5 + 8.5 * 0.97**number + rng.gauss(0, 0.08) for number in range(1000))
    log.lines(losses, grad_norm=2.0)
    assert log.opened() == []


def test_a_drift_too_slow_for_the_window_opens(log: Log) -> None:
    log.lines(steady(400, 2.0)).lines(2.0 * (1 + number / 2000) + 0.05 * (number % 3) for number in range(2600))
    opening = log.opening(DIVERGENCE)
    assert "drifted upwards" in opening.summary
    assert Severity.WARNING is opening.severity


def test_a_step_number_that_goes_back_is_a_restart(warm: Log) -> None:
    warm.lines([9.0] * 5)
    warm.step = 100
    warm.lines(steady(2))
    assert "went back to step 102" in warm.clearing(DIVERGENCE).because
    warm.lines(steady(60, 5.0))
    assert warm.opened() == [DIVERGENCE]


@pytest.mark.parametrize("kind", [EventKind.CHECKPOINT_RESTORE, EventKind.TRAINING_START, EventKind.TRAINING_END])
def test_a_new_beginning_clears_and_empties_the_window(warm: Log, kind: EventKind) -> None:
    warm.lines([9.0] * 5)
    warm.event(kind)
    assert warm.cleared() == [DIVERGENCE]
    warm.lines(steady(100, 7.0))
    assert warm.opened() == [DIVERGENCE]


def test_a_loss_scale_that_halves_three_times_opens(log: Log) -> None:
    for number in range(60):
        log.line(loss=3.0 + 0.1 * (number % 4), grad_norm=1.0, loss_scale=65536.0)
    for scale in (32768.0, 16384.0, 8192.0):
        log.line(loss=3.1, grad_norm=1.0, loss_scale=scale)
    opening = log.opening(DIVERGENCE)
    assert "fallen from 65536 to 8192" in opening.summary


@pytest.mark.parametrize(
    "scales",
    [
        pytest.param([1.0] * 200, id="bf16"),
        pytest.param([2.0**16 / 2 ** min(number, 12) for number in range(200)], id="first search"),
        pytest.param([2.0**16 / (1 + (number // 25) % 2) for number in range(200)], id="saw-tooth"),
    ],
)
def test_a_loss_scale_in_its_normal_life_opens_nothing(log: Log, scales: list[float]) -> None:
    for number, scale in enumerate(scales):
        log.line(loss=3.0 + 0.1 * (number % 4), grad_norm=1.0, loss_scale=scale)
    assert log.opened() == []


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(lambda rng: rng.gauss(3, 0.1), id="normal"),
        pytest.param(lambda rng: rng.expovariate(1), id="exponential"),
        pytest.param(lambda rng: rng.gauss(0, 1), id="around zero, as in RL"),
        pytest.param(lambda rng: 3 + 0.1 * rng.gauss(0, 1) / max(0.2, rng.gammavariate(1.5, 0.7)), id="heavy tails"),
    ],
)
def test_noise_alone_opens_nothing(log: Log, noise: object) -> None:
    rng = random.Random(11)
    for _ in range(10_000):
        log.line(loss=noise(rng), grad_norm=rng.lognormvariate(0, 0.4))  # type: ignore[operator] # a lambda
    assert log.opened() == []
