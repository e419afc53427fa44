"""G18: when the view is not to be trusted."""

import pytest
from cluster_objects import NOW_NS, SECOND_NS, Clock, a_node, live

from agent.cluster.health import Answer, Probe
from agent.inventory.kube_api import KubeApi
from agent.inventory.objects import Node
from agent.inventory.watcher import Watcher
from agent.settings import ClusterSettings
from policies.cluster_view import ClusterView


def watcher(*, complete: bool = True, heard_ns: int = NOW_NS, problem: str = "") -> Watcher[Node]:
    made = Watcher(KubeApi("http://127.0.0.1:1"), "/api/v1/nodes", Node, lambda _: None, lambda *_: None)
    made.complete, made.heard_ns, made.problem = complete, heard_ns, problem
    return made


class Asked(Probe):
    def __init__(self, last: Answer | None) -> None:
        super().__init__(KubeApi("http://127.0.0.1:1"), ClusterSettings(), Clock())
        self.last = last


WELL = Answer(NOW_NS, 0.01)


@pytest.mark.parametrize(
    ("nodes", "probe", "said"),
    [
        pytest.param(watcher(), WELL, "", id="all well"),
        pytest.param(watcher(complete=False), WELL, "nodes are not listed yet", id="not listed"),
        pytest.param(
            watcher(complete=False, problem="403 Forbidden"),
            WELL,
            "nodes are not listed yet: 403 Forbidden",
            id="may not list",
        ),
        pytest.param(watcher(problem="connection refused"), WELL, "nodes: connection refused", id="cut"),
        pytest.param(watcher(heard_ns=NOW_NS - 180 * SECOND_NS), WELL, "", id="silent for as long as allowed"),
        pytest.param(
            watcher(heard_ns=NOW_NS - 181 * SECOND_NS),
            WELL,
            "the watch of nodes has said nothing for 181 s, at most 180 s are allowed",
            id="silent for too long",
        ),
        pytest.param(watcher(), None, "the API server has not been asked how it is yet", id="not asked yet"),
        pytest.param(
            watcher(), Answer(NOW_NS, 0.1, "500"), "the API server does not answer: 500", id="an error for an answer"
        ),
        pytest.param(
            watcher(),
            Answer(NOW_NS, 2.5),
            "the API server took 2.5 s for one small answer, at most 2 s are allowed",
            id="slow",
        ),
        pytest.param(
            watcher(),
            Answer(NOW_NS - 40 * SECOND_NS, 0.1),
            "the API server was last asked how it is 40 s ago",
            id="the probe itself hangs",
        ),
    ],
)
def test_what_keeps_the_view_from_being_trusted(nodes: Watcher[Node], probe: Answer | None, said: str) -> None:
    cluster = live()
    cluster.health.watchers, cluster.health.probe = {"nodes": nodes}, Asked(probe)

    assert cluster.problem(NOW_NS) == said


LATELY, LONG_AGO = "2027-01-15T07:55:00Z", "2027-01-15T07:00:00Z"


@pytest.mark.parametrize(
    ("away", "changed", "said"),
    [
        pytest.param(2, LATELY, "", id="two of eight"),
        pytest.param(
            3,
            LATELY,
            "3 of 8 nodes became not ready within 600 s, at most 25% are taken for broken nodes",
            id="three of eight",
        ),
        pytest.param(3, LONG_AGO, "", id="three that have been away for long"),
    ],
)
def test_many_nodes_gone_at_once_are_not_taken_for_broken_nodes(away: int, changed: str, said: str) -> None:
    cluster = live()
    cluster.put_nodes([a_node(f"n{n}", ready="Unknown" if n < away else "True", changed=changed) for n in range(8)])
    before = cluster.problem(NOW_NS)
    cluster.put_nodes([a_node(f"n{n}") for n in range(8)])

    assert (before, cluster.problem(NOW_NS)) == (said, "")


def test_the_live_view_is_a_cluster_view() -> None:
    view: ClusterView = live()

    assert (view.problem(NOW_NS), view.leader(NOW_NS), view.paused()) == ("", "", "")
