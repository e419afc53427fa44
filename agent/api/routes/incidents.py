"""Incidents: the list, one with all that belongs to it, and its explanation. What people say: `words.py`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.advisor.explain import explain
from agent.api.as_live import as_live_of
from agent.api.explanation import ExplanationShape
from agent.api.incident_shapes import ContextShape, CostShape, FeedbackShape, WordShape
from agent.api.nearby import in_causal_order, nearby_events
from agent.api.operation import LATEST_NS, Call, NoQuery, operation
from agent.api.prices import prices_of
from agent.api.problem import Problem
from agent.api.shapes import DecisionShape, EventShape, FindingShape, IncidentShape
from agent.incidents.context import context_of
from agent.incidents.cost import cost_of
from collectors.model import Origin
from detectors.model import Incident, IncidentState


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


def found(call: Call[NoQuery]) -> Incident:
    """The incident that the path names, by id or by a prefix of it; Problem 404 where there is none."""
    wanted = call.path["id"]
    incident = call.store.incident(wanted)
    if incident is None:
        raise Problem(404, f"no such incident: {wanted[:60]}", call.request.url.path, "GET /v1/incidents lists them")
    return incident


def list_incidents(call: Call[IncidentsQuery]) -> Incidents:
    """GET /v1/incidents"""
    query = call.query
    call.store.wake(call.now_ns)
    incidents = call.store.incidents(
        states=query.state or None,
        cluster=query.cluster,
        origin=query.origin,
        limit=query.limit,
        before_ns=query.before,
    )
    more = incidents[-1].opened_ns if len(incidents) == query.limit else None
    return Incidents([IncidentShape.of(incident) for incident in incidents], more)


def one_incident(call: Call[NoQuery]) -> IncidentDetail:
    """GET /v1/incidents/{id}"""
    call.store.wake(call.now_ns)
    incident = found(call)
    findings = in_causal_order(incident, call.store.findings(incident.findings))
    price, currency = prices_of(call.request)
    now_ns = call.now_ns if incident.origin in as_live_of(call.request) else incident.updated_ns
    return IncidentDetail(
        incident=IncidentShape.of(incident),
        findings=[FindingShape.of(finding) for finding in findings],
        decisions=[DecisionShape.of(decision) for decision in call.store.decisions(incident.id)],
        events=[EventShape.of(event) for event in nearby_events(call.store, incident, findings)],
        cost=CostShape.of(cost_of(incident, findings, now_ns, price), currency),
        context=ContextShape.of(context_of(call.store, incident, now_ns)),
        words=[WordShape.of(word) for word in call.store.said(incident.id)],
        feedback=[FeedbackShape.of(one) for one in call.store.feedback(incident.id)],
    )


def explanation(call: Call[NoQuery]) -> ExplanationShape:
    """GET /v1/incidents/{id}/explanation"""
    incident = found(call)
    findings = in_causal_order(incident, call.store.findings(incident.findings))
    explained = explain(incident, findings, call.store.decisions(incident.id))
    return ExplanationShape.of(incident.id, explained, findings)


ROUTES = [
    operation(
        "GET",
        "/v1/incidents",
        list_incidents,
        query=IncidentsQuery,
        answer=Incidents,
        summary="Incidents, newest first",
        right="read",
    ),
    operation(
        "GET",
        "/v1/incidents/{id}",
        one_incident,
        query=NoQuery,
        answer=IncidentDetail,
        summary="One incident with findings in causal order, decisions and the events around it",
        right="read",
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
        errors=(404,),
    ),
]
