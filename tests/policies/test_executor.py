"""The executor: every step journaled before it is begun, verified when it is done, repeated without harm."""

import msgspec
import pytest
from executor_world import NOW, SECOND, World, job, node, plan, three_steps

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from policies.executor import Patience, entry_for
from policies.journal import HALF_WAY, WRITTEN, Approval, PlanState, Progress, StepState
from policies.plan import Plan, Step, StepKind

CORDON, EVICT, RESTART, UNCORDON = StepKind.CORDON, StepKind.EVICT, StepKind.RESTART_JOB, StepKind.UNCORDON


def test_steps_are_carried_out_in_order_and_each_is_told() -> None:
    """Two writes of the journal for one step, one more for each further step."""
    world, made = World(), three_steps()
    world.open(made)

    world.run()

    assert world.cluster.writes == [(CORDON, "gpu-07"), (EVICT, "gpu-07"), (RESTART, "llama")]
    assert world.state(made) is PlanState.DONE
    assert world.words(made) == [
        "plan: ",
        "begin: next: cordon node gpu-07",
        "step: cordon node gpu-07: done; next: evict the pods of node gpu-07",
        "step: evict the pods of node gpu-07: done; next: restart job llama",
        "done: restart job llama: done; 3 of 3 steps carried out",
    ]
    assert world.told == ["acted cordon", "acted evict", "acted restart_job", "mitigated"]


def test_intent_is_journaled_before_the_cluster_is_touched() -> None:
    """Whoever finds the entry after a crash knows which step may have reached the cluster."""
    world, made = World(), three_steps()
    world.open(made)
    seen = []
    world.cluster.before_advance = lambda plan_, index: seen.append(
        (index, world.journal.entries[made.id].steps[index].state, world.journal.entries[made.id].holder)
    )

    world.run()

    assert seen == [(index, StepState.RUNNING, "agent-1") for index in range(3)]


def test_a_plan_that_waits_for_a_person_is_left_alone() -> None:
    """Nothing is asked, nothing is written."""
    world, made = World(), plan()
    world.open(made, PlanState.AWAITING)

    world.run(10)

    assert (world.state(made), world.cluster.looks) == (PlanState.AWAITING, 0)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param(PlanState.AWAITING, "nobody approved it in time", id="not-approved"),
        pytest.param(PlanState.READY, "it was not begun in time; G9: too many", id="not-begun"),
    ],
)
def test_a_plan_lapses_at_its_deadline(state: PlanState, reason: str) -> None:
    """It says why it had waited."""
    world, made = World(), plan(deadline_ns=NOW + 60 * SECOND)
    world.open(made, state)
    world.against = {"G9": "too many"}

    world.run(62)

    assert (world.state(made), world.reason(made)) == (PlanState.LAPSED, reason)
    assert world.cluster.writes == []


def test_an_approval_that_expired_before_the_plan_was_begun_counts_no_more() -> None:
    """What a person saw has grown old."""
    world, made = World(), plan()
    approval = Approval("ann", made.digest, NOW, NOW + 10 * SECOND, "test")
    world.journal.open(msgspec.structs.replace(entry_for(made, PlanState.READY), approval=approval))
    world.against = {"G9": "too many"}

    world.run(12)

    assert world.reason(made) == "the approval by ann expired before it was begun"


def test_an_approval_of_another_digest_carries_nothing_out() -> None:
    """Though the journal says that it is ready."""
    world, made = World(), plan()
    approval = Approval("ann", "0" * 64, NOW, NOW + 3600 * SECOND, "test")
    world.journal.open(msgspec.structs.replace(entry_for(made, PlanState.READY), approval=approval))

    world.run()

    assert world.reason(made) == "ann approved another plan, of digest 000000000000"
    assert world.cluster.looks == 0


def test_steps_that_are_not_those_of_the_digest_are_not_carried_out() -> None:
    """Somebody has written into the journal."""
    world = World()
    made = msgspec.structs.replace(plan(), steps=(Step(CORDON, node("other")),))
    world.open(made)

    world.run()

    assert (world.state(made), world.cluster.looks) == (PlanState.FAILED, 0)


def test_one_node_is_acted_upon_by_one_plan_at_a_time_oldest_first() -> None:
    """The second waits in line, a third about another node does not."""
    world = World()
    first, second = three_steps(), plan(Step(CORDON, node()), Step(StepKind.TAINT, node()), made_ns=NOW + 1)
    third = plan(Step(CORDON, node("gpu-08")), made_ns=NOW + 2)
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=30)]
    for made in (second, first, third):
        world.open(made)

    world.run(5)
    during = [world.state(made) for made in (first, second, third)]
    world.run(60)

    assert during == [PlanState.RUNNING, PlanState.READY, PlanState.DONE]
    assert [world.state(made) for made in (first, second, third)] == [PlanState.DONE] * 3


