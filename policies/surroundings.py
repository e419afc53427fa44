"""What else is going on, kept as decisions are made: open faults by place, and plans that are under way."""

from collections.abc import Iterable

from policies.around import Around, Crowds, Pending, Where
from policies.cluster_view import Place
from policies.facts import Facts
from policies.guard_settings import GuardSettings
from policies.plan import Plan
from policies.under_way import UnderWay

NS = 1_000_000_000


class Surroundings:
    """Of all incidents that one engine decides about."""

    def __init__(self) -> None:
        self.under_way = UnderWay()
        self._crowds = Crowds()

    def stand(self, facts: Facts, *, touches: bool) -> frozenset[str]:
        """An incident is open; uids of the nodes that it is about, none where its rule touches nothing."""
        incident = facts.incident
        places = facts.places if touches and facts.as_live else ()
        if places:
            shown = ((p.subject.id, p.since_ns, _where(p.rack, p.domain)) for p in places)
            self._crowds.note(incident.id, incident.kind.value, shown)
        else:
            self._crowds.drop(incident.id)
        return frozenset(place.subject.id for place in places)

    def over(self, incident: str) -> None:
        """An incident is resolved."""
        self._crowds.drop(incident)
        self.under_way.drop(incident)

    def begin(self, plan: Plan, facts: Facts, settings: GuardSettings) -> None:
        """A plan was decided to be done, or approved."""
        slack = settings.budgets.deadline_seconds + settings.plan.checkpoint_seconds
        self.under_way.begin(plan, facts.incident.kind.value, slack, facts.now_ns)

    def around(self, facts: Facts, settings: GuardSettings, beside: Iterable[Pending] = ()) -> Around:
        """As one incident sees it. `beside`: plans of others that are known to be under way besides."""
        incident = facts.incident
        crowds = []
        if facts.places:
            place = facts.places[0]
            since_ns = max(p.since_ns for p in facts.places) if facts.wave else place.since_ns
            span_ns = settings.wave.window_seconds * NS + (since_ns - place.since_ns)
            where = _where(place.rack, place.domain)
            crowds = list(self._crowds.near(incident.kind.value, since_ns, where, span_ns))
        pending = {one.plan: one for one in beside if one.incident != incident.id}
        pending.update((one.plan, one) for one in self.under_way.others(incident.id))
        return Around(tuple(pending.values()), tuple(crowds))


def _where(rack: str, domain: str) -> tuple[Where, ...]:
    return tuple((place, name) for place, name in ((Place.RACK, rack), (Place.DOMAIN, domain)) if name)
