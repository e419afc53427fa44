"""One step against the real API server of `testcluster`."""

from collections.abc import Iterator
from typing import Any

import pytest
from acting import Act, Driver, a_moment, client_of, plan_of, settings, target_of

from policies.cluster.client import KubeClient
from policies.cluster.steps import ClusterSteps
from policies.plan import Plan, StepKind
from testcluster.faulty_proxy import FaultyProxy
from testcluster.space import Space


@pytest.fixture
def client(cluster: Space) -> KubeClient:
    """With all rights, at the API server itself."""
    return client_of(cluster.plane)


@pytest.fixture
def act(cluster: Space, client: KubeClient) -> Act:
    """`act(StepKind.CORDON, node)`: a driver of that step, not begun; or `act(plan)`."""

    def begin(
        what: "StepKind | Plan", thing: Any = None, *, with_client: KubeClient | None = None, **more: Any
    ) -> Driver:
        arguments = more.pop("arguments", None)
        known = settings(**more.pop("settings", {}))
        plan = what if isinstance(what, Plan) else plan_of(what, target_of(thing), arguments, **more)
        return Driver(ClusterSteps(with_client or client, known), plan, a_moment)

    return begin


@pytest.fixture
def proxy(cluster: Space) -> Iterator[FaultyProxy]:
    """In front of the API server; goes wrong as a test tells it."""
    with FaultyProxy(cluster.plane.url, cluster.plane.ca_file) as proxy:
        yield proxy


@pytest.fixture
def node(cluster: Space) -> dict[str, Any]:
    """A Ready GPU node."""
    return cluster.admin.get("Node", cluster.add_nodes(1)[0])
