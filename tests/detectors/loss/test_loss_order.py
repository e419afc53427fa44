"""Ranks that repeat each other count once; restarts are told from stragglers; state is bounded."""

import math

import pytest
from loss_job_log import SECOND, Log, steady

from collectors.model import EventKind, Subject, SubjectKind
from detectors.loss import LossDetector
from detectors.loss.detector import FORGET_OPEN_NS, FORGET_QUIET_NS
from detectors.model import FindingKind

NAN = math.nan


@pytest.mark.parametrize("ranks", [["", "", "", ""], ["0", "1", "2", "3"]], ids=["unnamed", "named"])
def test_the_same_step_of_four_ranks_counts_once(warm: Log, ranks: list[str]) -> None:
    step = warm.step
    for rank in ranks:
        warm.time_ns += 1000
        warm.raw({"step": step + 1.0, "loss": NAN, "grad_norm": NAN}, {"rank": rank} if rank else {})
    assert warm.opened() == []


def test_ranks_that_deliver_in_bursts_do_not_look_like_restarts(log: Log) -> None:
    for burst in range(20):
        for _ in range(4):
            for offset in range(10):
                log.time_ns += 10_000_000
                step = burst * 10 + offset
                log.raw({"step": float(step), "loss": 3.0 + 0.1 * (step % 4)})
        log.time_ns += 2 * SECOND
    assert log.detector.ready(log.job)
    assert log.said == []


def test_other_ranks_with_other_figures_do_not_mix_in(log: Log) -> None:
    for step, loss in enumerate(steady(300)):
        log.time_ns += SECOND
        for rank in ("7", "0", "1"):
            figure = loss if rank == "7" else -1.0
            log.raw({"step": float(step), "loss": figure}, {"rank": rank})
    for step in range(300, 310):
        log.time_ns += SECOND
        for rank in ("0", "7", "1"):
            log.raw({"step": float(step), "loss": 9.0 if rank == "7" else -1.0}, {"rank": rank})
    assert log.opened() == [FindingKind.LOSS_DIVERGENCE]


def test_another_rank_is_heard_when_the_first_falls_silent(log: Log) -> None:
    for loss in steady(100):
        log.line(rank="3", loss=loss)
    for _ in range(12):
        log.line(rank="5", loss=NAN)
    assert log.opened() == [FindingKind.LOSS_NAN]


def test_lines_read_twice_count_once(warm: Log) -> None:
    warm.line(loss=NAN)
    for _ in range(5):
        warm.raw({"step": float(warm.step), "loss": NAN})
    assert warm.opened() == []


def test_one_straggling_line_is_no_restart(warm: Log) -> None:
    warm.lines([9.0] * 5)
    warm.time_ns += 60 * SECOND
    warm.raw({"step": 3.0, "loss": 2.0})
    assert warm.cleared() == []


def test_lines_without_step_numbers_all_count(log: Log) -> None:
    for loss in [*steady(50), 9.0, 9.0, 9.0]:
        log.time_ns += SECOND
        log.raw({"loss": loss})
    assert log.opened() == [FindingKind.LOSS_DIVERGENCE]


def test_a_job_silent_for_a_day_is_forgotten_and_says_nothing(warm: Log) -> None:
    assert list(warm.detector.on_time(warm.time_ns + FORGET_QUIET_NS)) == []
    assert len(warm.detector) == 1
    assert list(warm.detector.on_time(warm.time_ns + 2 * FORGET_QUIET_NS)) == []
    assert len(warm.detector) == 0


def test_silence_resolves_nothing_for_a_week(warm: Log) -> None:
    warm.lines([NAN] * 3)
    assert list(warm.detector.on_time(warm.time_ns + FORGET_OPEN_NS)) == []
    said = list(warm.detector.on_time(warm.time_ns + FORGET_OPEN_NS + FORGET_QUIET_NS))
    assert [opinion.kind for opinion in said] == [FindingKind.LOSS_NAN]


def test_jobs_are_bounded_and_the_silent_leave_first() -> None:
    detector = LossDetector(most_jobs=10)
    for number in range(100):
        log = Log(detector, job=Subject("c", SubjectKind.JOB, str(number)), time_ns=number * SECOND)
        log.lines(steady(30))
        assert len(detector) <= 10
    assert detector.ready(Subject("c", SubjectKind.JOB, "99"))
    assert not detector.ready(Subject("c", SubjectKind.JOB, "0"))


def test_ready_only_after_twenty_lines(log: Log) -> None:
    assert not log.detector.ready(log.job)
    log.lines(steady(19))
    assert not log.detector.ready(log.job)
    log.lines(steady(1))
    assert log.detector.ready(log.job)


def test_events_of_other_kinds_and_unknown_jobs_are_passed_over(log: Log) -> None:
    assert log.event(EventKind.XID) == []
    assert log.event(EventKind.CHECKPOINT_RESTORE) == []
    assert len(log.detector) == 0
