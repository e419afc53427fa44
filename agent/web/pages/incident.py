"""`/incidents/{id}`: the causal chain with its evidence, the explanation, what was decided, what happened nearby."""

from dataclasses import dataclass

from starlette.requests import Request

from agent.advisor.explain import Cause, explain
from agent.api.as_live import as_live_of
from agent.api.nearby import in_causal_order, nearby_events
from agent.api.operation import now_ns_of
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.api.words import figure, where
from agent.incidents.context import context_of
from agent.incidents.cost import cost_of
from agent.store.store import Store
from agent.web.charts import charts_of
from agent.web.peers import inventory_of, peers_of
from agent.web.render import View, page
from collectors.model import Event
from detectors.model import Finding, Incident

MOST_PLANS = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One probable cause, and the findings on this page that it rests on."""

    cause: Cause
    numbers: list[int]
    """Of the findings, from 1."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event nearby."""

    event: Event
    offset: str
    """From the incident's beginning, `+12.3 s`."""
    said: str


def found(store: Store, wanted: str) -> Incident:
    """The incident of a path; Problem 404 where there is none."""
    incident = store.incident(wanted)
    if incident is None:
        raise Problem(404, f"no such incident: {wanted[:60]}", f"/incidents/{wanted[:60]}", "look on the first page")
    return incident


def reason_of(cause: Cause, findings: list[Finding]) -> Reason:
    """A cause with its references as numbers of findings."""
    numbers = {finding.id: number for number, finding in enumerate(findings, 1)}
    cited = {reference.partition("#")[0] for reference in cause.evidence}
    return Reason(cause, sorted(numbers[id_] for id_ in cited if id_ in numbers))


def line_of(event: Event, since_ns: int) -> Line:
    """An event in words."""
    said = [f"{name}={figure(value)}" for name, value in event.values.items()]
    said += [f"{name}={value}" for name, value in event.attributes.items()]
    return Line(event, f"{(event.time_ns - since_ns) / 1e9:+.1f} s", " ".join(said))


def incident_page(request: Request) -> View:
    """GET /incidents/{id}"""
    store: Store = request.app.state.store
    now_ns = now_ns_of(request)
    store.wake(now_ns)
    incident = found(store, request.path_params["id"])
    findings = in_causal_order(incident, store.findings(incident.findings))
    decisions = sorted(store.decisions(incident.id), key=lambda decision: -decision.decided_ns)
    named: list[tuple[Finding, str]] = [(finding, where(finding.names, finding.subject)) for finding in findings]
    explanation = explain(incident, findings, decisions)
    inventory = inventory_of(request, incident)
    live = incident.origin in as_live_of(request)
    until_ns = now_ns if live else incident.updated_ns
    price, currency = prices_of(request)
    peers = peers_of(inventory, incident.subject) if inventory is not None else []
    shows = {
        "title": f"{incident.id} {incident.title}",
        "incident": incident,
        "where": where(incident.names, incident.subject),
        "findings": named,
        "decisions": decisions,
        "explanation": explanation,
        "reasons": [reason_of(cause, findings) for cause in explanation.causes],
        "cost": cost_of(incident, findings, until_ns, price),
        "currency": currency,
        "context": context_of(store, incident, until_ns),
        "words": store.said(incident.id),
        "plans": store.journal.listed(incident=incident.id, limit=MOST_PLANS),
        "feedback": store.feedback(incident.id),
        "charts": charts_of(store, incident, findings, peers, now_ns if live else None),
        "events": [line_of(event, incident.since_ns) for event in nearby_events(store, incident, findings)],
    }
    return View("incident.html", shows)


ROUTES = [page("/incidents/{id}", incident_page)]
