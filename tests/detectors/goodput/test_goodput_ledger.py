"""The ledger adds up to the nanosecond, whatever it is told, and puts time where it belongs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.model import Origin, Subject, SubjectKind
from detectors.goodput.cause import BLAMES, Cause
from detectors.goodput.ledger import ANNOUNCED, LOOK_BACK_NS, Ledger
from detectors.goodput.stretch import Base
from detectors.model import Finding, FindingKind, Severity

S = 10**9
T0 = 1_795_000_000 * S
JOB = Subject("c", SubjectKind.JOB, "j")


def finding(
    kind: FindingKind, since_ns: int, opened_ns: int, cleared_ns: int | None = None, id_: str = "F-1"
) -> Finding:
    return Finding(id_, kind, JOB, Severity.CRITICAL, opened_ns, since_ns, 0.9, "s", Origin.LIVE, cleared_ns=cleared_ns)


def stepping(ledger: Ledger, from_s: float, steps: int, gap_s: float, first: int = 0, waited_s: float = 0.0) -> float:
    """So many steps, one every `gap_s`; the time of the last, seconds after T0."""
    at = from_s
    for number in range(steps):
        at = from_s + (number + 1) * gap_s
        ledger.advance(T0 + round(at * S))
        ledger.step(first + number + 1, T0 + round(at * S), round(waited_s * S))
    return at


def seconds(ledger: Ledger) -> dict[str, float]:
    return {
        cause.value: pytest.approx(ns / S, abs=0.3) for cause, ns in ledger.account().wall_ns.items() if ns > 0.25 * S
    }


def started(gpus: int | None = 8) -> Ledger:
    ledger = Ledger(T0)
    ledger.has_gpus(gpus, T0)
    return ledger


# ---- it adds up

times = st.integers(-30 * S, 1_500 * S)
kinds = st.sampled_from([*BLAMES, FindingKind.LOSS_NAN])
acts = st.one_of(
    st.tuples(st.just("step"), st.none() | st.integers(-5, 500), times, st.integers(0, 20 * S)),
    st.tuples(st.just("announce"), st.sampled_from(sorted(ANNOUNCED)), times, st.none() | times),
    st.tuples(st.just("over"), st.sampled_from(sorted(ANNOUNCED)), times, st.none() | times),
    st.tuples(st.just("turn"), st.sampled_from(list(Base)), times),
    st.tuples(st.just("gpus"), st.none() | st.integers(0, 1024), times),
    st.tuples(st.just("claim"), kinds, st.integers(0, 4), times, times, st.none() | times),
    st.tuples(st.just("advance"), st.integers(0, 700 * S)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(acts, max_size=60), st.booleans())
def test_every_nanosecond_of_every_gpu_has_exactly_one_cause(told: list[tuple], ends: bool) -> None:
    """Whatever comes in whatever order: the parts add up to the length, and to the integral of the GPUs over it."""
    ledger = Ledger(T0, peak_step=100)
    now = T0
    for what, *rest in told:
        if what == "advance":
            now += rest[0]
            ledger.advance(now)
        elif what == "step":
            ledger.step(rest[0], T0 + rest[1], rest[2])
        elif what == "announce":
            ledger.announce(rest[0], T0 + rest[1], None if rest[2] is None else T0 + rest[2])
        elif what == "over":
            ledger.over(rest[0], T0 + rest[1], rest[2])
        elif what == "turn":
            ledger.turn(rest[0], T0 + rest[1])
        elif what == "gpus":
            ledger.has_gpus(rest[0], T0 + rest[1])
        else:
            kind, number, since, opened, cleared = rest
            cleared_ns = None if cleared is None else T0 + cleared
            ledger.claim(finding(kind, T0 + since, T0 + opened, cleared_ns, f"F-{number}"), now)
        account = ledger.account()
        assert account.total_wall_ns == ledger.now_ns - T0
        assert all(spent >= 0 for spent in (*account.wall_ns.values(), *account.gpu_ns.values()))
    if ends:
        ended = ledger.end(now)
        ledger.advance(now + 2 * LOOK_BACK_NS)
        assert ledger.account().total_wall_ns == ended - T0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90 * S), st.none() | st.integers(0, 64), st.booleans()), min_size=1, max_size=40)
)
def test_gpu_time_is_the_integral_of_the_gpus_held(told: list[tuple[int, int | None, bool]]) -> None:
    """Counted beside the ledger, change by change; the first known number holds for what was open before it."""
    ledger = Ledger(T0)
    ledger.has_gpus(8, T0)
    now, held, gpu_ns, unknown_ns, step = T0, 8, 0, 0, 0
    for length, gpus, steps in told:
        if held is None:
            unknown_ns += length
        else:
            gpu_ns += held * length
        now += length
        ledger.advance(now)
        if steps:
            step += 1
            ledger.step(step, now)
        ledger.has_gpus(gpus, now)
        held = gpus

    account = ledger.account()

    assert account.total_gpu_ns == gpu_ns
    assert account.gpus_unknown_ns == unknown_ns


# ---- it puts time where it belongs


def test_a_healthy_job_is_productive_but_for_its_start() -> None:
    """30 s of start, 100 s of steps."""
    ledger = started()
    ledger.advance(T0 + 30 * S)
    ledger.step(1, T0 + 30 * S)

    stepping(ledger, 30, 200, 0.5, first=1)

    assert seconds(ledger) == {"start_up": 30, "productive": 100}
    assert ledger.account().goodput(ledger.pace.best_ns) == pytest.approx(100 / 130, abs=0.01)


def test_a_save_has_the_time_between_its_two_lines() -> None:
    """And the steps around it keep theirs."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    ledger.advance(T0 + round((end + 12) * S))
    ledger.announce("checkpoint", T0 + round(end * S))
    ledger.over("checkpoint", T0 + round((end + 12) * S))
    stepping(ledger, end + 12, 20, 0.5, first=100)

    assert seconds(ledger) == {"start_up": 0.5, "productive": 59.5, "checkpoint": 12}


