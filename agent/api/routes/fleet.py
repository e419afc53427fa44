"""Nodes and jobs that the agent has heard of."""

import msgspec

from agent.access.visible_jobs import jobs as jobs_of
from agent.access.visible_nodes import nodes as nodes_of
from agent.api.contradictions import MOST_TOLD, ContradictionShape, contradictions_in
from agent.api.operation import Call, operation
from agent.api.shapes import JobShape, NodeShape
from agent.jobs.record import AttemptRecord, AttemptState
from agent.jobs.verdict import words_of
from agent.store.rows import JobSeen


class FleetQuery(msgspec.Struct, frozen=True):
    """Of one cluster, or of all."""

    cluster: str | None = None


class Nodes(msgspec.Struct, frozen=True):
    """Every node that a collector has spoken for, and what the inventory's sources say of them that does not fit."""

    nodes: list[NodeShape]
    contradictions: list[ContradictionShape]
    """The oldest first, at most 200."""
    contradictions_total: int
    hidden: int
    """Nodes that you may not read: those on which no pod of your namespaces holds a GPU now."""
    contradictions_hidden: int


class JobLine(JobShape, frozen=True):
    """A job, and how its newest attempt stands; null where none is known."""

    attempt: int | None
    attempt_state: AttemptState | None
    goodput: float | None
    fault: str
    """What the newest attempt died of, in words; empty while it lives."""

    @classmethod
    def with_attempt(cls, job: JobSeen, attempt: AttemptRecord | None) -> "JobLine":
        """From the store's rows."""
        died = attempt is not None and attempt.state is AttemptState.FAILED
        return cls(
            **msgspec.structs.asdict(JobShape.of(job)),
            attempt=attempt.number if attempt else None,
            attempt_state=attempt.state if attempt else None,
            goodput=attempt.goodput if attempt else None,
            fault=words_of(attempt.fault) if attempt and attempt.fault and died else "",
        )


class Jobs(msgspec.Struct, frozen=True):
    """Every job that a collector has seen."""

    jobs: list[JobLine]
    hidden: int
    """Jobs that you may not read."""


def nodes(call: Call[FleetQuery]) -> Nodes:
    """GET /v1/nodes"""
    cluster, spaces = call.query.cluster, call.request.app.state.watches
    against, kept_back = contradictions_in(spaces, call.visible, cluster)
    mine, hidden = nodes_of(call.visible, spaces, cluster)
    return Nodes([NodeShape.of(node) for node in mine], against[:MOST_TOLD], len(against), hidden, kept_back)


def jobs(call: Call[FleetQuery]) -> Jobs:
    """GET /v1/jobs"""
    mine, hidden = jobs_of(call.visible, call.query.cluster)
    return Jobs([JobLine.with_attempt(job, attempt) for job, attempt in mine], hidden)


ROUTES = [
    operation(
        "GET", "/v1/nodes", nodes, query=FleetQuery, answer=Nodes, summary="Nodes heard of", right="read", cut=True
    ),
    operation(
        "GET", "/v1/jobs", jobs, query=FleetQuery, answer=Jobs, summary="Training jobs seen", right="read", cut=True
    ),
]
