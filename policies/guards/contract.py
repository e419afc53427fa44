"""What every guard is given, and what it is."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from policies.around import ALONE, Around
from policies.cluster_view import ClusterView, Taken
from policies.facts import Facts
from policies.guard_settings import GuardSettings
from policies.model import GuardWord, Mode
from policies.plan import Plan, Step
from policies.reach import MARKS, MOVES, TAKES_BACK, TAKES_OUT, Reach, reach_of
from policies.rules import Rule

NS = 1_000_000_000


@dataclass(frozen=True)
class GuardContext:
    """All that guards may look at. The same context gives the same words."""

    facts: Facts
    rule: Rule
    mode: Mode
    """The agent's own."""
    now_ns: int
    """The agent's clock, Unix ns."""
    settings: GuardSettings = field(default_factory=GuardSettings)
    view: ClusterView | None = None
    """None: no cluster is known; guards that need its word then say no."""
    plan: Plan | None = None
    """None: no steps could be named."""
    around: Around = ALONE
    done: frozenset[int] = frozenset()
    """Steps of the plan, by index, that were carried out already: only the rest is judged."""
    approved_by: str = ""
    """Who said yes to this plan's digest; empty: nobody."""
    ripe_ns: int = 0
    """Since when only guards that let go by themselves, or a person, hold this up, Unix ns; 0: they do not."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Those still to be carried out."""
        all_steps = self.plan.steps if self.plan is not None else ()
        return tuple(step for index, step in enumerate(all_steps) if index not in self.done)

    @cached_property
    def reach(self) -> Reach:
        """Whom they touch; nobody without a view."""
        return reach_of(self.steps, self.view) if self.view is not None else Reach()

    @property
    def undoes(self) -> bool:
        """Whether the plan takes back what another did."""
        return self.plan is not None and bool(self.plan.undoes)

    @cached_property
    def lately(self) -> tuple[Taken, ...]:
        """What was done within the longest window that a guard looks back, the oldest first."""
        attempts = self.settings.attempts
        seconds = max(
            attempts.node_seconds,
            attempts.job_seconds,
            self.settings.rate.seconds,
            self.settings.node.cool_down_seconds,
            self.settings.person.remember_seconds,
            self.settings.wave.longest_seconds + self.settings.wave.window_seconds,
        )
        return tuple(self.view.taken(self.now_ns - seconds * NS)) if self.view is not None else ()

    def since(self, seconds: int) -> tuple[Taken, ...]:
        """What was done within so many seconds."""
        return tuple(one for one in self.lately if one.time_ns > self.now_ns - seconds * NS)


ACTS = frozenset(kind.value for kind in TAKES_OUT | MOVES)
"""`Taken.what` of steps that disturb somebody."""
QUIET = MARKS | TAKES_BACK
"""Steps that disturb nobody."""


class Guard:
    """May only ever say no, with the figures that its word rests on. No state, no I/O, no clock of its own."""

    id: ClassVar[str]
    says_no_when: ClassVar[str]
    """One sentence: when it says no."""
    passes: ClassVar[bool] = False
    """Whether its no may lift by itself: a plan under way then waits for it rather than stops."""
    needs_view: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = ()
    """Its groups in `GuardSettings`."""

    def judge(self, context: GuardContext) -> GuardWord:
        """Its word. Never raises."""
        if self.needs_view and context.view is None:
            return self._no("nothing is known of the cluster: the agent has no view of it")
        return GuardWord(self.id, *self.look(context))

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Whether it allows what is left of the plan, and the figures, in a few words."""
        raise NotImplementedError

    def _no(self, reason: str) -> GuardWord:
        return GuardWord(self.id, False, reason)


def seconds_words(seconds: float) -> str:
    """A stretch of time for people: `45 s`, `12 min`, `3 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def few(names: list[str], most: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
