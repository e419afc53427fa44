"""What the store holds, as one identity may see it: every route and every page reads incidents, jobs and plans here.

Who may read everything is given what the store gives. Who is limited to namespaces is given what belongs to them, the
rest as a count, and for a thing that is hidden the same answer as for one that does not exist. The count is of all
that is hidden, whatever page is asked for: cursors and pages tell nothing about it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.access.authorise import Identity, Permission
from agent.access.cut import Seen, cut_decision, cut_incident
from agent.access.sight import Sight, sight_of
from agent.store.journal import only_plan
from agent.store.sifted import incidents_by_id, incidents_fitting, owners, plans_fitting
from agent.store.store import Store
from agent.store.tables.incidents import only_one
from collectors.model import Origin
from detectors.model import Finding, Incident, IncidentState
from policies.journal import PlanEntry, PlanState
from policies.model import Decision

T = TypeVar("T")
PLANS_AT_ONCE = 1_000
"""Read in one go while looking for those that may be shown."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list."""

    items: list[T]
    next_before: int | None
    """Where the next page begins; None on the last."""
    hidden: int
    """How many of the whole list may not be read."""


class Visible:
    """The store through the eyes of one identity, for one request. Raises as the store does."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self.store = store
        self.sight: Sight = sight_of(identity)
        self._known: dict[str, Seen | None] = {}

    @property
    def limited(self) -> bool:
        """Whether single namespaces only may be read."""
        return self.sight.limited

    # incidents

    def incidents(
        self,
        *,
        states: Collection[IncidentState] | None = None,
        cluster: str | None = None,
        origin: Origin | None = None,
        limit: int = 100,
        before_ns: int | None = None,
    ) -> Page[Seen]:
        """Newest first. For who reads everything their findings are left unread: `of` reads those of one."""
        if not self.limited:
            found = self.store.incidents(
                states=states, cluster=cluster, origin=origin, limit=limit, before_ns=before_ns
            )
            more = found[-1].opened_ns if len(found) == limit else None
            return Page([Seen(incident, []) for incident in found], more, 0)
        all_of_them = owners(self.store, states=states, cluster=cluster, origin=origin)
        mine = [one for one in all_of_them if self.sight.touches(one.namespaces)]
        hidden = len(all_of_them) - len(mine)
        mine = [one for one in mine if before_ns is None or one.opened_ns < before_ns]
        page = mine[:limit]
        by_id = incidents_by_id(self.store, [one.id for one in page])
        seen = self._cut([by_id[one.id] for one in page if one.id in by_id])
        return Page(seen, page[-1].opened_ns if len(mine) > limit else None, hidden)

    def incident(self, wanted: str) -> Seen | None:
        """By id or its beginning; None where there is none that may be read. GiveUp where several fit."""
        if not self.limited:
            found = self.store.incident(wanted)
            return self.of(found) if found is not None else None
        mine = [i for i in incidents_fitting(self.store, wanted) if self.sight.touches(i.namespaces)]
        one = only_one(wanted, mine)
        return self.of(one) if one is not None else None

    def by_id(self, id_: str) -> Seen | None:
        """By a whole id, remembered for this request."""
        if id_ not in self._known:
            found = incidents_by_id(self.store, [id_]).get(id_) if id_ else None
            self._known[id_] = self.of(found) if found is not None else None
        return self._known[id_]

    def of(self, incident: Incident) -> Seen | None:
        """What may be read of an incident that the store gave, with its findings in causal order."""
        return cut_incident(self.sight, incident, _in_order(incident, self.store.findings(incident.findings)))

    def every(self, seen: Seen) -> list[Finding]:
        """All findings of an incident, hidden ones too: to judge and to count by, never to be shown."""
        return seen.findings if seen.whole else self.store.findings(seen.stored.findings)

    def decisions(self, seen: Seen) -> list[Decision]:
        """About one incident, oldest first."""
        return [cut_decision(self.sight, one, seen) for one in self.store.decisions(seen.incident.id)]

    def must(self, permission: Permission, seen: Seen) -> Incident:
        """The incident as the store has it, to be changed; OutOfReach where this person may not."""
        self.sight.must(permission, seen.stored.namespaces, seen.incident.id)
        return seen.stored

    # plans

    def plans(
        self,
        *,
        states: Collection[PlanState] | None = None,
        incident: str | None = None,
        limit: int = 100,
        before_ns: int | None = None,
    ) -> Page[PlanEntry]:
        """Newest first."""
        journal = self.store.journal
        if not self.limited:
            found = journal.listed(states=states, incident=incident, limit=limit, before_ns=before_ns)
            return Page(found, found[-1].plan.made_ns if len(found) == limit else None, 0)
        all_of_them = self._all_plans(states, incident)
        mine = [entry for entry in all_of_them if self.shows_plan(entry)]
        hidden = len(all_of_them) - len(mine)
        if incident is not None and self.by_id(incident) is None:
            hidden = 0  # of an incident that is hidden nothing is told, as of one that does not exist
        mine = [entry for entry in mine if before_ns is None or entry.plan.made_ns < before_ns]
        page = mine[:limit]
        return Page(page, page[-1].plan.made_ns if len(mine) > limit else None, hidden)

    def plan(self, wanted: str) -> PlanEntry | None:
        """By id or its beginning; None where there is none that may be read. GiveUp where several fit."""
        if not self.limited:
            return self.store.journal.find(wanted)
        return only_plan(wanted, [entry for entry in plans_fitting(self.store, wanted) if self.shows_plan(entry)])

    def shows_plan(self, entry: PlanEntry) -> bool:
        """Whether all that it touches lies in namespaces that may be read, and its incident may be read whole.

        A node belongs to no namespace: whose pods a plan for one would move nobody knows beforehand.
        """
        if not self.limited:
            return True
        if not entry.plan.steps or not self.sight.whole(targets(entry)):
            return False
        seen = self.by_id(entry.plan.incident)
        return seen is not None and seen.whole

    def _all_plans(self, states: Collection[PlanState] | None, incident: str | None) -> list[PlanEntry]:
        found: dict[str, PlanEntry] = {}
        before_ns: int | None = None
        while True:
            some = self.store.journal.listed(states=states, incident=incident, limit=PLANS_AT_ONCE, before_ns=before_ns)
            news = [entry for entry in some if entry.plan.id not in found]
            found |= {entry.plan.id: entry for entry in news}
            if len(some) < PLANS_AT_ONCE or not news:
                return list(found.values())
            before_ns = some[-1].plan.made_ns + 1  # several may be of one instant

    def _cut(self, incidents: Sequence[Incident]) -> list[Seen]:
        findings = {f.id: f for f in self.store.findings([id_ for i in incidents for id_ in i.findings])}
        cut = (cut_incident(self.sight, i, [findings[id_] for id_ in i.findings if id_ in findings]) for i in incidents)
        return [seen for seen in cut if seen is not None]


def targets(entry: PlanEntry) -> tuple[str, ...]:
    """The namespaces of what a plan's steps change; "" for what has none, a node for example."""
    return tuple(sorted({step.target.namespace for step in entry.plan.steps}))


def _in_order(incident: Incident, findings: Collection[Finding]) -> list[Finding]:
    by_id = {finding.id: finding for finding in findings}
    return [by_id[id_] for id_ in incident.findings if id_ in by_id]
