"""The journal of plans: what is to be done, who has claimed it, how far it is. This floor owns the port; the agent's
store implements it.

Every write is compare-and-set on `version`: of two writers that read the same entry the second is refused. A claim
carries the lease's generation, and one of an older generation than the entry's is refused too, so that a leader that
was paused and woken cannot go on.

    awaiting ──approve──> ready ──claim──> running ──> done
       │  └──expire/withdraw──> lapsed       │  └────> failed
       └──────────────────────────────────────┴──stop──> stopped
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from policies.plan import Plan


class PlanState(StrEnum):
    """Where a plan stands."""

    AWAITING = "awaiting"
    """Approve: waits for a person."""
    READY = "ready"
    """Approved, or in enforce: waits for its turn."""
    RUNNING = "running"
    DONE = "done"
    """Every step was carried out and verified."""
    FAILED = "failed"
    """A step failed for good; what had been done stands, and its undo is proposed."""
    STOPPED = "stopped"
    """A guard, a person or a changed incident stopped it between two steps."""
    LAPSED = "lapsed"
    """It was not begun in time, or the plan it was made for has changed."""


OVER = frozenset({PlanState.DONE, PlanState.FAILED, PlanState.STOPPED, PlanState.LAPSED})


class StepState(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"
    RUNNING = "running"
    """Intent is journaled; it may or may not have reached the cluster. Repeating it changes nothing."""
    DONE = "done"
    SKIPPED = "skipped"
    """There was nothing to do: it was so already, or its target is gone."""
    FAILED = "failed"


HALF_WAY = "half_way"
"""Key of a step's memo. As long as it is there the step is brought to its end, whatever guards or people say: to stop
now, while a job is held suspended say, would be worse than either end. Its value says why, as a sentence's end."""
WRITTEN = "written"
"""Key of a step's memo: it has written all that it will, and its effect is waited for. Guards have nothing left to hold
up: the pods that come anew are our own doing, not the owner's (G17)."""


class StepEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one step is."""

    state: StepState = StepState.WAITING
    detail: str = ""
    """A sentence: what was done, seen, or refused."""
    memo: dict[str, str] = {}
    """What the step must remember over a crash: the boot id before a reboot, when a drain began."""
    began_ns: int = 0
    ended_ns: int = 0
    attempts: int = 0


class Approval(msgspec.Struct, frozen=True):
    """A person's yes to one plan."""

    who: str
    """Identity as the agent proved it."""
    digest: str
    """Of the plan that was shown."""
    time_ns: int
    expires_ns: int
    how: str
    """`TokenReview and SubjectAccessReview`, or which other proof."""


class PlanEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan in the journal. Immutable; a change is a new value with the next `version`."""

    plan: Plan
    state: PlanState
    steps: tuple[StepEntry, ...]
    """One for each of `plan.steps`."""
    version: int = 0
    """Counts the writes; what compare-and-set compares."""
    generation: int = 0
    """Of the lease under which it was last claimed; 0: never."""
    holder: str = ""
    """Identity of the agent that claimed it."""
    approval: Approval | None = None
    reason: str = ""
    """Why it stands as it does: a guard's word, a person's, an error."""
    is_undo: bool = False
    """It takes back what another plan did."""
    undoes: str = ""
    """Id of that plan."""
    again_ns: int = 0
    """Not to be looked at before, Unix ns: a step that waits."""
    updated_ns: int = 0


class Stale(Exception):  # noqa: N818 - what it says of the writer
    """Another has written since this entry was read, or holds it under a newer generation: read it anew."""


class Journal(Protocol):
    """Where plans are kept. Every method may raise RetryLater."""

    def open(self, entry: PlanEntry) -> PlanEntry:
        """Put in a plan that is not there yet; one that is there (by plan id) and not over comes back as it stands."""
        ...

    def get(self, plan_id: str) -> PlanEntry | None:
        """By id."""
        ...

    def unfinished(self) -> list[PlanEntry]:
        """All that are not over, oldest first."""
        ...

    def write(self, entry: PlanEntry, *, actor: str, what: str, detail: str) -> PlanEntry:
        """Replace the entry of `entry.version` by this value, with an audit entry, in one transaction.

        Returns it with its new version. Stale where the stored version is another, or its generation is newer.
        """
        ...


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one look at a step came to."""

    state: StepState
    """RUNNING: not there yet, look again after `again_seconds`. WAITING: journal `memo` first, then look again."""
    detail: str
    memo: dict[str, str] = {}
    again_seconds: float = 0.0
    changed: bool = False
    """Whether this look wrote to the cluster."""


class Cluster(Protocol):
    """Carries out steps. `policies/cluster` implements it over the Kubernetes API."""

    def advance(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        """Look how the step's target stands, do the next thing that is missing, say how far it is.

        Safe to repeat at any time: what is done already is not done again. Before the first write that cannot be told
        apart afterwards it answers WAITING with a memo, and goes on when called with it. Raises RetryLater (the API
        server is away or busy; nothing is known of this write), GiveUp (it will never succeed: the uid is another,
        an admission webhook says no for good), FixConfiguration (403).
        """
        ...

    def verify(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        """Whether a step that is done still shows in the cluster (P5). Writes nothing. Errors as `advance`."""
        ...
