"""What a job's log and findings make of its attempts, through a real watch."""

import pytest
from jobs_story import JOB, T0, S, Story

from agent.jobs.record import AttemptState, SaveState
from agent.watch import Watch
from collectors.model import EventKind, Origin, Subject, SubjectKind
from detectors.goodput import Cause

START, END = EventKind.TRAINING_START, EventKind.TRAINING_END
SAVE, SAVED, RESTORE = EventKind.CHECKPOINT_START, EventKind.CHECKPOINT_END, EventKind.CHECKPOINT_RESTORE


def ran(story: Story, gpus: int = 8) -> Story:
    """Thirty seconds of start, sixty steps, a save of step 60, ten steps more."""
    story.holds(gpus)
    story.passes(10)
    story.says(START)
    story.passes(20)
    story.steps(1, 60)
    story.says(SAVE, step=60.0, path="/ckpt/60")
    story.passes(5)
    story.says(SAVED, step=60.0)
    story.steps(61, 70)
    return story


def dies(story: Story) -> Story:
    """The launcher says that rank 3 was killed."""
    story.says(EventKind.PROCESS_EXIT, rank="3", exit_code=-9.0)
    story.passes(30)
    return story


def test_the_time_before_the_logs_first_word_is_start_up(story: Story) -> None:
    """GPUs were held from second 0 on; the first step came at 31."""
    ran(story).looks()

    wall = story.newest.account.wall_ns
    assert wall[Cause.START_UP] == pytest.approx(31 * S, abs=S)
    assert wall[Cause.CHECKPOINT] == pytest.approx(5 * S, abs=0.1 * S)
    assert sum(story.newest.account.gpu_ns.values()) == 8 * sum(wall.values())
    assert story.newest.state is AttemptState.RUNNING


def test_a_failure_and_a_new_start_are_two_attempts_and_steps_made_again_are_rework(story: Story) -> None:
    """It restarts from step 60: ten steps are made again."""
    dies(ran(story))
    assert story.newest.state is AttemptState.FAILED
    story.says(START)
    story.says(RESTORE, step=60.0)
    story.passes(20)
    story.steps(61, 90)
    story.looks()

    first, second = story.rows[1], story.rows[2]
    assert (first.state, first.ended_ns) == (AttemptState.FAILED, second.started_ns)
    assert first.account.wall_ns[Cause.FAILURE] == pytest.approx(30 * S, abs=2 * S)
    assert second.account.wall_ns[Cause.FAILURE] == pytest.approx(21 * S, abs=2 * S)
    assert second.account.reworked_steps == 9  # the first step line ends the failure
    assert Cause.START_UP not in second.account.wall_ns


def test_a_start_after_an_end_in_good_order_repeats_nothing(story: Story) -> None:
    """A second run under the same id begins at step 1 again."""
    ran(story)
    story.says(END)
    story.passes(60)
    story.says(START)
    story.passes(10)
    story.steps(1, 20)
    story.looks()

    first, second = story.rows[1], story.rows[2]
    assert first.state is AttemptState.ENDED
    assert first.account.wall_ns[Cause.IDLE] == pytest.approx(60 * S, abs=S)
    assert (second.account.reworked_steps, second.account.wall_ns[Cause.START_UP] > 0) == (0, True)


def test_steps_that_go_back_without_a_word_are_another_attempt_and_said_so(story: Story) -> None:
    """From 70 to 30, no restore in the log."""
    ran(story)
    story.steps(30, 80)
    story.looks()

    assert len(story.rows) == 2
    assert "went back from 70 to 30 without a word" in story.newest.notes[0]
    assert story.newest.account.reworked_steps == 40


def test_a_restore_whose_steps_go_on_is_no_new_attempt(story: Story) -> None:
    """As in the recordings: the weights go back, the step numbers do not."""
    ran(story)
    story.says(RESTORE)
    story.passes(4)
    story.steps(71, 100)
    story.looks()

    assert list(story.rows) == [1]
    assert story.newest.account.wall_ns[Cause.START_UP] == pytest.approx(35 * S, abs=2 * S)


def test_a_save_without_an_end_before_the_crash_is_torn(story: Story) -> None:
    """The one before it is the last good one."""
    ran(story)
    story.says(SAVE, step=70.0, path="/ckpt/70")
    story.passes(2)
    dies(story)

    good = story.newest.last_good
    assert good is not None
    assert (good.step, good.path, good.state) == (60, "/ckpt/60", SaveState.COMPLETE)
    assert [(save.step, save.state) for save in story.newest.saves][-1] == (70, SaveState.TORN)


def test_a_log_that_never_says_when_a_save_is_over_is_taken_at_the_next_steps_word(story: Story) -> None:
    """Assumed, and called so."""
    story.holds(8)
    story.steps(1, 20)
    story.says(SAVE, step=20.0)
    story.passes(3)
    story.steps(21, 40)
    story.looks()

    assert [(save.step, save.state) for save in story.newest.saves] == [(20, SaveState.ASSUMED)]


def test_ranks_that_all_print_steps_by_their_own_clocks_make_one_line_of_time(story: Story) -> None:
    """Rank 1's clock is 40 s ahead; only one rank's voice is heard."""
    story.holds(2)
    for step in range(1, 61):
        story.passes(1.0)
        story.says(EventKind.TRAINING_STEP, rank="0", step=float(step))
        story.says(EventKind.TRAINING_STEP, at=story.at + 40, rank="1", step=float(step))
    story.looks()

    assert list(story.rows) == [1]
    assert story.newest.account.steps == 59
    assert story.newest.account.wall_ns[Cause.PRODUCTIVE] == pytest.approx(59 * S, abs=S)


