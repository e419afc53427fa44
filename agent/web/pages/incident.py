"""`/incidents/{id}`: the causal chain with its evidence, the explanation, what was decided, what happened nearby."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.access.guard import identity_of, requires
from agent.advisor.explain import Cause, explain
from agent.api.nearby import in_causal_order, nearby_events
from agent.api.operation import now_ns_of
from agent.api.problem import Problem
from agent.api.words import figure, where
from agent.store.store import Store
from agent.web.charts import charts_of
from agent.web.peers import inventory_of, peers_of
from agent.web.render import View, page
from collectors.model import Event
from detectors.model import Finding, Incident, IncidentState


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
    incident = found(store, request.path_params["id"])
    findings = in_causal_order(incident, store.findings(incident.findings))
    decisions = sorted(store.decisions(incident.id), key=lambda decision: -decision.decided_ns)
    named: list[tuple[Finding, str]] = [(finding, where(finding.names, finding.subject)) for finding in findings]
    explanation = explain(incident, findings, decisions)
    inventory = inventory_of(request, incident)
    peers = peers_of(inventory, incident.subject) if inventory is not None else []
    shows = {
        "title": f"{incident.id} {incident.title}",
        "incident": incident,
        "where": where(incident.names, incident.subject),
        "findings": named,
        "decisions": decisions,
        "explanation": explanation,
        "reasons": [reason_of(cause, findings) for cause in explanation.causes],
        "charts": charts_of(store, incident, findings, peers, now_ns_of(request)),
        "events": [line_of(event, incident.since_ns) for event in nearby_events(store, incident, findings)],
    }
    return View("incident.html", shows)


@requires("acknowledge")
async def acknowledge(request: Request) -> Response:
    """POST /incidents/{id}/acknowledge, from the form of the page; back to the page."""
    store: Store = request.app.state.store
    who = identity_of(request).name
    incident = await run_in_threadpool(store.incident, request.path_params["id"])
    if incident is None:
        return RedirectResponse("/", status_code=303)
    if incident.state is not IncidentState.RESOLVED:
        await run_in_threadpool(store.acknowledge, incident.id, who, now_ns_of(request))
    return RedirectResponse(f"/incidents/{incident.id}", status_code=303)


ROUTES = [
    page("/incidents/{id}", incident_page),
    Route("/incidents/{id}/acknowledge", acknowledge, methods=["POST"]),
]
