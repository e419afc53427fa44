"""How near each detector is to speaking about a subject, now."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.api.operation import Call, operation
from agent.api.problem import Problem
from agent.api.shapes import Figure, SubjectShape, figure_of
from agent.incidents.look import look_at
from agent.watch import Watch
from collectors.errors import GiveUp
from detectors.looks import LookRow, Verdict
from detectors.model import FindingKind


class LookQuery(msgspec.Struct, frozen=True):
    """At what. Only live watches are asked, as they stand."""

    subject: Annotated[
        str, Meta(min_length=1, max_length=300, description="`cluster/kind/id`, or a name: `node-7/gpu3`, a job")
    ]
    cluster: str | None = None


class LookShape(msgspec.Struct, frozen=True):
    """One quantity of one detector."""

    detector: str
    kinds: list[FindingKind]
    subject: SubjectShape
    quantity: str
    value: Figure | None
    threshold: Figure | None
    unit: str
    age_seconds: float | None
    """Of the value; null where that means nothing."""
    verdict: Verdict
    says: str

    @classmethod
    def of(cls, row: LookRow) -> "LookShape":
        """From the detectors' row."""
        return cls(
            detector=row.detector,
            kinds=list(row.kinds),
            subject=SubjectShape.of(row.subject),
            quantity=row.quantity,
            value=None if row.value is None else figure_of(row.value),
            threshold=None if row.threshold is None else figure_of(row.threshold),
            unit=row.unit,
            age_seconds=row.age_s,
            verdict=row.verdict,
            says=row.says,
        )


class Look(msgspec.Struct, frozen=True):
    """All detectors' look at one subject."""

    at_ns: int
    looks: list[LookShape]


def look(call: Call[LookQuery]) -> Look:
    """GET /v1/look"""
    query, spaces = call.query, call.request.app.state.watches
    running = [] if spaces is None else [space for space in spaces.live() if query.cluster in (None, space.key[1])]
    problem = "no live collector has sent anything yet, so no watch runs"
    for space in running:
        if isinstance(space.watch, Watch):
            try:
                rows = look_at(space.watch, query.subject, call.now_ns)
            except GiveUp as error:
                problem = str(error)
                continue
            return Look(call.now_ns, [LookShape.of(row) for row in rows])
    raise Problem(404, problem, "query parameter subject", "GET /v1/nodes and /v1/jobs list what there is")


ROUTES = [
    operation(
        "GET",
        "/v1/look",
        look,
        query=LookQuery,
        answer=Look,
        summary="How near each detector is to speaking about a subject, now: ready, data, distance from its threshold",
        right="read",
        errors=(404,),
    )
]
