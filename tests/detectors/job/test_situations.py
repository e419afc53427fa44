"""Each situation of a job, from what its ranks do: what is said, and about whom."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import EMPTY, JOB, NS, SPIN, STILL, WORK, Fleet, event, gpu, working

from collectors.model import EventKind, Subject, SubjectFacts, SubjectKind
from detectors.job.situation import _median_of_others
from detectors.model import FindingKind, Severity

K = FindingKind
LATE = {"utilisation": 0.08, "watts": 190.0, "hertz": 1.97e9}
BEHIND = {"utilisation": 1.0, "watts": 230.0, "hertz": 1.97e9}
RESTING = {"utilisation": 0.11, "watts": 200.0, "hertz": 1.97e9}


def steady(gpus: int = 4, seconds: int = 25) -> Fleet:
    return working(gpus, seconds)


def quiet(fleet: Fleet) -> Fleet:
    fleet.step_gap_s = None
    return fleet


def job_kinds(fleet: Fleet) -> list[FindingKind]:
    return fleet.kinds()


def test_ranks_at_work_are_nothing() -> None:
    assert steady(seconds=120).kinds() == []


def test_ranks_that_spin_for_one_that_is_still_hang_and_the_still_one_is_named() -> None:
    fleet = quiet(steady()).set(**SPIN).set(3, **STILL).run(10)
    (finding,) = fleet.open(K.COLLECTIVE_HANG)
    assert (gpu(3), Severity.CRITICAL) == (finding.subject, finding.severity)
    assert {JOB} <= set(finding.related)


def test_ranks_that_all_spin_wait_for_the_card_that_gives_no_reading_any_more() -> None:
    fleet = quiet(steady()).set(**SPIN)
    fleet.silent.add(3)
    (finding,) = fleet.run(14).open(K.COLLECTIVE_HANG)
    assert finding.subject == gpu(3)
    assert "of which nothing is heard" in finding.summary
    assert finding.evidence[0].text == "GPU 3 of node-a (rank 3): no reading for 11 s"


@pytest.mark.parametrize("others", [SPIN, WORK], ids=["spin", "work"])
def test_a_card_that_was_last_seen_working_before_the_others_changed_is_no_straggler(others: dict[str, float]) -> None:
    fleet = quiet(steady()).set(**others)
    fleet.silent.add(3)
    assert fleet.run(9).kinds() == []


def test_ranks_at_work_beside_a_card_that_gives_no_reading_do_not_hang() -> None:
    fleet = steady()
    fleet.silent.add(3)
    assert K.COLLECTIVE_HANG not in fleet.run(60).kinds()


def test_a_hang_clears_when_steps_are_made_again() -> None:
    fleet = quiet(steady()).set(**SPIN).set(3, **STILL).run(10)
    fleet.step_gap_s = 0.5
    assert fleet.set(**WORK).run(12).open(K.COLLECTIVE_HANG) == []


def test_no_step_and_every_gpu_still_is_a_stall_of_the_job() -> None:
    fleet = quiet(steady()).set(**STILL).run(10)
    (finding,) = fleet.open()
    assert (finding.kind, finding.subject) == (K.TRAINING_STALL, JOB)


@pytest.mark.parametrize("seconds", [3, 5], ids=lambda s: f"{s}-s")
def test_a_stall_shorter_than_six_seconds_is_nothing(seconds: int) -> None:
    fleet = quiet(steady()).set(**STILL).run(seconds).set(**WORK)
    fleet.step_gap_s = 0.5
    assert fleet.run(20).kinds() == []


@pytest.mark.parametrize(
    "kind",
    [EventKind.CHECKPOINT_START, EventKind.EVALUATION_START, EventKind.CHECKPOINT_RESTORE, EventKind.TRAINING_START],
    ids=lambda kind: kind.value,
)
@pytest.mark.parametrize("shape", ["stall", "hang"])
def test_what_the_log_announces_is_excused(kind: EventKind, shape: str) -> None:
    fleet = quiet(steady()).log(kind).run(1)
    fleet.set(**STILL) if shape == "stall" else fleet.set(**SPIN).set(0, **STILL)
    assert fleet.run(60).kinds() == []


def test_steps_that_come_late_because_of_one_rank_make_it_a_straggler() -> None:
    fleet = steady()
    fleet.step_gap_s = 1.0
    fleet.set(**BEHIND).set(3, **LATE).run(20)
    (finding,) = fleet.open()
    assert (K.STRAGGLER, gpu(3)) == (finding.kind, finding.subject)


def test_one_rank_whose_loader_delivers_in_bursts_waits_for_data() -> None:
    fleet = steady()
    fleet.step_gap_s = None

    def bursts(f: Fleet) -> None:
        if f.now_ns // NS % 4 == 0:
            for k in range(4):
                f.step += 1
                f.say(event(EventKind.TRAINING_STEP, JOB, f.now_ns - (3 - k) * NS // 10, step=float(f.step)))

    fleet.set(**BEHIND).set(2, **LATE).run(30, bursts)
    assert (K.DATALOADER_STALL, gpu(2)) in [(f.kind, f.subject) for f in fleet.open()]


def test_ranks_that_all_rest_without_waiting_for_each_other_wait_for_data() -> None:
    fleet = steady()
    fleet.step_gap_s = 1.0
    fleet.set(**RESTING).run(15)
    (finding,) = fleet.open()
    assert (finding.kind, finding.subject) == (K.DATALOADER_STALL, JOB)


@pytest.mark.parametrize(
    ("wait_s", "expected"), [(0.6, K.DATALOADER_STALL), (0.05, K.THROUGHPUT_DROP), (None, K.THROUGHPUT_DROP)]
)
def test_one_resting_gpu_is_named_by_what_its_log_says_of_its_data(wait_s: float | None, expected: FindingKind) -> None:
    fleet = steady(1)
    fleet.step_gap_s = 1.0
    if wait_s is not None:
        fleet.step_values = {"data_wait_seconds": wait_s}
    fleet.set(**RESTING).run(20)
    assert [f.kind for f in fleet.open()] == [expected]


def test_every_step_far_slower_while_the_gpus_work_as_ever_is_a_drop_of_throughput() -> None:
    fleet = steady(seconds=40)
    fleet.step_gap_s = 1.0
    (finding,) = fleet.run(40).open()
    assert (finding.kind, finding.subject) == (K.THROUGHPUT_DROP, JOB)
    fleet.step_gap_s = 0.5
    assert fleet.run(20).open() == []


def test_a_rank_that_works_more_at_a_lower_clock_while_the_others_rest_is_a_straggler() -> None:
    fleet = steady().set(watts=500.0, hertz=1.95e9).set(1, watts=691.0, hertz=1.67e9).run(15)
    assert [(f.kind, f.subject) for f in fleet.open()] == [(K.STRAGGLER, gpu(1))]
    assert fleet.set(**WORK).run(15).open() == []


def test_a_straggler_shows_in_the_clocks_of_those_that_rest_before_its_own_has_fallen_far() -> None:
    # found on variations of h200-ddp: 0.945 of its habit beside four ranks at 1.09, judged only 24 s later
    fleet = steady(5).set(watts=615.0, hertz=1.83e9 * 1.09).set(1, watts=691.0, hertz=1.83e9 * 0.945).run(15)
    assert [(f.kind, f.subject) for f in fleet.open()] == [(K.STRAGGLER, gpu(1))]


@pytest.mark.parametrize(
    "drift",
    [{"hertz": 1.83e9 * 0.95, "watts": 690.0}, {"hertz": 1.83e9, "watts": 690.0 * 1.03}],
    ids=["clock-alone", "power-alone"],
)
def test_the_drift_of_healthy_ranks_makes_none_a_straggler(drift: dict[str, float]) -> None:
    assert steady().set(1, **drift).run(40).kinds() == []


def test_a_rank_whose_process_has_left_while_the_others_spin_is_a_crash_of_that_rank() -> None:
    fleet = quiet(steady()).set(**SPIN).set(2, **EMPTY).run(5)
    assert (K.RANK_CRASH, gpu(2)) in [(f.kind, f.subject) for f in fleet.open()]


def test_ranks_that_leave_within_two_seconds_of_each_other_have_ended() -> None:
    fleet = quiet(steady()).set(3, **EMPTY).run(2)
    assert fleet.set(**EMPTY).run(30).kinds() == []


def test_a_rank_that_leaves_after_the_log_said_that_training_has_ended_is_no_crash() -> None:
    fleet = quiet(steady()).log(EventKind.TRAINING_END).run(1).set(3, **EMPTY).set(0, 1, 2, **SPIN)
    assert K.RANK_CRASH not in fleet.run(20).kinds()


def test_what_the_gpus_of_a_crashed_job_do_is_no_news() -> None:
    fleet = quiet(steady()).log(EventKind.CUDA_ERROR, "CUDA error: unspecified launch failure").run(1)
    assert fleet.set(**STILL).run(30).kinds() == [K.JOB_CRASH]


def test_more_guilty_ranks_than_can_be_named_are_the_jobs_finding() -> None:
    fleet = quiet(working(12, 25)).set(**SPIN).set(0, 1, 2, 3, 4, **STILL).run(10)
    (finding,) = fleet.open(K.COLLECTIVE_HANG)
    assert finding.subject == JOB
    assert "and 1 more" in finding.summary


def test_findings_of_a_job_that_ends_clear_even_when_looks_are_rare() -> None:
    fleet = steady()
    fleet.step_gap_s = 1.0
    fleet.set(**RESTING).run(15)
    assert fleet.open()
    quiet(fleet).set(**EMPTY).run(60, every=5.0)
    assert fleet.open() == []


def test_a_hole_in_the_readings_is_not_the_end_of_a_hang() -> None:
    fleet = quiet(steady()).set(**SPIN).set(3, **STILL).run(10)
    (finding,) = fleet.open(K.COLLECTIVE_HANG)
    fleet.pass_time(15)
    fleet.run(4)
    assert [f.id for f in fleet.open(K.COLLECTIVE_HANG)] == [finding.id]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_the_median_of_all_others_is_what_the_textbook_says(values: list[float]) -> None:
    told = _median_of_others(np.array(values, np.float32))
    expected = [np.median(np.delete(np.array(values, np.float32), k)) for k in range(len(values))]
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-3)


def test_a_card_that_has_fallen_silent_is_not_blamed_for_the_work_it_was_last_seen_at() -> None:
    fleet = quiet(steady()).set(**SPIN)
    fleet.silent = {3}
    assert fleet.run(30).open(K.STRAGGLER) == []


@pytest.mark.parametrize(("gpus", "seen"), [(12, True), (8, False)], ids=["one-of-twelve", "one-of-eight"])
def test_a_large_job_stands_still_also_where_a_collector_has_just_come_back(gpus: int, seen: bool) -> None:
    # found on a simulated day: a loader stopped for 16 s while collectors were rolled over the job's 128 nodes
    fleet = steady(gpus)
    fleet.silent.add(3)
    quiet(fleet.run(3)).set(**STILL).run(4)
    fleet.silent.clear()
    fleet.run(4)

    assert bool(fleet.of(K.TRAINING_STALL)) is seen


def test_while_a_rank_is_silent_nobody_who_works_is_a_straggler() -> None:
    fleet = quiet(steady()).set(**SPIN).set(2, **WORK)
    fleet.silent = {3}
    assert fleet.run(30).open(K.STRAGGLER) == []


def two_nodes(log_node_silent: bool) -> Fleet:
    """Two ranks on a node that has the log, two on another; then all stand still, as in a save."""
    fleet = quiet(steady())
    fleet.log(EventKind.TRAINING_STEP, step=1000.0).run(1)
    if log_node_silent:
        fleet.engine.rhythms.of(JOB).read_on = Subject("c", SubjectKind.NODE, "node-b")
        for column in (0, 1):
            card = fleet.engine.columns.subjects[column]
            facts = fleet.engine.inventory.facts[card]
            fleet.engine.inventory.facts[card] = SubjectFacts(
                card, facts.name, Subject("c", SubjectKind.NODE, "node-b"), facts.attributes
            )
        fleet.silent = {0, 1}
    return fleet.set(**STILL).run(25)


def test_a_stall_is_told_where_its_log_is_read_and_not_where_nobody_hears_what_it_announces() -> None:
    assert [f.kind for f in two_nodes(log_node_silent=False).open(K.TRAINING_STALL)] == [K.TRAINING_STALL]
    assert two_nodes(log_node_silent=True).open(K.TRAINING_STALL) == []


def test_a_rank_that_is_late_by_five_seconds_to_steps_of_more_than_one_is_a_straggler_by_the_logs_word() -> None:
    # found on a simulated day: no wait as long as the window, and in each window a second of full speed
    fleet = steady(4, seconds=40)
    quiet(fleet)
    for _ in range(9):
        fleet.set(**SPIN).set(2, **STILL).run(5).set(**WORK).run(2)
        fleet.step += 1
        fleet.log(EventKind.TRAINING_STEP, step=float(fleet.step))

    assert [(f.kind, f.subject) for f in fleet.found.values()] == [(K.STRAGGLER, gpu(2))]