def test_a_step_that_waits_holds_up_nobody_else() -> None:
    """It is looked at again when it said, not before."""
    world = World()
    drains = plan(Step(EVICT, node()))
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "1 pod left", again_seconds=20)]
    world.open(drains)
    world.run()
    world.open(plan(Step(CORDON, node("gpu-08"))))
    world.run(19)
    before = world.cluster.looks
    world.run(1)

    assert before == 2  # the drain once, the other node's cordon once
    assert world.state(drains) is PlanState.DONE


def test_how_far_a_drain_is_is_journaled_now_and_then() -> None:
    """Its words for people not at every look; what it must remember at once."""
    world, made = World(), plan(Step(EVICT, node(), words="drain"))
    world.cluster.answers[EVICT] = [
        Progress(StepState.RUNNING, "9 pods left", memo={"began": "1"}, again_seconds=1),
        *[Progress(StepState.RUNNING, f"{n} pods left", memo={"began": "1"}, again_seconds=1) for n in range(8, 0, -1)],
    ]
    world.open(made)

    world.run(12)

    assert world.words(made)[2:] == ["step: 9 pods left", "done: drain: done; 1 of 1 steps carried out"]


def test_a_memo_is_journaled_before_the_step_goes_on() -> None:
    """The boot id before a reboot: afterwards nobody could tell."""
    world, made = World(), plan(Step(StepKind.REBOOT_NODE, node()))
    world.cluster.answers[StepKind.REBOOT_NODE] = [
        Progress(StepState.WAITING, "boot id noted", memo={"boot_id": "b1"}),
    ]
    seen: list[dict[str, str]] = []
    world.cluster.before_advance = lambda plan_, index: seen.append(world.journal.entries[made.id].steps[0].memo)
    world.open(made)

    world.run()

    assert seen == [{}, {"boot_id": "b1"}]
    assert world.state(made) is PlanState.DONE


@pytest.mark.parametrize("guard", ["G1", "G3", "G19", "G22"])
def test_a_guard_that_says_no_in_mid_plan_stops_it_and_proposes_the_undo(guard: str) -> None:
    """What was done stands until a person says otherwise."""
    world, made = World(), three_steps()
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(made)
    world.run()
    world.against = {guard: "ann has uncordoned the node"}

    world.run(5)
    undo = next(entry for entry in world.journal.entries.values() if entry.is_undo)

    assert world.state(made) is PlanState.STOPPED
    assert world.reason(made) == f"{guard}: ann has uncordoned the node; undo proposed: {undo.plan.id}"
    assert (undo.state, undo.undoes) == (PlanState.AWAITING, made.id)
    assert [step.kind for step in undo.plan.steps] == [UNCORDON]
    assert world.cluster.writes == [(CORDON, "gpu-07")]


def test_an_undo_is_carried_out_once_it_is_approved_and_has_no_undo_itself() -> None:
    """What took something back needs no taking back."""
    world, made = World(), plan()
    world.cluster.lost = {CORDON}
    world.open(made)
    world.run()
    undo = next(entry for entry in world.journal.entries.values() if entry.is_undo)
    world.cluster.lost = set()
    world.journal.write(msgspec.structs.replace(undo, state=PlanState.READY), actor="ann", what="approve", detail="")

    world.run()

    assert world.state(undo.plan) is PlanState.DONE
    assert (UNCORDON, "gpu-07") in world.cluster.writes
    assert sum(entry.is_undo for entry in world.journal.entries.values()) == 1


def test_guards_on_how_sure_the_fault_is_are_silent_once_it_has_begun() -> None:
    """A node that is rebooted falls silent, by our own doing; evidence grows old while it is drained."""
    world, made = World(), three_steps()
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(made)
    world.run()
    world.against = {"G14": "telemetry is missing", "G15": ""}

    world.run(3)

    assert world.state(made) is PlanState.DONE


def test_a_plan_that_is_held_before_it_begins_waits_and_says_so_once() -> None:
    """Until the guard lets go."""
    world, made = World(), plan()
    world.open(made)
    world.against = {"G9": "6 acts in the last hour, at most 6"}
    world.run(30)
    held = world.words(made)
    world.against = {}
    world.run(3)

    assert held == ["plan: ", "hold: waits: G9: 6 acts in the last hour, at most 6"]
    assert world.state(made) is PlanState.DONE


def test_a_plan_that_a_guard_refuses_for_good_lapses_before_it_begins() -> None:
    """A person has put a snooze on the node."""
    world, made = World(), plan()
    world.open(made)
    world.against = {"G19": "snoozed until noon"}

    world.run()

    assert (world.state(made), world.reason(made)) == (PlanState.LAPSED, "G19: snoozed until noon")


