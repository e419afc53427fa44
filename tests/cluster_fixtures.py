"""Fixtures of tests that need a Kubernetes API server: the real one of `testcluster`, docs/test-cluster.md.

A test that asks for one of them is marked `cluster` by itself, and all that share one run on one xdist worker, so that
one control plane starts. It must be built before: `make test` does, or `python -m testcluster build`. How the other
slow tests are spread over workers is said here too.
"""

from collections.abc import Iterator

import pytest

from testcluster.admin import Admin
from testcluster.control_plane import ControlPlane
from testcluster.space import Space

SHARED = {"control_plane", "cluster"}
FIXTURES = SHARED | {"own_control_plane"}
LONG = ("cluster", "played-cluster", "postgres")
"""The longest groups, which begin first."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses, and before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if FIXTURES & names:
            item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
            # What a slow module makes for its tests is made on one worker only.
            item.add_marker(pytest.mark.xdist_group("cluster" if SHARED & names else item.nodeid.partition("::")[0]))
    # What takes longest begins first, so that all workers end together.
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    if group is None:
        return len(LONG) + 1
    return LONG.index(group.args[0]) if group.args[0] in LONG else len(LONG)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Shared by all tests of this worker: leave it as you found it. Its audit log is on."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Space]:
    """A fresh namespace, without nodes; `cluster.add_nodes(4)` makes some, `cluster.run_job()` has them work."""
    space = Space.open(control_plane)
    yield space
    space.close()


@pytest.fixture
def own_control_plane() -> Iterator[ControlPlane]:
    """One that the test may stop, pause and break."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture
def admin(cluster: Space) -> Admin:
    """All rights, at the cluster of this test."""
    return cluster.admin
