"""The threads that carry plans on: a slow one holds up no other, a fault stops none, nothing runs twice at once."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "policies"))

from executor_world import NOW, World, node, plan

from agent.actions.runner import Runner
from collectors.errors import RetryLater
from policies.journal import PlanEntry, PlanState
from policies.plan import Plan, Step, StepKind


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    arrived = threading.Event()
    for _ in range(int(seconds * 100)):
        if true():
            return
        arrived.wait(0.01)
    raise AssertionError("it never came")


def plans(count: int) -> list[Plan]:
    return [plan(Step(StepKind.CORDON, node(f"n{n}")), incident=f"INC-{n}", made_ns=NOW + n) for n in range(count)]


def test_a_plan_that_takes_long_holds_up_no_other_and_is_not_begun_twice() -> None:
    world, (slow, *others) = World(), plans(5)
    go_on, looks = threading.Event(), []

    def before(made: Plan, _index: int) -> None:
        looks.append(made.id)
        if made.id == slow.id:
            go_on.wait(20)

    world.cluster.before_advance = before
    for made in (slow, *others):
        world.open(made)
    runner = Runner(world.executor, look_seconds=0.01, workers=2)
    runner.start()
    until(lambda: all(world.state(made) is PlanState.DONE for made in others))
    held = world.state(slow)
    go_on.set()
    until(lambda: world.state(slow) is PlanState.DONE)
    runner.stop()

    assert held is PlanState.RUNNING
    assert looks.count(slow.id) == 1


def test_who_hears_of_plans_hears_each_once_as_it_was_and_as_it_is() -> None:
    world, made = World(), plans(3)
    heard: list[tuple[str, PlanState, PlanState]] = []
    runner = Runner(
        world.executor,
        look_seconds=0.01,
        carried=lambda before, after: heard.append((before.plan.id, before.state, after.state)),
    )
    for one in made:
        world.open(one)
    runner.start()
    until(lambda: len(heard) == 3)
    runner.stop()

    assert sorted(heard) == sorted((one.id, PlanState.READY, PlanState.DONE) for one in made)


@pytest.mark.parametrize(
    ("error", "errors", "problem"),
    [
        pytest.param(RetryLater("the store is away"), 0, "the store is away", id="store-away"),
        pytest.param(ZeroDivisionError("ours"), 1, "", id="a-fault-of-ours"),
    ],
)
def test_a_journal_that_fails_is_asked_again(error: Exception, errors: int, problem: str) -> None:
    world, (made,) = World(), plans(1)
    world.open(made)
    failing = [error]
    unfinished = world.journal.unfinished
    seen: list[str] = []

    def broken() -> list[PlanEntry]:
        if failing:
            raise failing.pop()
        seen.append(runner.problem)
        return unfinished()

    world.journal.unfinished = broken  # type: ignore[method-assign]
    runner = Runner(world.executor, look_seconds=0.01)
    runner.start()
    until(lambda: world.state(made) is PlanState.DONE)
    runner.stop()

    assert (runner.errors, seen[0], runner.problem) == (errors, problem, "")


def test_a_plan_that_fails_by_a_fault_of_ours_stops_no_other() -> None:
    world, (bad, good) = World(), plans(2)

    def before(made: Plan, _index: int) -> None:
        if made.id == bad.id:
            raise ZeroDivisionError("ours")

    world.cluster.before_advance = before
    for made in (bad, good):
        world.open(made)
    runner = Runner(world.executor, look_seconds=0.01)
    runner.start()
    until(lambda: world.state(good) is PlanState.DONE and runner.errors)
    runner.stop()

    assert world.state(bad) is PlanState.RUNNING