def test_a_save_whose_end_nobody_says_ends_with_the_next_step() -> None:
    """Hugging Face and nanoGPT print no second line."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    ledger.announce("checkpoint", T0 + round(end * S))
    stepping(ledger, end + 9.5, 21, 0.5, first=100)

    assert seconds(ledger)["checkpoint"] == 9.5


def test_an_evaluation_whose_beginning_nobody_says_has_the_time_since_the_last_step() -> None:
    """Most trainers print its result only."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    ledger.advance(T0 + round((end + 20) * S))
    ledger.over("evaluation", T0 + round((end + 20) * S))
    stepping(ledger, end + 20, 10, 0.5, first=100)

    assert seconds(ledger)["evaluation"] == 20


def test_of_a_slow_phase_the_steps_that_were_made_stay_productive() -> None:
    """60 s at a tenth of the pace: 54 s went to the cause, 6 s were steps."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    slow = stepping(ledger, end, 12, 5.0, first=100)
    ledger.claim(finding(FindingKind.DATALOADER_STALL, T0 + round(end * S), T0 + round((end + 10) * S)), T0)

    assert slow == end + 60
    assert seconds(ledger) == {"start_up": 0.5, "productive": 55.5, "data": 54}


def test_a_claim_that_comes_late_revises_what_is_still_open_and_says_so() -> None:
    """The hang began 40 s before it became known; until then the time looked like a stall."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    now = T0 + round((end + 40) * S)
    ledger.advance(now)
    before = seconds(ledger)

    ledger.claim(finding(FindingKind.COLLECTIVE_HANG, T0 + round(end * S), now), now)

    assert before == {"start_up": 0.5, "productive": 50, "stall": 39.5}
    assert seconds(ledger) == {"start_up": 0.5, "productive": 49.5, "communication_or_straggler": 40}
    [revision] = ledger.revisions
    assert revision.moved_wall_ns == pytest.approx(40 * S, rel=0.01)
    assert revision.too_late_ns == 0


