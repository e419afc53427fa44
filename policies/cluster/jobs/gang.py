"""What is common to restarts: a gang, its pods, and the marks by which a restart that was cut short goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policies.cluster import pods as pods_
from policies.cluster.client import Json
from policies.cluster.look import Look

SUSPENDED = "watchstander.io/suspended-by"
"""Annotation of a job that Watchstander holds suspended, with the mark of the restart."""
RESTARTED = "watchstander.io/restarted-by"
"""Annotation of a job that was let go on: the restart of this mark is behind it."""
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Switch:
    """A field that stops a gang and lets it go on: `("spec", "suspend")`."""

    path: tuple[str, ...]
    off: bool
    """Its value that stops the gang; the other lets it run."""

    def is_off(self, thing: Json) -> bool:
        """Whether it stands so; an absent field lets run."""
        value: Any = thing
        for part in self.path:
            value = value.get(part) if isinstance(value, dict) else None
        return value is self.off

    def turn(self, off: bool) -> Json:
        """A merge patch that turns it."""
        body: Any = self.off if off else not self.off
        for part in reversed(self.path):
            body = {part: body}
        return dict(body)


OWNERS = frozenset(
    [
        "JobSet",
        "TrainJob",
        "LeaderWorkerSet",
        "RayJob",
        "PyTorchJob",
        "TFJob",
        "XGBoostJob",
        "JAXJob",
        "MPIJob",
        "AppWrapper",
    ]
)
"""Kinds that manage the jobs that they own, their `suspend` too: a gang is restarted at its top owner."""
SUSPEND = Switch(("spec", "suspend"), off=True)


@dataclass(frozen=True, slots=True)
class Gang:
    """A kind of job that its own controller stops and lets go on by a switch."""

    api_version: str
    kind: str
    plural: str
    selector: Callable[[Json], str]
    """Labels of all its pods."""
    over: Callable[[Json], str]
    """Why it can never run again, as a sentence's end; empty: it can."""
    wanted: Callable[[Json], int] = lambda job: 0
    """How many pods it runs when whole; 0: not told by the object."""
    switch: Switch = SUSPEND
    proven: bool = True
    """Whether a test restarts one under its running controller."""

    def pods(self, look: Look, job: Json) -> list[Json]:
        """Its pods that have not ended."""
        found = pods_.pods_labelled(look.client, look.step.target.namespace, self.selector(job))
        return [pod for pod in found if not pods_.is_over(pod)]


def condition(job: Json, *kinds: str) -> str:
    """`Failed (BackoffLimitExceeded)` for the first condition of these that is True; empty where none is."""
    for one in job.get("status", {}).get("conditions") or ():
        if one.get("type") in kinds and one.get("status") == "True":
            reason = f" ({one['reason']})" if one.get("reason") else ""
            return f"{one['type']}{reason}"
    return ""
