"""A launcher names a local rank: whose card that is, and what is said of it."""

import signal

import pytest
from simulated_fleet import JOB, NODE, Fleet, event, gpu, working

from collectors.model import EventKind
from detectors.job.launcher import CARD, with_card
from detectors.model import FindingKind

K = FindingKind


def died(local_rank: str, number: int = signal.SIGKILL, **attributes: str):
    said = {"local_rank": local_rank, "detail": f"killed by signal {signal.Signals(number).name}"} | attributes
    return event(EventKind.PROCESS_EXIT, JOB, attributes=said, exit_code=float(-number), signal=float(number))


def told(number: int) -> Fleet:
    fleet = working(4, 15)
    fleet.step_gap_s = None
    one = died("2", number)
    return fleet.log(EventKind.PROCESS_EXIT, "failed", dict(one.attributes), **one.values).run(1)


def test_a_rank_that_was_killed_is_a_dead_rank_on_its_card() -> None:
    kinds = {(f.kind, f.subject) for f in told(signal.SIGKILL).open()}
    assert kinds == {(K.RANK_CRASH, gpu(2)), (K.JOB_CRASH, JOB)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGABRT, signal.SIGINT], ids=lambda n: n.name)
def test_a_rank_that_others_ended_is_not_blamed(number: signal.Signals) -> None:
    assert {f.kind for f in told(number).open()} == {K.JOB_CRASH}


def test_both_clear_when_the_job_steps_again() -> None:
    fleet = told(signal.SIGSEGV)
    fleet.step_gap_s = 0.5
    assert fleet.run(3).open(K.RANK_CRASH) == fleet.open(K.JOB_CRASH) == []


def test_the_local_rank_is_counted_among_the_jobs_own_ranks() -> None:
    inventory = Fleet(4, facts={}).run(2).engine.inventory
    assert with_card(died("3"), NODE, inventory).attributes[CARD] == gpu(3).id


@pytest.mark.parametrize(
    "one",
    [died("4"), died(""), died("x"), died("²"), died("2", rank="7"), event(EventKind.TRACEBACK)],
    ids=["no-such-rank", "none", "no-number", "no-ascii-number", "contradiction", "another-event"],
)
def test_what_cannot_be_placed_stays_as_it_is(one) -> None:
    assert with_card(one, NODE, working(4, 2).engine.inventory) == one
