"""What a new decision makes of the plans that its incident has already."""

from typing import Any

import msgspec
import pytest
from executor_world import NOW, SECOND, job, node, plan

from collectors.model import Origin
from policies.executor import entry_for, undo_of
from policies.journal import Approval, PlanEntry, PlanState, StepEntry, StepState
from policies.model import Decision, GuardWord, Mode, Verdict
from policies.plan import Plan, Step, StepKind
from policies.succession import follow

CORDON = Step(StepKind.CORDON, node())
EVICT = Step(StepKind.EVICT, node())
RESTART = Step(StepKind.RESTART_JOB, job())


def decision(verdict: Verdict, wanted: Plan | None = None, **more: Any) -> Decision:
    made = Decision(
        id="DEC-2",
        incident="INC-aaaa1111",
        rule="gpu-off-the-bus",
        mode=Mode.ENFORCE,
        verdict=verdict,
        actions=(),
        guards=(),
        reason="because",
        decided_ns=NOW + 60 * SECOND,
        origin=Origin.LIVE,
        plan=wanted,
    )
    return msgspec.structs.replace(made, **more)


def entry(made: Plan, state: PlanState, *, done: int = 0) -> PlanEntry:
    steps = tuple(StepEntry(StepState.DONE if n < done else StepState.WAITING) for n in range(len(made.steps)))
    return msgspec.structs.replace(entry_for(made, state), steps=steps, version=3)


def summary(changes: list[Any]) -> list[tuple[str, str, str, bool]]:
    return [(change.entry.plan.id, change.entry.state.value, change.what, change.new) for change in changes]


@pytest.mark.parametrize(
    ("verdict", "state"),
    [pytest.param(Verdict.DO, "ready", id="enforce"), pytest.param(Verdict.ASK, "awaiting", id="approve")],
)
def test_a_plan_is_put_in_as_its_verdict_says(verdict: Verdict, state: str) -> None:
    """Ready for its turn, or waiting for a person."""
    wanted = plan(CORDON, RESTART)

    assert summary(follow(decision(verdict, wanted), [])) == [(wanted.id, state, "plan", True)]


@pytest.mark.parametrize("verdict", [Verdict.WOULD_DO, Verdict.REFUSED, Verdict.NOTHING])
def test_what_is_not_to_be_done_has_no_plan_in_the_journal(verdict: Verdict) -> None:
    """It stands in the decision, to be read."""
    assert follow(decision(verdict, plan(CORDON)), []) == []


def test_a_plan_without_steps_is_none() -> None:
    """Everything was done already."""
    assert follow(decision(Verdict.DO, msgspec.structs.replace(plan(CORDON), steps=())), []) == []


@pytest.mark.parametrize("state", [PlanState.AWAITING, PlanState.READY])
def test_another_plan_takes_the_place_of_one_that_has_not_begun(state: PlanState) -> None:
    """And says what has changed."""
    old, new = plan(CORDON), plan(CORDON, RESTART)

    changes = follow(decision(Verdict.ASK, new), [entry(old, state)])

    assert summary(changes) == [(old.id, "lapsed", "lapse", False), (new.id, "awaiting", "plan", True)]
    assert changes[0].entry.reason == f"{new.id} takes its place: now restart Job training/llama"


def test_the_same_names_with_other_uids_are_another_plan() -> None:
    """A node that was made anew."""
    old = plan(CORDON)
    new = plan(msgspec.structs.replace(CORDON, target=msgspec.structs.replace(node(), uid="another")))

    (lapse, _) = follow(decision(Verdict.ASK, new), [entry(old, PlanState.AWAITING)])

    assert lapse.detail.endswith("another object bears the same name now")


@pytest.mark.parametrize("state", [PlanState.AWAITING, PlanState.READY])
@pytest.mark.parametrize(
    ("guards", "stays"),
    [
        pytest.param(["G21"], True, id="another-leads"),
        pytest.param(["G1", "G20", "G9"], True, id="paused-and-too-fast"),
        pytest.param(["G9", "G3"], False, id="opted-out-too"),
    ],
)
def test_a_plan_that_is_only_held_up_keeps_its_place_and_its_approval(
    state: PlanState, guards: list[str], stays: bool
) -> None:
    """After a restart, say, while the old lease lapses."""
    made = plan(CORDON)
    words = tuple(GuardWord(guard, False, "no") for guard in guards)

    changes = follow(decision(Verdict.REFUSED, made, guards=words), [entry(made, state)])

    assert (changes == []) is stays


def test_a_plan_lapses_when_nothing_is_to_be_done_any_more() -> None:
    """The decision says why."""
    old = plan(CORDON)

    (lapse,) = follow(decision(Verdict.REFUSED, old, reason="a wave"), [entry(old, PlanState.READY)])

    assert (lapse.entry.state, lapse.detail) == (PlanState.LAPSED, "the decision has changed: a wave")


