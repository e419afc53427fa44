"""The executor and the lead: who does not lead does nothing, who takes over goes on, who was woken is refused."""

import msgspec
from executor_world import SECOND, World, plan, three_steps

from policies.journal import PlanState, Progress, Stale, StepState
from policies.plan import StepKind

CORDON, EVICT, RESTART = StepKind.CORDON, StepKind.EVICT, StepKind.RESTART_JOB


def test_who_does_not_lead_does_nothing() -> None:
    """G21."""
    world, made = World(generation=None), plan()
    world.open(made)

    world.run(10)

    assert (world.state(made), world.cluster.looks) == (PlanState.READY, 0)


def test_a_new_leader_takes_a_plan_over_where_it_stands() -> None:
    """And the old one, woken, is refused at its next write."""
    world, made = World(), three_steps()
    world.cluster.answers[EVICT] = [Progress(StepState.RUNNING, "2 pods left", again_seconds=1)]
    world.open(made)
    world.run()
    asleep = world.journal.entries[made.id]
    second = world.another("agent-2", lambda now_ns: 2)
    world.now_ns += 20 * SECOND

    second.carry_on(asleep)
    world.executor.carry_on(asleep)

    assert world.journal.entries[made.id].holder == "agent-2"
    assert world.state(made) is PlanState.DONE
    assert world.cluster.writes == [(CORDON, "gpu-07"), (EVICT, "gpu-07"), (RESTART, "llama")]
    assert world.executor.counts.stale == 1


def test_a_fence_that_has_come_down_leaves_the_plan_to_the_next_leader() -> None:
    """The lease may have lapsed between the claim and the write."""
    world, made = World(), plan()
    world.cluster.answers[CORDON] = [Stale("the lease was not renewed for 12 s")]  # type: ignore[list-item]
    world.open(made)

    world.run()

    assert world.state(made) is PlanState.RUNNING
    assert world.journal.entries[made.id].steps[0].state is StepState.RUNNING
    assert world.cluster.writes == []


def test_a_plan_that_a_person_withdrew_is_not_written_over() -> None:
    """Their word came between two looks."""
    world, made = World(), three_steps()
    world.open(made)
    (entry,) = world.executor.due()
    withdrawn = msgspec.structs.replace(entry, state=PlanState.LAPSED, reason="rejected by ann")
    world.journal.write(withdrawn, actor="ann", what="reject", detail="")

    world.executor.carry_on(entry)

    assert (world.state(made), world.reason(made)) == (PlanState.LAPSED, "rejected by ann")
    assert world.cluster.looks == 0
