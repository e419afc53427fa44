"""What a job's own output says: crashes, timeouts, memory, and what a resuming line gives away."""

import pytest
from simulated_fleet import JOB, NS, STILL, WORK, Fleet, gpu, working

from collectors.model import EventKind
from detectors.model import FindingKind, Severity

K, E = FindingKind, EventKind


def quiet(fleet: Fleet) -> Fleet:
    fleet.step_gap_s = None
    return fleet


def loud(fleet: Fleet, gap_s: float = 0.5) -> Fleet:
    fleet.step_gap_s = gap_s
    return fleet


# --- job_crash


def test_a_traceback_that_was_caught_while_steps_go_on_is_nothing() -> None:
    fleet = working(1, 15).log(E.TRACEBACK, "ValueError: caught").run(60)
    assert fleet.kinds() == []


def test_a_traceback_that_no_step_follows_is_a_crash_after_ten_seconds() -> None:
    fleet = quiet(working(1, 15)).log(E.TRACEBACK, "RuntimeError: boom", {"rank": "3", "detail": "boom"}).run(9)
    assert fleet.open(K.JOB_CRASH) == []
    (finding,) = fleet.run(3).open(K.JOB_CRASH)
    assert (finding.subject, finding.severity) == (JOB, Severity.CRITICAL)
    assert "rank 3" in finding.summary
    assert "boom" in finding.summary


def test_a_slow_job_is_given_three_of_its_usual_gaps() -> None:
    fleet = Fleet(1, step_gap_s=10.0).run(200, every=10.0)
    quiet(fleet).log(E.TRACEBACK, "RuntimeError: boom").run(28)
    assert fleet.open(K.JOB_CRASH) == []
    assert fleet.run(5).open(K.JOB_CRASH)


@pytest.mark.parametrize(
    ("kind", "values"),
    [(E.CUDA_ERROR, {}), (E.PROCESS_EXIT, {"exit_code": -9.0}), (E.PROCESS_EXIT, {})],
    ids=["cuda-error", "killed", "an-exit-without-a-code"],
)
def test_what_no_process_survives_is_a_crash_at_once(kind: EventKind, values: dict[str, float]) -> None:
    fleet = quiet(working(1, 15)).log(kind, "it ended", **values).run(1)
    assert [f.kind for f in fleet.open()] == [K.JOB_CRASH]


def test_a_process_that_exits_with_zero_is_no_crash() -> None:
    assert quiet(working(1, 15)).log(E.PROCESS_EXIT, exit_code=0.0).run(20, every=5.0).kinds() == []


def test_a_crash_told_in_many_lines_is_one_finding() -> None:
    fleet = quiet(working(1, 15))
    for rank in range(8):
        fleet.log(E.TRACEBACK, f"rank {rank} died").log(E.PROCESS_EXIT, f"rank {rank}", exit_code=1.0)
    assert len(fleet.run(20).of(K.JOB_CRASH)) == 1


def test_an_exit_says_what_was_raised_before_it() -> None:
    fleet = quiet(Fleet(1).run(15)).log(E.TRACEBACK, "KeyError: 'ids'", {"detail": "KeyError: 'ids'"}).run(1)
    (crash,) = fleet.log(E.PROCESS_EXIT, "exit", {"detail": "exit code 1"}, exit_code=1.0).run(1).of(K.JOB_CRASH)

    assert crash.summary == "Job run-7 crashed: KeyError: 'ids' (exit code 1)"
    assert [item.metric for item in crash.evidence] == ["traceback", "process_exit"]


def test_a_crash_clears_when_the_job_steps_again() -> None:
    fleet = quiet(working(1, 15)).log(E.CUDA_ERROR, "CUDA error").run(5)
    assert loud(fleet).run(1).open() == []


# --- collective_timeout


def timeout(fleet: Fleet) -> Fleet:
    told = {"rank": "0", "operation": "ALLREDUCE"}
    return quiet(fleet).log(E.COLLECTIVE_TIMEOUT, "watchdog", told, ran_for_seconds=600.0, sequence_number=42.0)


def test_a_timeout_began_as_long_ago_as_the_collective_had_run() -> None:
    (finding,) = timeout(working(2, 15)).run(1).open(K.COLLECTIVE_TIMEOUT)
    assert "ALLREDUCE" in finding.summary
    assert finding.opened_ns - finding.since_ns == pytest.approx(600 * NS, abs=3 * NS)