def test_the_voice_passes_to_another_rank_when_the_first_is_silent(story: Story) -> None:
    """A minute without a line of rank 0 and rank 1 is believed."""
    story.holds(2)
    story.steps(1, 30, rank="0")
    story.passes(61)
    story.steps(92, 120, rank="1")
    story.looks()

    assert story.newest.last_step == 120


def test_a_log_without_step_numbers_still_has_its_time_accounted(story: Story) -> None:
    """Every line is a step then, and no step number is shown."""
    story.holds(4)
    for _ in range(40):
        story.passes(1.0)
        story.says(EventKind.TRAINING_STEP, loss=2.0)
    story.looks()

    assert (story.newest.last_step, story.newest.account.steps) == (None, 39)
    assert story.newest.account.wall_ns[Cause.PRODUCTIVE] == pytest.approx(39 * S, abs=S)


def test_a_job_whose_gpus_nobody_knows_is_accounted_in_wall_time(story: Story) -> None:
    """Shares and goodput all the same; GPU-hours are none."""
    story.says(START)
    story.steps(1, 60)
    story.looks()

    account = story.newest.account
    assert (story.newest.gpus, account.total_gpu_ns) == (None, 0)
    assert account.gpus_unknown_ns == account.total_wall_ns
    assert story.newest.goodput is not None


def test_gpus_held_without_a_word_of_training_are_unknown_time(story: Story) -> None:
    """An inference server is no stalled job."""
    story.holds(8)
    story.passes(120)
    story.looks()

    assert set(story.newest.account.wall_ns) == {Cause.UNKNOWN}


def test_the_first_rank_to_fail_is_told_from_those_that_followed(story: Story) -> None:
    """Rank 3 was killed, seven others gave up waiting."""
    story.steps(1, 40)
    story.says(EventKind.PROCESS_EXIT, rank="3", exit_code=-9.0)
    for rank in (0, 1, 2, 4, 5, 6, 7):
        story.passes(0.1)
        story.says(EventKind.COLLECTIVE_TIMEOUT, rank=str(rank))
    story.passes(5)

    assert (story.newest.first_rank, story.newest.followed) == ("3", 7)


def test_a_restarted_agent_goes_on_from_the_rows(story: Story) -> None:
    """Account, steps, checkpoints and the number of the attempt go on; time while it was away is accounted, too."""
    ran(story).looks()
    before = story.newest
    again = Story(watch=Watch(Origin.LIVE, "c"), at=story.at, number=100)
    again.watch.restore([], [], [], [before])
    again.holds(8)
    again.steps(71, 100)
    again.looks()

    after = again.newest
    assert (after.number, after.started_ns, after.last_step) == (1, before.started_ns, 100)
    assert after.account.total_wall_ns == after.as_of_ns - after.started_ns
    assert after.account.total_gpu_ns == 8 * after.account.total_wall_ns
    assert after.account.wall_ns[Cause.CHECKPOINT] == before.account.wall_ns[Cause.CHECKPOINT]
    assert [save.step for save in after.saves] == [60]


def test_a_restarted_agent_keeps_a_failure_open_until_the_next_step(story: Story) -> None:
    """It failed before; the next attempt's first step ends it."""
    dies(ran(story))
    again = Story(watch=Watch(Origin.LIVE, "c"), at=story.at, number=100)
    again.watch.restore([], [], [], list(story.rows.values()))
    again.holds(8)
    again.passes(60)
    again.says(START)
    again.passes(10)
    again.steps(61, 90)
    again.looks()

    assert (again.rows[1].state, again.newest.number) == (AttemptState.FAILED, 2)
    assert again.rows[1].account.wall_ns[Cause.FAILURE] == pytest.approx(90 * S, abs=3 * S)
    assert again.newest.account.reworked_steps == 9


@pytest.mark.slow
def test_a_job_of_which_nothing_more_is_heard_is_closed_after_a_day(story: Story) -> None:
    """And the next word of it is another attempt."""
    ran(story)
    for _ in range(25):
        story.passes(3600)
    assert story.newest.state is AttemptState.GONE
    story.steps(71, 80)
    story.looks()

    assert (story.newest.number, story.newest.state) == (2, AttemptState.RUNNING)


def test_two_jobs_never_share_an_account(story: Story) -> None:
    """Same name, two ids."""
    other = Story(watch=story.watch, job=Subject("c", SubjectKind.JOB, "other"), number=1000)
    for at in range(1, 31):
        story.at = other.at = float(at)
        story.says(EventKind.TRAINING_STEP, step=float(at))
        other.says(EventKind.TRAINING_STEP, step=float(at * 10))
        rows = story.watch.advance(T0 + at * S).jobs
        story._take(rows)
        other._take(rows)
    rows = story.watch.tick(T0 + 31 * S).jobs + [
        job.record(job.attempt, T0 + 31 * S)
        for job in (story.watch.jobs.job(JOB), story.watch.jobs.job(other.job))
        if job
    ]
    story._take(rows)
    other._take(rows)

    assert (story.newest.last_step, other.newest.last_step) == (30, 300)
