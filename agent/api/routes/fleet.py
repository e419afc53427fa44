"""Nodes and jobs that the agent has heard of."""

import msgspec

from agent.api.operation import Call, operation
from agent.api.shapes import JobShape, NodeShape


class FleetQuery(msgspec.Struct, frozen=True):
    """Of one cluster, or of all."""

    cluster: str | None = None


class Nodes(msgspec.Struct, frozen=True):
    """Every node that a collector has spoken for."""

    nodes: list[NodeShape]


class Jobs(msgspec.Struct, frozen=True):
    """Every job that a collector has seen."""

    jobs: list[JobShape]


def nodes(call: Call[FleetQuery]) -> Nodes:
    """GET /v1/nodes"""
    return Nodes([NodeShape.of(node) for node in call.store.nodes(cluster=call.query.cluster)])


def jobs(call: Call[FleetQuery]) -> Jobs:
    """GET /v1/jobs"""
    return Jobs([JobShape.of(job) for job in call.store.jobs(cluster=call.query.cluster)])


ROUTES = [
    operation("GET", "/v1/nodes", nodes, query=FleetQuery, answer=Nodes, summary="Nodes heard of", right="read"),
    operation("GET", "/v1/jobs", jobs, query=FleetQuery, answer=Jobs, summary="Training jobs seen", right="read"),
]