def test_what_is_settled_stays_and_the_revision_says_how_much_came_too_late() -> None:
    """A claim that reaches back 20 minutes moves 10."""
    ledger = started()
    stepping(ledger, 0, 400, 5.0)
    now = T0 + 2000 * S

    ledger.claim(finding(FindingKind.STRAGGLER, now - 1200 * S, now), now)

    [revision] = ledger.revisions
    assert revision.too_late_ns == pytest.approx(600 * S, abs=10 * S)


def test_a_failure_lasts_from_the_fault_to_the_next_step() -> None:
    """Whatever the log announces in between."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.5)
    fault = T0 + round((end + 0.2) * S)
    ledger.advance(fault + 10 * S)
    ledger.claim(finding(FindingKind.RANK_CRASH, fault, fault + 10 * S), fault + 10 * S)
    assert ledger.failed_since_ns == fault
    ledger.advance(fault + 90 * S)
    ledger.step(101, fault + 90 * S)

    assert seconds(ledger)["failure"] == pytest.approx(89.5, abs=0.6)
    assert ledger.failed_since_ns is None


def test_steps_that_were_made_before_are_rework() -> None:
    """Back from 60 to 40: twenty steps are made again."""
    ledger = Ledger(T0, peak_step=60)
    ledger.has_gpus(8, T0)
    ledger.advance(T0 + 10 * S)
    ledger.step(40, T0 + 10 * S)
    stepping(ledger, 10, 60, 0.5, first=40)

    assert seconds(ledger) == {"start_up": 10, "rework": 10, "productive": 20}
    assert (ledger.account().steps, ledger.account().reworked_steps) == (40, 20)


def test_what_the_log_itself_says_of_waiting_for_data_is_data() -> None:
    """Without any finding: each step of 0.5 s says that it waited 0.2 s, where the best needed 0.3 s."""
    ledger = started()
    end = stepping(ledger, 0, 100, 0.3)
    stepping(ledger, end, 100, 0.5, first=100, waited_s=0.2)

    assert seconds(ledger) == {"start_up": 0.3, "productive": 59.7, "data": 20}


def test_a_job_that_is_slow_without_a_known_cause_shows_in_its_throughput_share() -> None:
    """Half the pace for as long again: nobody is to blame, so the time is productive and the share falls."""
    ledger = started()
    end = stepping(ledger, 0, 120, 0.5)
    stepping(ledger, end, 60, 1.0, first=120)
    account, pace = ledger.account(), ledger.pace.best_ns

    assert account.share(Cause.PRODUCTIVE) == pytest.approx(1.0, abs=0.01)
    assert account.throughput_share(pace) == pytest.approx(0.75, abs=0.01)
    assert account.goodput(pace) == pytest.approx(0.75, abs=0.02)


def test_a_log_without_training_is_unknown_time_not_a_stall() -> None:
    """A server that holds GPUs is not ill."""
    ledger = Ledger(T0, base=Base.SILENT)
    ledger.has_gpus(4, T0)
    ledger.advance(T0 + 3600 * S)

    assert seconds(ledger) == {"unknown": 3600}


def test_clocks_that_run_ahead_or_back_shift_boundaries_and_lose_nothing() -> None:
    """A line from the future counts now, one from the past at the last entry."""
    ledger = started()
    ledger.advance(T0 + 10 * S)
    ledger.step(1, T0 + 5 * S)
    ledger.step(2, T0 + 500 * S)
    ledger.step(3, T0 - 500 * S)

    account = ledger.account()

    assert account.total_wall_ns == 10 * S
    assert account.wall_ns[Cause.START_UP] == 5 * S


def test_gpus_that_become_known_later_count_for_what_is_still_open() -> None:
    """A collector tells the placement a minute after the log began."""
    ledger = started(gpus=None)
    stepping(ledger, 0, 100, 0.5)
    ledger.has_gpus(16, T0 + 50 * S)

    assert ledger.account().total_gpu_ns == 16 * 50 * S
