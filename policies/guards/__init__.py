"""Guards: each may only ever say no, with the figures it rests on. docs/guards.md describes them.

The same words are asked twice: when a decision is made, and again right before each of its steps.

    words = judge_all(context)

The executor gets its context from `policies.engine.PolicyEngine.context_for`.
"""

from collections.abc import Iterable

from policies.guards.authority import LeaderGuard, LiveGuard, ModeGuard, PauseGuard, WindowGuard, stricter
from policies.guards.consent import NamespaceGuard, OptOutGuard, PersonGuard, ProtectedGuard
from policies.guards.contract import Guard, GuardContext
from policies.guards.evidence import EvidenceGuard, SourcesGuard
from policies.guards.health import ClusterGuard
from policies.guards.limits import CapacityGuard, FleetGuard, PlaceGuard
from policies.guards.pace import AttemptsGuard, OneAtATimeGuard, RateGuard, WaitGuard
from policies.guards.wave import WaveGuard
from policies.guards.workload import BudgetGuard, OwnerGuard
from policies.model import GuardWord

_ALL: tuple[Guard, ...] = (
    ModeGuard(),
    LiveGuard(),
    OptOutGuard(),
    NamespaceGuard(),
    ProtectedGuard(),
    FleetGuard(),
    PlaceGuard(),
    CapacityGuard(),
    RateGuard(),
    OneAtATimeGuard(),
    WaitGuard(),
    WindowGuard(),
    WaveGuard(),
    EvidenceGuard(),
    SourcesGuard(),
    BudgetGuard(),
    OwnerGuard(),
    ClusterGuard(),
    PersonGuard(),
    PauseGuard(),
    LeaderGuard(),
    AttemptsGuard(),
)
GUARDS: dict[str, Guard] = {guard.id: guard for guard in _ALL}
"""By id, in the order in which they speak: G1 to G22."""

HOLDING = frozenset({"G1", "G2"})
"""Guards whose "no" does not refuse: the decision stands as what would be done, or as what a person is asked for."""

WITHOUT_A_CLUSTER = tuple(guard.id for guard in _ALL if not guard.needs_view)
"""Those that have a word where no cluster is known."""

PASSING = frozenset(guard.id for guard in _ALL if guard.passes)
"""Guards whose "no" may lift by itself: a plan under way waits, until its deadline; any other "no" stops it."""

OF_MOVING = frozenset({"G4", "G5", "G8", "G16", "G17"})
"""Guards that are about work that moves: where only these say no, the node can still be marked and closed."""


def judge_all(context: GuardContext) -> tuple[GuardWord, ...]:
    """What each guard says to what is left of the plan, G1 to G22. Pure; never raises."""
    return tuple(guard.judge(context) for guard in _ALL)


def judge(context: GuardContext, ids: Iterable[str]) -> tuple[GuardWord, ...]:
    """What some guards say, in the order of their ids here."""
    return tuple(GUARDS[id_].judge(context) for id_ in ids)


def refusing(words: Iterable[GuardWord]) -> tuple[GuardWord, ...]:
    """The words that refuse; those of `HOLDING` do not."""
    return tuple(word for word in words if not word.allows and word.guard not in HOLDING)


__all__ = [
    "GUARDS",
    "HOLDING",
    "OF_MOVING",
    "PASSING",
    "WITHOUT_A_CLUSTER",
    "Guard",
    "GuardContext",
    "judge",
    "judge_all",
    "refusing",
    "stricter",
]
