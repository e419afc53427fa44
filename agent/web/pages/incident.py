"""`/incidents/{id}`: the causal chain with its evidence, the explanation, what was decided, what happened nearby."""

from dataclasses import dataclass

from starlette.requests import Request

from agent.access.cut import Seen
from agent.access.visible import Visible
from agent.access.visible_nodes import readable, readable_since_ns
from agent.access.visible_story import explanation_of, story_of
from agent.advisor.explain import Cause
from agent.api.as_live import as_live_of
from agent.api.operation import now_ns_of
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.api.words import figure, where
from agent.incidents.cost import cost_of
from agent.store.store import Store
from agent.web.charts import charts_of
from agent.web.peers import inventory_of, peers_of
from agent.web.render import View, page, viewer_of, visible_of
from collectors.model import Event
from detectors.model import Finding

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


def found(visible: Visible, wanted: str) -> Seen:
    """The incident of a path; Problem 404 where there is none, or none that may be read."""
    seen = visible.incident(wanted)
    if seen is None:
        raise Problem(404, f"no such incident: {wanted[:60]}", f"/incidents/{wanted[:60]}", "look on the first page")
    return seen


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
    visible, spaces = visible_of(request), request.app.state.watches
    seen = found(visible, request.path_params["id"])
    incident, findings = seen.incident, seen.findings
    decisions = sorted(visible.decisions(seen), key=lambda decision: -decision.decided_ns)
    named: list[tuple[Finding, str]] = [(finding, where(finding.names, finding.subject)) for finding in findings]
    explanation = explanation_of(visible, seen)
    inventory = inventory_of(request, incident)
    live = incident.origin in as_live_of(request)
    until_ns = now_ns if live else incident.updated_ns
    price, currency = prices_of(request)
    peers = peers_of(inventory, incident.subject) if inventory is not None else []
    story = story_of(visible, seen, until_ns)
    plans = visible.plans(incident=incident.id, limit=MOST_PLANS)
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
        "context": story.context,
        "words": story.words,
        "plans": plans.items,
        "feedback": story.feedback,
        "charts": charts_of(
            store,
            incident,
            findings,
            readable(visible, inventory, peers),
            now_ns if live else None,
            lambda subject: readable_since_ns(visible, spaces, subject),
        ),
        "events": [line_of(event, incident.since_ns) for event in story.events],
        "seen": seen,
        "viewer": viewer_of(request, lambda right: visible.sight.may(right, seen.stored.namespaces)),
        "story": story,
        "plans_hidden": plans.hidden,
        "limited": visible.limited,
    }
    return View("incident.html", shows)


ROUTES = [page("/incidents/{id}", incident_page, cut=True)]
