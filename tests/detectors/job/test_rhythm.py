"""A job's rhythm by its own log: the usual gap, what was announced and for how long it excuses."""

import pytest
from simulated_fleet import JOB, NS, T0, event

from collectors.model import EventKind
from detectors.job.rhythm import EVALUATION_LIMIT_S, SAVE_LIMIT_S, Rhythm

STEP = EventKind.TRAINING_STEP


class Log:
    """Writes a job's log and reads it at once."""

    def __init__(self) -> None:
        self.rhythm = Rhythm(JOB)
        self.now_s = 0.0
        self.step = 0

    def steps(self, count: int, gap_s: float = 0.5, *, by: int = 1, quiet: bool = True, **values: float) -> "Log":
        for _ in range(count):
            self.now_s += gap_s
            self.step += by
            self.say(STEP, quiet=quiet, step=float(self.step), **values)
        return self

    def say(self, kind: EventKind, *, quiet: bool = True, **values: float) -> "Log":
        self.rhythm.on_event(event(kind, time_ns=self.now_ns, **values), quiet=quiet)
        return self

    def wait(self, seconds: float) -> "Log":
        self.now_s += seconds
        return self

    @property
    def now_ns(self) -> int:
        return T0 + round(self.now_s * NS)

    @property
    def excuse(self) -> str:
        return self.rhythm.excuse(self.now_ns)


def test_the_usual_gap_is_known_after_a_few_lines_and_not_before() -> None:
    log = Log().steps(8)
    assert log.rhythm.usual_gap_s is None
    assert log.steps(4).rhythm.usual_gap_s == pytest.approx(0.5)


def test_one_long_pause_does_not_become_the_habit() -> None:
    log = Log().steps(30).wait(60).steps(30)
    assert log.rhythm.usual_gap_s == pytest.approx(0.5)


def test_what_happens_while_something_is_open_does_not_become_the_habit() -> None:
    log = Log().steps(30).steps(60, 1.2, quiet=False)
    assert log.rhythm.usual_gap_s == pytest.approx(0.5)


def test_a_log_of_every_tenth_step_has_a_usual_number_of_steps() -> None:
    assert Log().steps(30, 5.0, by=10).rhythm.usual_steps == 10


@pytest.mark.parametrize(
    ("kind", "limit_s"),
    [
        (EventKind.CHECKPOINT_START, SAVE_LIMIT_S),
        (EventKind.CHECKPOINT_RESTORE, SAVE_LIMIT_S),
        (EventKind.TRAINING_START, EVALUATION_LIMIT_S),
        (EventKind.EVALUATION_START, EVALUATION_LIMIT_S),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_an_announcement_excuses_until_its_limit(kind: EventKind, limit_s: float) -> None:
    log = Log().steps(20).say(kind).wait(limit_s)
    assert log.excuse == kind.value
    assert log.wait(1).excuse == ""


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (EventKind.CHECKPOINT_START, EventKind.CHECKPOINT_END),
        (EventKind.EVALUATION_START, EventKind.EVALUATION_END),
        (EventKind.CHECKPOINT_START, STEP),
        (EventKind.EVALUATION_START, STEP),
        (EventKind.TRAINING_START, STEP),
    ],
    ids=["save-end", "evaluation-end", "a-step-after-a-save", "a-step-after-an-evaluation", "the-first-step"],
)
def test_an_announcement_is_over_when_the_log_says_so(start: EventKind, end: EventKind) -> None:
    log = Log().steps(20).say(start).wait(3)
    log.say(end, step=21.0) if end is STEP else log.say(end)
    assert log.excuse == ""
    assert log.rhythm.announced_end_ns == log.now_ns


def test_the_end_of_one_thing_does_not_end_another() -> None:
    log = Log().steps(20).say(EventKind.EVALUATION_START).wait(3).say(EventKind.CHECKPOINT_END)
    assert log.excuse == "evaluation_start"


def test_once_saves_are_known_three_times_the_longest_is_the_limit() -> None:
    log = Log().steps(20).say(EventKind.CHECKPOINT_START).wait(30).say(EventKind.CHECKPOINT_END).steps(5)
    log.say(EventKind.CHECKPOINT_START).wait(90)
    assert log.excuse == "checkpoint_start"
    assert log.wait(1).excuse == ""


def test_a_pause_that_was_announced_is_no_gap() -> None:
    log = Log().steps(20).say(EventKind.CHECKPOINT_START).wait(30).steps(2)
    assert max(gap.seconds for gap in log.rhythm.gaps) < 1


def test_steps_going_back_after_a_restart_are_no_gap_and_go_on() -> None:
    log = Log().steps(30)
    log.wait(60).step = 10
    log.steps(10)
    assert log.rhythm.last_step == 20
    assert max(gap.seconds for gap in log.rhythm.gaps) < 1


def test_several_ranks_that_print_one_step_are_one_line() -> None:
    log = Log()
    for _ in range(20):
        log.steps(1)
        for _ in range(3):
            log.wait(0.02).say(STEP, step=float(log.step))
    assert log.rhythm.usual_gap_s == pytest.approx(0.56, abs=0.01)


def test_lines_written_at_once_are_one_gap() -> None:
    log = Log()
    for _ in range(20):
        log.wait(5).steps(1, 0.0).steps(9, 0.0001)
    assert log.rhythm.usual_gap_s == pytest.approx(5, abs=0.1)
    assert min(gap.seconds for gap in list(log.rhythm.gaps)[1:]) > 4


def test_a_line_older_than_the_last_is_passed_over() -> None:
    log = Log().steps(20)
    log.rhythm.on_event(event(STEP, time_ns=T0, step=99.0), quiet=True)
    assert log.rhythm.last_step == 20


def test_every_step_slower_than_its_habit_for_long_enough_is_a_slowdown_since_the_first() -> None:
    log = Log().steps(40)
    began_ns = log.now_ns
    log.steps(20, 0.8, quiet=False)
    assert log.rhythm.slowed_since_ns(log.now_ns) == began_ns


@pytest.mark.parametrize(
    ("gaps", "gap_s"), [(20, 0.7), (4, 5.0), (10, 0.8)], ids=["under-1.5-times", "too-few", "too-short"]
)
def test_just_short_of_a_slowdown_is_none(gaps: int, gap_s: float) -> None:
    log = Log().steps(40).steps(gaps, gap_s, quiet=False)
    assert log.rhythm.slowed_since_ns(log.now_ns) == 0


def test_one_quick_step_between_slow_ones_is_no_slowdown() -> None:
    log = Log().steps(40).steps(20, 0.8, quiet=False).steps(1, 0.5, quiet=False)
    assert log.rhythm.slowed_since_ns(log.now_ns) == 0


def test_the_share_of_waiting_for_data_is_weighted_by_the_steps_a_line_stands_for() -> None:
    log = Log().steps(10, 5.0, by=10, data_wait_seconds=0.2)
    assert log.rhythm.data_share(T0) == pytest.approx(0.4, abs=0.05)


def test_a_log_that_says_nothing_of_its_data_has_no_share() -> None:
    assert Log().steps(10).rhythm.data_share(T0) is None


def test_a_crash_is_over_with_the_next_step() -> None:
    log = Log().steps(5)
    log.rhythm.crashed_ns = 1
    assert log.steps(1).rhythm.crashed_ns == 0
