"""What becomes of a plan, told to those who must know: the watch, people, the figures."""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from agent.incidents.desk import Conflict, Desk
from agent.store.store import Store
from collectors.errors import GiveUp, WatchError
from detectors.model import IncidentState
from policies.engine import PolicyEngine
from policies.journal import OVER, PlanEntry, PlanState
from policies.plan import StepKind

_log = logging.getLogger(__name__)

BUCKETS = (0.5, 1.0, 1.5, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds from an incident's first sign to its node's cordon; upper bounds, as Prometheus counts."""


class EventToCordon:
    """How long it took from the first sign of a fault to the cordon of its node."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """One more."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        """How many."""
        return sum(self.buckets)


class Outcome:
    """Heard by executor and runner. Safe for threads."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        engines: Callable[[], Iterable[PolicyEngine]],
        clock: Callable[[], int],
        changed: Callable[[], None],
        under: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`changed` is called when a step was carried out. `clock` gives Unix ns. `under`: the generation of the lease
        that the agent's own words are stored under; None where nobody else writes to the store."""
        self._store = store
        self._desk = desk
        self._engines = engines
        self._clock = clock
        self._changed = changed
        self._under = under
        self.event_to_cordon = EventToCordon()
        self.plans: Counter[str] = Counter()
        """Plans that ended since the start, by state."""

    def acted(self, entry: PlanEntry, index: int) -> None:
        """A step was carried out."""
        if entry.plan.steps[index].kind is not StepKind.CORDON or entry.is_undo:
            return
        try:
            incident = self._store.incident(entry.plan.incident)
        except WatchError:
            return  # a figure less; what was done is journaled all the same
        if incident is not None:
            self.event_to_cordon.note(max(0, self._clock() - incident.since_ns) / 1e9)

    def mitigated(self, entry: PlanEntry) -> None:
        """All its steps are carried out: the incident is mitigated, or, after an undo, a person has it in hand.

        Told again after a crash: the second time changes nothing.
        """
        incident = self._store.incident(entry.plan.incident)
        if incident is None or incident.state is IncidentState.RESOLVED:
            return
        try:
            if not entry.is_undo and incident.state is not IncidentState.MITIGATED:
                self._desk.mitigate(incident, entry.plan.id, self._clock(), self._under())
            elif entry.is_undo and incident.state is IncidentState.MITIGATED:
                who = entry.approval.who if entry.approval is not None else "watchstander"
                note = f"{entry.undoes} was taken back"
                self._desk.take_back(incident, who, self._clock(), note, self._under())
        except (Conflict, GiveUp) as error:
            _log.info("%s: the incident stands otherwise by now: %s", entry.plan.id, error)

    def carried(self, before: PlanEntry, after: PlanEntry) -> None:
        """A plan was carried on."""
        self._changed()
        if after.state in OVER and before.state not in OVER:
            self.plans[after.state.value] += 1
            failed = after.reason if after.state is PlanState.FAILED else ""
            for engine in self._engines():
                engine.plan_ended(after.plan.id, failed_because=failed)
            _log.info("plan %s of %s: %s: %s", after.plan.id, after.plan.incident, after.state.value, after.reason)
        elif before.state is PlanState.READY and after.state is PlanState.RUNNING:
            for engine in self._engines():
                engine.plan_began(after.plan)
