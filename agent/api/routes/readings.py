"""Readings of one metric of one subject, as stored."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.access.visible_nodes import readable_since_ns
from agent.api.operation import LATEST_NS, Call, operation
from agent.api.problem import Problem
from agent.api.shapes import Figure, SubjectShape, figure_of
from collectors.model import CATALOGUE, Subject, SubjectKind

MOST_POINTS = 20_000
"""In one answer: a day at 5 s."""


class ReadingsQuery(msgspec.Struct, frozen=True):
    """Which readings."""

    subject: Annotated[str, Meta(description="cluster/kind/id, e.g. `prod/gpu/GPU-6f...`")]
    metric: Annotated[str, Meta(description="A name of docs/metrics.md")]
    since: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Unix ns, inclusive")]
    until: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Unix ns, exclusive")]


class Readings(msgspec.Struct, frozen=True):
    """Times ascending, one value each."""

    subject: SubjectShape
    metric: str
    unit: str
    times_ns: list[int]
    values: list[Figure | None]
    """Null where the look brought nothing. Counters are raw and in the metric's unit."""
    truncated: bool
    """Whether only the newest 20,000 are here."""
    readable_since_ns: int | None
    """Null for who may read everything. Else from when on you may read: since the present holder is known to hold it;
    what is no one's you may read is empty, as what does not exist."""


def subject_of(text: str) -> Subject:
    """`cluster/kind/id` as a Subject; Problem 400 where it is none."""
    cluster, _, rest = text.partition("/")
    kind, _, id_ = rest.partition("/")
    if cluster and id_ and kind in SubjectKind._value2member_map_:
        return Subject(cluster, SubjectKind(kind), id_)
    raise Problem(400, f"not a subject: {text[:80]}", "query parameter subject", "write cluster/kind/id")


def readings(call: Call[ReadingsQuery]) -> Readings:
    """GET /v1/readings"""
    query = call.query
    subject = subject_of(query.subject)
    metric = CATALOGUE.get(query.metric)
    if metric is None:
        raise Problem(400, f"no such metric: {query.metric[:80]}", "query parameter metric", "docs/metrics.md has them")
    if query.until < query.since:
        raise Problem(400, "until is before since", "query parameter until", "swap them")
    since_ns, limited = readable_since_ns(call.visible, call.request.app.state.watches, subject), call.visible.limited
    since = query.until if since_ns is None else max(query.since, since_ns)
    times, values = call.store.readings(subject, query.metric, min(since, query.until), query.until)
    numbers = [float(value) for value in values[-MOST_POINTS:]]
    return Readings(
        subject=SubjectShape.of(subject),
        metric=query.metric,
        unit=metric.unit,
        times_ns=[int(time) for time in times[-MOST_POINTS:]],
        values=[None if number != number else figure_of(number) for number in numbers],
        truncated=len(times) > MOST_POINTS,
        readable_since_ns=since_ns if limited else None,
    )


ROUTES = [
    operation(
        "GET",
        "/v1/readings",
        readings,
        query=ReadingsQuery,
        answer=Readings,
        summary="Readings of one metric of one subject",
        right="read",
        cut=True,
    ),
]
