"""Incidents: the list, one with all that belongs to it, its explanation, and a person's acknowledgement."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.access.guard import identity_of
from agent.advisor.explain import explain
from agent.api.explanation import ExplanationShape
from agent.api.nearby import in_causal_order, nearby_events
from agent.api.operation import LATEST_NS, Call, NoQuery, operation
from agent.api.problem import Problem
from agent.api.shapes import DecisionShape, EventShape, FindingShape, IncidentShape
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
    """One incident with its findings in causal order, decisions, and the events around it."""

    incident: IncidentShape
    findings: list[FindingShape]
    decisions: list[DecisionShape]
    events: list[EventShape]


class Acknowledged(msgspec.Struct, frozen=True):
    """The incident as it now stands."""

    incident: IncidentShape


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
    incident = found(call)
    findings = in_causal_order(incident, call.store.findings(incident.findings))
    return IncidentDetail(
        incident=IncidentShape.of(incident),
        findings=[FindingShape.of(finding) for finding in findings],
        decisions=[DecisionShape.of(decision) for decision in call.store.decisions(incident.id)],
        events=[EventShape.of(event) for event in nearby_events(call.store, incident, findings)],
    )


def explanation(call: Call[NoQuery]) -> ExplanationShape:
    """GET /v1/incidents/{id}/explanation"""
    incident = found(call)
    findings = in_causal_order(incident, call.store.findings(incident.findings))
    explained = explain(incident, findings, call.store.decisions(incident.id))
    return ExplanationShape.of(incident.id, explained, findings)


def acknowledge(call: Call[NoQuery]) -> Acknowledged:
    """POST /v1/incidents/{id}/acknowledge"""
    incident = found(call)
    if incident.state is IncidentState.RESOLVED:
        raise Problem(409, f"{incident.id} is resolved", call.request.url.path, "nothing is left to acknowledge")
    who = identity_of(call.request).name
    return Acknowledged(IncidentShape.of(call.store.acknowledge(incident.id, who, call.now_ns)))


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
    operation(
        "POST",
        "/v1/incidents/{id}/acknowledge",
        acknowledge,
        query=NoQuery,
        answer=Acknowledged,
        summary="Say that a person has it in hand",
        right="acknowledge",
        errors=(404, 409),
    ),
]
