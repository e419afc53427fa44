"""loss_nan opens on broken figures that last, not on a skipped fp16 step."""

import math

import pytest
from loss_job_log import SECOND, Log, steady

from collectors.model import EventKind
from detectors.model import FindingKind, Severity

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("figures", "lines"),
    [
        pytest.param({"loss": NAN, "grad_norm": NAN}, 2, id="both NaN"),
        pytest.param({"loss": INF, "grad_norm": -INF}, 2, id="both infinite"),
        pytest.param({"loss": 0.0, "grad_norm": NAN}, 2, id="masked by Hugging Face"),
        pytest.param({"loss": 3.0, "nan_steps": 4.0}, 2, id="counted by Megatron"),
        pytest.param({"loss": NAN}, 3, id="loss alone"),
        pytest.param({"loss": NAN, "grad_norm": 1.0}, 3, id="loss beside a sound norm"),
        pytest.param({"loss": 3.0, "grad_norm": NAN}, 3, id="norm alone"),
    ],
)
def test_opens_after_so_many_broken_lines_and_not_before(warm: Log, figures: dict[str, float], lines: int) -> None:
    for _ in range(lines - 1):
        assert warm.line(**figures) == []
    said = warm.line(**figures)
    assert [opinion.kind for opinion in said] == [FindingKind.LOSS_NAN]
    opening = warm.opening(FindingKind.LOSS_NAN)
    assert warm.time_ns - (lines - 1) * SECOND == opening.since_ns
    assert Severity.CRITICAL is opening.severity
    assert f"step {warm.step}" in opening.summary
    assert [evidence.source for evidence in opening.evidence] == ["training_log"]


def test_opens_without_any_history(log: Log) -> None:
    log.line(loss=NAN, grad_norm=NAN)
    log.line(loss=NAN, grad_norm=NAN)
    assert log.opened() == [FindingKind.LOSS_NAN]


def test_a_single_skipped_fp16_step_now_and_then_is_no_nan(warm: Log) -> None:
    for _ in range(50):
        warm.line(loss=3.0, grad_norm=NAN)
        warm.lines(steady(3))
    assert warm.opened() == []


def test_the_search_for_a_loss_scale_at_the_start_is_no_nan(log: Log) -> None:
    for _ in range(12):
        log.line(loss=10.0, grad_norm=INF)
    log.lines(steady(30, 9.0))
    assert log.opened() == []


def test_gradients_broken_since_the_start_open_in_the_end(log: Log) -> None:
    for _ in range(20):
        log.line(loss=10.0, grad_norm=NAN)
    assert log.opened() == [FindingKind.LOSS_NAN]


def test_a_line_without_figures_neither_breaks_nor_heals(warm: Log) -> None:
    warm.line(loss=NAN, grad_norm=NAN)
    warm.line(loss_scale=1024.0)
    warm.line(loss=NAN, grad_norm=NAN)
    assert warm.opened() == [FindingKind.LOSS_NAN]


def test_a_loss_of_exactly_zero_names_both_causes(warm: Log) -> None:
    for _ in range(5):
        warm.line(loss=0.0, grad_norm=1.4142)
    opening = warm.opening(FindingKind.LOSS_NAN)
    assert Severity.WARNING is opening.severity
    assert "NaN that the trainer hides, or labels or data" in opening.summary


def test_a_loss_around_zero_may_be_zero(log: Log) -> None:
    for _ in range(200):
        log.line(loss=0.0, grad_norm=0.1)
    assert log.opened() == []


def test_clears_after_five_sound_lines(warm: Log) -> None:
    warm.lines([NAN] * 4, None)
    warm.lines([3.0] * 4)
    assert warm.cleared() == []
    warm.lines([3.0])
    assert "finite again" in warm.clearing(FindingKind.LOSS_NAN).because


def test_a_restore_clears_at_once(warm: Log) -> None:
    warm.lines([NAN] * 4, None)
    warm.event(EventKind.CHECKPOINT_RESTORE)
    assert warm.clearing(FindingKind.LOSS_NAN).because == "the job was restored from a checkpoint"
    assert not warm.detector.ready(warm.job)


def test_spikes_are_silent_while_it_is_open(warm: Log) -> None:
    warm.lines([NAN] * 3, None)
    for _ in range(10):
        warm.line(loss=NAN, grad_norm=500.0)
    assert warm.opened() == [FindingKind.LOSS_NAN]
