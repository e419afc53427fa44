"""What tests of acting share: plans of one step, a driver that does what an executor does, a clock of our own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collectors.errors import GiveUp, RetryLater
from policies.cluster.act_settings import ActSettings
from policies.cluster.client import KubeClient
from policies.cluster.steps import ClusterSteps
from policies.journal import Progress, StepState
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan
from testcluster.admin import Object
from testcluster.control_plane import ControlPlane

MADE_NS = 1_800_000_000_000_000_000
MOST_LOOKS = 2000


def target_of(thing: Object) -> Target:
    """Of an object as the API server gave it."""
    metadata = thing["metadata"]
    return Target(thing["apiVersion"], thing["kind"], metadata.get("namespace", ""), metadata["name"], metadata["uid"])


def plan_of(kind: StepKind, target: Target, arguments: dict[str, str] | None = None, **more: Any) -> Plan:
    """A plan of one step; `incident` tells two of them apart, `undoes` makes it an undo."""
    incident, undoes = more.pop("incident", "INC-1"), more.pop("undoes", "")
    step = Step(kind, target, arguments or {}, f"{kind.value} {target}")
    return make_plan(incident, "DEC-1", "a-rule", (step,), Blast(), more.pop("made_ns", MADE_NS), undoes=undoes)


def undo_of(plan: Plan) -> Plan:
    """What takes a plan back."""
    return make_plan(plan.incident, "DEC-2", plan.rule, plan.undo, Blast(), MADE_NS, undoes=plan.id)


def client_of(plane: ControlPlane, url: str = "", user: str = "admin", **more: Any) -> KubeClient:
    """At the API server itself, or at a proxy in front of it."""
    if url:
        return KubeClient.at(url, plane.token_file(user), **more)
    return KubeClient.at(plane.url, plane.token_file(user), plane.ca_file, **more)


@dataclass
class Driver:
    """Looks again until a step is over, keeping its memo as a journal would. Time goes on as looks ask."""

    steps: ClusterSteps
    plan: Plan
    pause: Callable[[float], None]
    """Given the seconds that a look asked for: lets the cluster do its part."""
    memo: dict[str, str] = field(default_factory=dict)
    now_ns: int = MADE_NS
    looks: list[Progress] = field(default_factory=list)

    def look(self) -> Progress:
        """One look; its memo is kept, as an executor keeps it."""
        progress = self.steps.advance(self.plan, 0, dict(self.memo), self.now_ns)
        self.looks.append(progress)
        if progress.state is StepState.WAITING:
            self.memo = dict(progress.memo)
        return progress

    def run(self, until: Callable[[Progress], bool] = lambda progress: False) -> Progress:
        """Until it is over, or as `until` says. What is to be tried again is tried again."""
        for _ in range(MOST_LOOKS):
            try:
                progress = self.look()
            except RetryLater:
                self.wait(1.0)
                continue
            if progress.state in (StepState.DONE, StepState.SKIPPED, StepState.FAILED) or until(progress):
                return progress
            if progress.state is StepState.RUNNING:
                self.wait(progress.again_seconds)
        raise AssertionError(f"not over after {MOST_LOOKS} looks: {self.looks[-3:]}")

    def wait(self, seconds: float) -> None:
        """The clock goes on, and the cluster gets a moment."""
        self.now_ns += int(seconds * 1e9)
        self.pause(seconds)

    def verify(self) -> Progress:
        """As an executor does once it is done."""
        return self.steps.verify(self.plan, 0, dict(self.memo), self.now_ns)


Act = Callable[..., Driver]
"""The fixture `act`."""


def a_moment(seconds: float) -> None:
    """Controllers work in real time; the drivers' own clock goes as fast as the looks ask."""
    time.sleep(0.05)


def refused(driver: Driver) -> str:
    """The reason of a step that gives up."""
    try:
        progress = driver.run()
    except GiveUp as error:
        return str(error)
    raise AssertionError(f"it did not give up: {progress}")


def settings(**more: Any) -> ActSettings:
    """Defaults, and what a test needs otherwise."""
    return ActSettings(**more)