def test_the_very_same_plan_stands_and_keeps_its_approval() -> None:
    """Only a guard's figures have moved."""
    made = plan(CORDON)
    approval = Approval("ann", made.digest, NOW, NOW + 900 * SECOND, "test")
    approved = msgspec.structs.replace(entry(made, PlanState.READY), approval=approval)

    assert follow(decision(Verdict.ASK, made), [approved]) == []
    assert follow(decision(Verdict.ASK, made), [entry(made, PlanState.AWAITING)]) == []
    assert follow(decision(Verdict.DO, made), [entry(made, PlanState.READY)]) == []


@pytest.mark.parametrize(
    ("before", "verdict", "after"),
    [
        pytest.param(PlanState.AWAITING, Verdict.DO, "ready", id="enforce-now"),
        pytest.param(PlanState.READY, Verdict.ASK, "awaiting", id="approve-now"),
    ],
)
def test_a_mode_that_changed_changes_whether_a_person_is_asked(before: PlanState, verdict: Verdict, after: str) -> None:
    """The plan is the same."""
    made = plan(CORDON)

    assert [change.entry.state for change in follow(decision(verdict, made), [entry(made, before)])] == [after]


def test_what_a_plan_under_way_does_already_is_not_planned_a_second_time() -> None:
    """It makes the plan of the next decision smaller by itself."""
    running = entry(plan(CORDON, EVICT, RESTART), PlanState.RUNNING, done=1)

    assert follow(decision(Verdict.DO, plan(EVICT, RESTART)), [running]) == []


def test_more_than_the_plan_under_way_waits_in_line_behind_it() -> None:
    """The job has died meanwhile."""
    running = entry(plan(CORDON, EVICT), PlanState.RUNNING, done=1)
    more = plan(EVICT, RESTART)

    assert summary(follow(decision(Verdict.DO, more), [running])) == [(more.id, "ready", "plan", True)]


def test_a_refusal_does_not_stop_what_has_begun() -> None:
    """The executor asks the guards itself before every step."""
    running = entry(plan(CORDON, EVICT), PlanState.RUNNING, done=1)

    assert follow(decision(Verdict.REFUSED, plan(EVICT)), [running]) == []


def test_a_plan_under_way_for_a_root_elsewhere_stops_and_its_undo_is_proposed() -> None:
    """The root was found late: on another node."""
    running = entry(plan(CORDON, EVICT), PlanState.RUNNING, done=1)
    new = plan(Step(StepKind.CORDON, node("gpu-08")))

    stopped, undo, opened = follow(decision(Verdict.DO, new), [running])

    assert stopped.entry.state is PlanState.STOPPED
    assert undo.entry.plan.id in stopped.entry.reason
    assert (undo.entry.state, undo.entry.undoes) == (PlanState.AWAITING, running.plan.id)
    assert [step.kind for step in undo.entry.plan.steps] == [StepKind.UNCORDON]
    assert opened.entry.plan == new


def test_what_was_carried_out_elsewhere_stays_until_a_decision_of_its_own_takes_it_back() -> None:
    """The next step of a wave is elsewhere too."""
    done = entry(plan(CORDON), PlanState.DONE, done=1)
    new = plan(Step(StepKind.CORDON, node("gpu-08")))

    assert summary(follow(decision(Verdict.DO, new), [done])) == [(new.id, "ready", "plan", True)]


def test_a_restart_after_the_cordon_of_the_same_incident_takes_nothing_back() -> None:
    """The cordon is done, so that the next plan, when the job is found to hang, leaves it out."""
    cordoned = entry(plan(CORDON), PlanState.DONE, done=1)
    restart = plan(Step(StepKind.RESTART_JOB, job()))

    (opened,) = follow(decision(Verdict.DO, restart), [cordoned])

    assert (opened.entry.plan, opened.entry.is_undo) == (restart, False)


def test_an_undo_that_waits_for_a_person_is_left_alone() -> None:
    """Whatever is decided about the incident."""
    undo = undo_of(entry(plan(CORDON), PlanState.FAILED, done=1), NOW, 0)
    assert undo is not None

    assert follow(decision(Verdict.NOTHING), [undo]) == []


@pytest.mark.parametrize(
    ("verdict", "state"),
    [pytest.param(Verdict.DO, "ready", id="enforce"), pytest.param(Verdict.ASK, "awaiting", id="approve")],
)
def test_a_decision_to_take_a_plan_back_leaves_the_others_alone(verdict: Verdict, state: str) -> None:
    """It is put in once, as an undo."""
    other = entry(plan(Step(StepKind.CORDON, node("gpu-08"))), PlanState.READY)
    back = msgspec.structs.replace(plan(Step(StepKind.UNCORDON, node())), undoes="PLN-OLD")

    (opened,) = follow(decision(verdict, back), [other])

    assert (opened.entry.is_undo, opened.entry.undoes, opened.entry.state) == (True, "PLN-OLD", state)
    assert follow(decision(verdict, back), [other, opened.entry]) == []
    assert follow(decision(Verdict.REFUSED, back), [other]) == []