def test_a_pause_holds_a_plan_between_two_steps_and_one_that_lasts_stops_it() -> None:
    """It goes on where it was, if soon."""
    world, made = World(), three_steps()
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(made)
    world.run()
    world.against = {"G20": "paused by ann: upgrade"}
    world.run(600)
    held = world.state(made)
    world.against = {}
    world.run(5)

    other = three_steps("gpu-08", incident="INC-bbbb2222")
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(other)
    world.run()
    world.against = {"G20": "paused by ann: upgrade"}
    world.run(905)

    assert (held, world.state(made)) == (PlanState.RUNNING, PlanState.DONE)
    assert world.state(other) is PlanState.STOPPED
    assert "held for more than 900 s" in world.reason(other)


def test_a_plan_waits_while_nothing_can_be_said_about_it() -> None:
    """After a restart its incident has not been looked at yet."""
    world, made = World(), plan()
    world.open(made)
    world.unknown = "INC-aaaa1111 has not been looked at since the start"
    world.run(10)
    waiting = (world.state(made), world.reason(made), len(world.words(made)))
    world.unknown = ""
    world.run(3)

    assert waiting == (PlanState.READY, "INC-aaaa1111 has not been looked at since the start", 2)
    assert world.state(made) is PlanState.DONE


def test_a_plan_that_is_no_longer_wanted_stops_between_two_steps() -> None:
    """Its undo is proposed; one that has not begun lapses."""
    world, made, other = World(), three_steps(), plan(Step(CORDON, node("gpu-09")), incident="INC-b")
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(made)
    world.run()
    world.unwanted = "the incident is resolved, by ann"
    world.open(other)
    world.run(5)

    assert [world.state(made), world.state(other)] == [PlanState.STOPPED, PlanState.LAPSED]
    assert world.reason(made).startswith("the incident is resolved, by ann; undo proposed: PLN-")
    assert world.cluster.writes == [(CORDON, "gpu-07")]


@pytest.mark.parametrize("says_no", ["a guard", "nobody wants it", "nothing can be said"])
def test_a_restart_that_has_begun_is_brought_to_its_end(says_no: str) -> None:
    """Half way through, the job is suspended; before it has begun, a no still counts."""
    world, made = World(), plan(Step(RESTART, job()))
    world.cluster.answers[RESTART] = [
        Progress(StepState.WAITING, "4 pods are to be moved", memo={HALF_WAY: "the job is suspended"}),
        Progress(StepState.RUNNING, "suspended; 4 pods end", again_seconds=1, changed=True),
    ]
    world.open(made)
    world.run()
    suspended = world.state(made)
    if says_no == "a guard":
        world.against = {"G1": "the agent's mode is audit", "G20": "paused"}
    elif says_no == "nobody wants it":
        world.unwanted = "the incident is resolved"
    else:
        world.unknown = "not looked at since the start"
    world.run(5)

    assert (suspended, world.state(made)) == (PlanState.RUNNING, PlanState.DONE)
    assert world.cluster.writes == [(RESTART, "llama")]


def test_once_nothing_is_half_done_any_more_a_no_counts_again() -> None:
    world, made = World(), plan(Step(RESTART, job()))
    world.cluster.answers[RESTART] = [
        Progress(StepState.WAITING, "4 pods are to be moved", memo={HALF_WAY: "the job is suspended"}),
        Progress(StepState.WAITING, "resumed", memo={"began": "1"}, changed=True),
        Progress(StepState.RUNNING, "2 of 4 pods run", again_seconds=1),
    ]
    world.open(made)
    world.run()
    world.unwanted = "the incident is resolved"
    world.run(5)

    assert (world.state(made), world.reason(made)) == (PlanState.STOPPED, "the incident is resolved")


def test_a_guard_is_not_asked_any_more_about_a_step_that_has_written_all_it_will() -> None:
    """The pods that a restart has brought back are no sign that the owner recovers the job."""
    world, made = World(), plan(Step(RESTART, job()))
    world.cluster.answers[RESTART] = [
        Progress(StepState.WAITING, "resumed", memo={WRITTEN: "resumed"}, changed=True),
        Progress(StepState.RUNNING, "2 of 4 pods run", again_seconds=1),
    ]
    world.open(made)
    world.run()
    world.against = {"G17": "4 pods were made anew"}
    world.run(5)

    assert world.state(made) is PlanState.DONE


def test_what_is_said_later_is_tried_again_with_growing_patience() -> None:
    """An API server that is away for a while costs nothing but time."""
    world, made = World(), plan()
    world.cluster.answers[CORDON] = [RetryLater("refused")] * 4 + [RetryLater("429", after_seconds=30)]
    world.open(made)

    world.run(14)
    before = world.journal.entries[made.id].steps[0].attempts
    world.run(16)

    assert before == 4
    assert world.state(made) is PlanState.RUNNING
    assert world.journal.entries[made.id].steps[0].detail == "tried again in 30 s, 5 of 12: 429"
    world.run(15)
    assert world.state(made) is PlanState.DONE


