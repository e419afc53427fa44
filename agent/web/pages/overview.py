"""`/`: open incidents first: what, where, probable cause, since when, what would be done."""

from dataclasses import dataclass

from starlette.requests import Request

from agent.access.cut import Seen
from agent.access.visible import Visible
from agent.access.visible_story import explanation_of
from agent.api.as_live import as_live_of
from agent.api.operation import now_ns_of
from agent.api.words import where
from agent.store.store import Store
from agent.web.render import View, page, visible_of
from collectors.model import Origin
from detectors.model import Finding, Incident, IncidentState, Severity
from policies.model import Decision

UNRESOLVED = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.SNOOZED, IncidentState.MITIGATED)
MOST_CARDS = 30
MOST_PAST = 15
SILENT_NS = 60 * 10**9
"""A live node unheard of for so long is called silent here; the detector of lost telemetry judges on its own."""
RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class Card:
    """One open incident."""

    incident: Incident
    where: str
    cause: str
    decision: Decision | None
    findings: list[Finding]
    hidden: int
    """Findings of it that may not be read."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is watched, in figures."""

    nodes: int
    gpus: int
    silent: int
    heard_ns: int | None
    """When the newest word of any live node came."""


def card_of(visible: Visible, incident: Incident) -> Card:
    """All that a card shows of an incident that was listed."""
    seen = visible.by_id(incident.id) or Seen(incident, [])
    incident, findings = seen.incident, seen.findings
    decisions = sorted(visible.decisions(seen), key=lambda decision: decision.decided_ns)
    explanation = explanation_of(visible, seen)
    cause = explanation.causes[0].text if explanation.causes else explanation.summary
    newest = decisions[-1] if decisions else None
    return Card(incident, where(incident.names, incident.subject), cause, newest, findings, seen.hidden)


def fleet_of(store: Store, now_ns: int, as_live: frozenset[Origin]) -> Fleet:
    """Nodes of these origins only."""
    nodes = [node for node in store.nodes() if node.origin in as_live]
    return Fleet(
        nodes=len(nodes),
        gpus=sum(node.gpus for node in nodes),
        silent=sum(now_ns - node.last_seen_ns > SILENT_NS for node in nodes),
        heard_ns=max((node.last_seen_ns for node in nodes), default=None),
    )


def overview(request: Request) -> View:
    """GET /"""
    store: Store = request.app.state.store
    store.wake(now_ns_of(request))
    visible, as_live = visible_of(request), as_live_of(request)
    found = visible.incidents(states=UNRESOLVED, limit=500)
    ordered = sorted(
        (seen.incident for seen in found.items), key=lambda incident: (RANK[incident.severity], -incident.since_ns)
    )
    live = [incident for incident in ordered if incident.origin in as_live]
    rest = [incident for incident in ordered if incident.origin not in as_live]
    past = visible.incidents(states=(IncidentState.RESOLVED,), limit=MOST_PAST)
    shows = {
        "title": f"({len(live)}) Watchstander" if live else "Watchstander",
        "cards": [card_of(visible, incident) for incident in live[:MOST_CARDS]],
        "more": max(0, len(live) - MOST_CARDS),
        "other_cards": [card_of(visible, incident) for incident in rest[:MOST_CARDS]],
        "past": [(seen.incident, where(seen.incident.names, seen.incident.subject)) for seen in past.items],
        "hidden": found.hidden,
        "past_hidden": past.hidden,
        "counts": {severity: sum(i.severity is severity for i in live) for severity in RANK},
        "fleet": fleet_of(store, now_ns_of(request), as_live),
    }
    return View("overview.html", shows)


ROUTES = [page("/", overview, cut=True)]