def test_the_lines_of_all_ranks_are_one_finding() -> None:
    fleet = timeout(working(2, 15))
    fleet.log(E.COLLECTIVE_TIMEOUT, "watchdog", {"rank": "1"})
    (finding,) = fleet.run(1).open(K.COLLECTIVE_TIMEOUT)
    assert len(finding.evidence) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dump_in_which_nothing_waits_marks_its_rank_whether_it_comes_before_the_line_or_after(when: str) -> None:
    fleet = quiet(working(2, 15))

    def dumps() -> None:
        fleet.log(E.FLIGHT_RECORDER, "", {"rank": "0", "operation": "all_reduce"}, waiting_collectives=1.0)
        fleet.log(E.FLIGHT_RECORDER, "", {"rank": "1"}, waiting_collectives=0.0, last_enqueued_sequence=41.0)

    if when == "before":
        dumps()
        assert fleet.run(1).open(K.COLLECTIVE_TIMEOUT) == []
    timeout(fleet).run(1)
    if when == "after":
        dumps()
        fleet.run(1)
    (finding,) = fleet.open(K.COLLECTIVE_TIMEOUT)
    said = [evidence.text for evidence in finding.evidence]
    assert any("rank 0: it waits in all_reduce" in text for text in said)
    assert any("rank 1: no collective waits there, the last it entered is number 41" in text for text in said)


def test_dumps_of_an_earlier_stretch_are_forgotten_with_the_next_step() -> None:
    fleet = working(2, 15).log(E.FLIGHT_RECORDER, "", {"rank": "1"}, waiting_collectives=0.0).run(2)
    (finding,) = timeout(fleet).run(1).open(K.COLLECTIVE_TIMEOUT)
    assert len(finding.evidence) == 1


def test_a_dump_alone_is_no_timeout() -> None:
    assert working(2, 15).log(E.FLIGHT_RECORDER, "", {"rank": "1"}, waiting_collectives=1.0).run(5).kinds() == []


# --- gpu_out_of_memory


def test_an_allocation_that_failed_is_told_with_its_rank_and_clears_when_the_job_goes_on() -> None:
    fleet = quiet(working(1, 15)).log(E.CUDA_OUT_OF_MEMORY, "CUDA out of memory", {"rank": "2"}).run(1)
    (finding,) = fleet.open()
    assert K.GPU_OUT_OF_MEMORY is finding.kind
    assert "rank 2" in finding.summary
    assert loud(fleet).run(1).open() == []


# --- host_stall and the naming of a stall


def stalled(waited_s: float | None, *, seconds: int = 12, by: int = 1, dense: bool = True) -> Fleet:
    """A stall of one job that resumes with one line, which stands for `by` steps."""
    fleet = Fleet(1)
    fleet.step_values = {} if waited_s is None else {"data_wait_seconds": 0.01}
    fleet.run(25)
    if not dense:
        fleet = Fleet(1, step_gap_s=5.0)
        fleet.step_values = {} if waited_s is None else {"data_wait_seconds": 0.01}
        fleet.step = 0
        fleet.run(100, lambda f: setattr(f, "step", f.step + 9), every=5.0)
    quiet(fleet).set(**STILL).run(seconds)
    assert [f.kind for f in fleet.open()] == [K.TRAINING_STALL]
    fleet.set(**WORK)
    fleet.step += by
    more = {} if waited_s is None else {"data_wait_seconds": waited_s}
    fleet.log(E.TRAINING_STEP, "resumed", step=float(fleet.step), loss=3.0, **more)
    return loud(fleet)


def test_a_stall_whose_first_line_had_waited_for_data_is_named_after_its_data() -> None:
    fleet = stalled(11.5).run(1)
    (finding,) = fleet.open(K.DATALOADER_STALL)
    assert finding.subject == JOB
    assert fleet.run(5).open(K.DATALOADER_STALL) == []


def test_a_stall_whose_first_line_had_not_waited_is_named_after_its_host() -> None:
    fleet = stalled(0.02).run(1)
    assert fleet.open(K.HOST_STALL)
    assert fleet.run(5).open(K.HOST_STALL) == []


@pytest.mark.parametrize("waited_s", [None, 3.0], ids=["it-does-not-say", "neither-much-nor-little"])
def test_a_line_that_decides_nothing_leaves_the_stall_without_a_name(waited_s: float | None) -> None:
    fleet = stalled(waited_s).run(10)
    assert fleet.kinds() == [K.TRAINING_STALL]
    assert fleet.open() == []


def test_a_line_that_stands_for_many_steps_cannot_acquit_the_data() -> None:
    assert K.HOST_STALL not in stalled(0.02, by=10, dense=False, seconds=30).run(10).kinds()


def test_a_stall_that_was_not_reported_is_not_named_either() -> None:
    fleet = Fleet(1)
    fleet.step_values = {"data_wait_seconds": 0.01}
    quiet(fleet.run(25)).set(**STILL).run(3).set(**WORK)
    assert loud(fleet).run(10).kinds() == []
    assert gpu(0) in fleet.engine.columns.subjects
