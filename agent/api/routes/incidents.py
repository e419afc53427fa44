"""Incidents: the list, one with all that belongs to it, and its explanation. What people say: `words.py`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.access.cut import Seen
from agent.access.visible_story import explanation_of, story_of
from agent.api.as_live import as_live_of
from agent.api.explanation import ExplanationShape
from agent.api.incident_shapes import ContextShape, CostShape, FeedbackShape, HiddenShape, WordShape
from agent.api.operation import LATEST_NS, Call, NoQuery, operation
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.api.shapes import DecisionShape, EventShape, FindingShape, IncidentShape
from agent.incidents.cost import cost_of
from collectors.model import Origin
from detectors.model import IncidentState


class IncidentsQuery(msgspec.Struct, frozen=True):
    """Which incidents; all of them where nothing is said."""

    state: tuple[IncidentState, ...] = ()
    cluster: str | None = None
    origin: Origin | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="At most so many, newest first")] = 100
    before: Annotated[int, Meta(ge=0, le=LATEST_NS, description="`next_before` of the page before")] | None = None


class Incidents(msgspec.Struct, frozen=True):
    """A page of incidents, newest first."""

    incidents: list[IncidentShape]
    next_before: int | None
    """`before` of the next page; null on the last."""
    hidden: int
    """How many of these sorts you may not read, on whatever page, among the newest 20,000."""


class IncidentDetail(msgspec.Struct, frozen=True):
    """One incident with its findings in causal order, decisions, the events around it, and what people said."""

    incident: IncidentShape
    findings: list[FindingShape]
    decisions: list[DecisionShape]
    events: list[EventShape]
    cost: CostShape
    context: ContextShape
    words: list[WordShape]
    """Oldest first, but for acknowledgements, which the audit holds."""
    feedback: list[FeedbackShape]
    hidden: HiddenShape


def found(call: Call[NoQuery]) -> Seen:
    """The incident that the path names, by id or by a prefix of it; Problem 404 where there is none, or none that the
    caller may read: nobody can tell which."""
    wanted = call.path["id"]
    seen = call.visible.incident(wanted)
    if seen is None:
        raise Problem(404, f"no such incident: {wanted[:60]}", call.request.url.path, "GET /v1/incidents lists them")
    return seen


def shape_of(seen: Seen) -> IncidentShape:
    """As its reader may see it."""
    return IncidentShape.of(seen.incident, seen.hidden)


def list_incidents(call: Call[IncidentsQuery]) -> Incidents:
    """GET /v1/incidents"""
    query = call.query
    call.store.wake(call.now_ns)
    page = call.visible.incidents(
        states=query.state or None,
        cluster=query.cluster,
        origin=query.origin,
        limit=query.limit,
        before_ns=query.before,
    )
    return Incidents([shape_of(seen) for seen in page.items], page.next_before, page.hidden)


def one_incident(call: Call[NoQuery]) -> IncidentDetail:
    """GET /v1/incidents/{id}"""
    call.store.wake(call.now_ns)
    seen, visible = found(call), call.visible
    incident = seen.incident
    price, currency = prices_of(call.request)
    now_ns = call.now_ns if incident.origin in as_live_of(call.request) else incident.updated_ns
    story = story_of(visible, seen, now_ns)
    return IncidentDetail(
        incident=shape_of(seen),
        findings=[FindingShape.of(finding, seen.evidence.get(finding.id, 0)) for finding in seen.findings],
        decisions=[DecisionShape.of(decision) for decision in visible.decisions(seen)],
        events=[EventShape.of(event) for event in story.events],
        cost=CostShape.of(cost_of(incident, seen.findings, now_ns, price), currency),
        context=ContextShape.of(story.context),
        words=[WordShape.of(word) for word in story.words],
        feedback=[FeedbackShape.of(one) for one in story.feedback],
        hidden=HiddenShape(
            findings=seen.hidden,
            evidence=sum(seen.evidence.values()),
            events=story.events_hidden,
            words=story.words_hidden,
            similar=story.similar_hidden,
            plans=visible.plans(incident=incident.id, limit=1).hidden,
        ),
    )


def explanation(call: Call[NoQuery]) -> ExplanationShape:
    """GET /v1/incidents/{id}/explanation"""
    seen = found(call)
    explained = explanation_of(call.visible, seen)
    return ExplanationShape.of(seen.incident.id, explained, seen.findings, seen.hidden)


ROUTES = [
    operation(
        "GET",
        "/v1/incidents",
        list_incidents,
        query=IncidentsQuery,
        answer=Incidents,
        summary="Incidents, newest first",
        right="read",
        cut=True,
    ),
    operation(
        "GET",
        "/v1/incidents/{id}",
        one_incident,
        query=NoQuery,
        answer=IncidentDetail,
        summary="One incident with findings in causal order, decisions and the events around it",
        right="read",
        cut=True,
        errors=(404,),
    ),
    operation(
        "GET",
        "/v1/incidents/{id}/explanation",
        explanation,
        query=NoQuery,
        answer=ExplanationShape,
        summary="The deterministic explanation: probable causes, what to check next, what to do",
        right="read",
        cut=True,
        errors=(404,),
    ),
]
