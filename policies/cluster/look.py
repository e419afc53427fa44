"""One look at one step: what a room has at hand, and how it answers.

A room is a module with two functions, `advance(look)` and `verify(look)`, each of which gives a `Progress`
(`policies/journal.py` says what they promise).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from collectors.errors import GiveUp
from policies.cluster.act_settings import ActSettings
from policies.cluster.client import Conflicted, KubeClient
from policies.journal import Progress, StepState
from policies.plan import Plan, Step

ATTEMPTS = 3
"""How often one look reads and decides anew where the object changed between its reading and its writing."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at `plan.steps[index]`."""

    client: KubeClient
    settings: ActSettings
    plan: Plan
    index: int
    memo: Mapping[str, str]
    now_ns: int

    @property
    def step(self) -> Step:
        """The step."""
        return self.plan.steps[self.index]

    def text(self, name: str, default: str = "") -> str:
        """An argument of the step."""
        return self.step.arguments.get(name, default)

    def seconds(self, name: str, default: float) -> float:
        """An argument in seconds. GiveUp where it is no number from 0 on."""
        text = self.text(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 10**9:
            raise GiveUp(
                f"{self.plan.id} step {self.index} ({self.step.kind}): {name}={text!r} is no number of seconds"
            )
        return value

    def since_began(self) -> float:
        """Seconds since the memo's `began`; 0 where there is none."""
        return max(0.0, (self.now_ns - int(self.memo.get("began", self.now_ns))) / 1e9)


class Room(Protocol):
    """A module that carries out one kind of step."""

    def advance(self, look: Look) -> Progress:
        """See `policies.journal.Cluster`."""
        ...

    def verify(self, look: Look) -> Progress:
        """See `policies.journal.Cluster`."""
        ...


def anew_on_conflict(act: Callable[[], Progress]) -> Progress:
    """`act` reads, decides and writes. Where the object changed in between, it does so again; Conflicted at last."""
    for _ in range(ATTEMPTS - 1):
        try:
            return act()
        except Conflicted:
            continue
    return act()


def done(detail: str, *, changed: bool = False) -> Progress:
    """It is as the step wants it."""
    return Progress(StepState.DONE, detail, changed=changed)


def skipped(detail: str, *, changed: bool = False) -> Progress:
    """There is nothing to do, or it is somebody else's."""
    return Progress(StepState.SKIPPED, detail, changed=changed)


def failed(detail: str, *, changed: bool = False) -> Progress:
    """It will not come to be, and this is why."""
    return Progress(StepState.FAILED, detail, changed=changed)


def running(detail: str, again_seconds: float, *, changed: bool = False) -> Progress:
    """Not there yet."""
    return Progress(StepState.RUNNING, detail, again_seconds=again_seconds, changed=changed)


def remember(memo: Mapping[str, str], detail: str, *, changed: bool = False) -> Progress:
    """Journal this before anything more is written to the cluster. The memo is the whole of it, not an addition."""
    return Progress(StepState.WAITING, detail, memo=dict(memo), changed=changed)
