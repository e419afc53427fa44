"""How good the watch is by the word of people."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.api.incident_shapes import QualityShape
from agent.api.operation import LATEST_NS, Call, operation
from agent.incidents.quality import by_kind, by_rule, overall


class QualityQuery(msgspec.Struct, frozen=True):
    """Which incidents: live ones only, those opened since then."""

    since: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Unix ns")] = 0
    cluster: str | None = None


class QualityAnswer(msgspec.Struct, frozen=True):
    """Precision with Wilson's 95 % interval, which holds if those judged are like those that nobody judged."""

    all: QualityShape
    kinds: list[QualityShape]
    """By kind of the probable root, the most incidents first."""
    rules: list[QualityShape]
    """By policy rule of the newest decision; an empty name: none matched."""


def quality(call: Call[QualityQuery]) -> QualityAnswer:
    """GET /v1/quality"""
    counts = call.store.judged(call.query.since, cluster=call.query.cluster)
    return QualityAnswer(
        QualityShape.of(overall(counts)),
        [QualityShape.of(one) for one in by_kind(counts)],
        [QualityShape.of(one) for one in by_rule(counts)],
    )


ROUTES = [
    operation(
        "GET",
        "/v1/quality",
        quality,
        query=QualityQuery,
        answer=QualityAnswer,
        summary="Precision by kind and by policy rule, by the feedback of people; at most the newest 50,000 incidents",
        right="read",
    )
]
