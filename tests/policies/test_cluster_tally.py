"""Nodes of a place, counted."""

import pytest

from policies.cluster_view import LaidOutCluster, NodeView, Place, PodView, Tally

CLUSTER = LaidOutCluster(
    all_nodes=[
        NodeView("a", "ua", gpus=8, rack="r1", pool="h200"),
        NodeView("b", "ub", gpus=8, rack="r1", pool="h200", unschedulable=True, held_by="person"),
        NodeView("c", "uc", gpus=4, rack="r2", domain="d1"),
        NodeView("d", "ud", gpus=4),
    ],
    all_pods=[
        PodView("train", "p", "up", "a", gpus=6),
        PodView("train", "q", "uq", "b", gpus=8),
        PodView("kube-system", "r", "ur", "c"),
    ],
)


@pytest.mark.parametrize(
    ("place", "name", "tally"),
    [
        pytest.param(Place.FLEET, "", Tally(4, 1, 24, 10), id="the fleet"),
        pytest.param(Place.RACK, "r1", Tally(2, 1, 16, 2), id="a rack"),
        pytest.param(Place.RACK, "", Tally(1, 0, 4, 4), id="no rack known"),
        pytest.param(Place.POOL, "h200", Tally(2, 1, 16, 2), id="a pool"),
        pytest.param(Place.DOMAIN, "d1", Tally(1, 0, 4, 4), id="an NVLink domain"),
        pytest.param(Place.DOMAIN, "d9", Tally(), id="one that is not there"),
    ],
)
def test_the_nodes_of_a_place_are_counted_with_the_gpus_that_are_free_there(place, name, tally) -> None:
    assert CLUSTER.tally(place, name) == tally