def test_tries_have_an_end_and_what_may_have_been_done_is_proposed_to_be_taken_back() -> None:
    """A time-out says nothing about whether the cordon arrived."""
    world, made = World(patience=Patience(retries=3)), plan()
    world.cluster.answers[CORDON] = [RetryLater("timed out")] * 10
    world.open(made)

    world.run(60)
    undo = [entry for entry in world.journal.entries.values() if entry.is_undo]

    assert world.state(made) is PlanState.FAILED
    assert "4 tries in a row failed, the last: timed out" in world.reason(made)
    assert [step.kind for entry in undo for step in entry.plan.steps] == [UNCORDON]


def test_a_step_that_will_never_succeed_fails_the_plan_and_proposes_the_undo_of_the_others() -> None:
    """The failed one itself was never done."""
    world, made = World(), three_steps()
    world.cluster.answers[RESTART] = [GiveUp("Job training/llama has another uid")]
    world.open(made)

    world.run()
    undo = next(entry for entry in world.journal.entries.values() if entry.is_undo)

    assert world.state(made) is PlanState.FAILED
    assert [step.kind for step in undo.plan.steps] == [UNCORDON]
    assert "mitigated" not in world.told


def test_nothing_done_nothing_to_take_back() -> None:
    """The very first step was refused for good."""
    world, made = World(), plan()
    world.cluster.answers[CORDON] = [GiveUp("admission webhook: no")]
    world.open(made)

    world.run()

    assert (world.state(made), len(world.journal.entries)) == (PlanState.FAILED, 1)


def test_what_a_person_must_mend_is_waited_for_and_said_once() -> None:
    """403: the role lacks a verb."""
    world, made = World(), plan()
    world.cluster.answers[CORDON] = [FixConfiguration("403 patch nodes; grant it in the agent's role")] * 3
    world.open(made)

    world.run(150)
    waiting = (world.state(made), world.reason(made), len(world.words(made)))
    world.run(60)

    assert waiting == (PlanState.RUNNING, "403 patch nodes; grant it in the agent's role", 3)
    assert world.state(made) is PlanState.DONE


def test_a_step_whose_effect_does_not_show_has_failed() -> None:
    """P5: the API server said yes, and somebody undid it."""
    world, made = World(), plan()
    world.cluster.lost = {CORDON}
    world.open(made)

    world.run()

    assert world.state(made) is PlanState.FAILED
    assert "not seen in the cluster: node is schedulable" in world.reason(made)


def test_the_first_steps_must_still_show_when_the_last_is_done() -> None:
    """Somebody uncordoned while the pods were moved."""
    world, made = World(), three_steps()
    world.open(made)
    world.cluster.before_advance = lambda plan_, index: (
        world.cluster.true.discard((CORDON, "gpu-07")) if index else None
    )

    world.run()

    assert world.state(made) is PlanState.FAILED
    assert "cordon node gpu-07: it no longer shows in the cluster" in world.reason(made)


def test_a_gang_that_starts_again_while_other_pods_are_moved_is_waited_for_at_the_end() -> None:
    """It showed when its step was done, and for a moment it is not whole."""
    world = World()
    made = plan(Step(RESTART, job(), words="restart job llama"), Step(EVICT, node(), words="evict 1 pod"))
    world.open(made)
    verify, shown = world.cluster.verify, []

    def starting(plan_: Plan, index: int, memo: dict[str, str], now_ns: int) -> Progress:
        shown.append(index)
        if shown.count(0) == 2:
            return Progress(StepState.RUNNING, "3 of 4 pods run", again_seconds=5)
        return verify(plan_, index, memo, now_ns)

    world.cluster.verify = starting  # type: ignore[method-assign]
    world.run()
    waiting = world.state(made)
    world.run(6)

    assert (waiting, world.state(made)) == (PlanState.RUNNING, PlanState.DONE)
    assert world.cluster.writes == [(RESTART, "llama"), (EVICT, "gpu-07")]
    assert world.told == ["acted restart_job", "acted evict", "mitigated"]


def test_plans_that_the_view_may_not_show_yet_are_told_to_the_guards() -> None:
    """Claims are made one at a time: two plans never see the same last free place."""
    world = World()
    plans = [plan(Step(CORDON, node(f"n{n}")), incident=f"INC-{n}") for n in range(3)]
    for made in plans:
        world.open(made)
    world.run()
    ids = [id_ for id_, _, _ in world.asked]
    world.now_ns += 121 * SECOND
    last = plan(Step(CORDON, node("n9")), incident="INC-9", made_ns=world.now_ns, deadline_ns=0)
    world.open(last)
    world.run()

    assert [beside for _, _, beside in world.asked] == [[], ids[:1], ids[:2], []]
