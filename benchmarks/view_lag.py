"""How long it takes until guards see what somebody did to a node, on a real API server.

    python -m benchmarks.view_lag [--times 500] [--nodes 50]

A node is cordoned or uncordoned, and the live view is looked at until it shows it. The API server's own answer is timed
beside it: the view often knows before whoever asked has their answer. Needs `python -m testcluster build`.
"""

import argparse
import time
from statistics import quantiles

from agent.cluster.health import Health
from agent.cluster.view import LiveCluster
from agent.inventory.feed import InventoryFeed
from agent.inventory.kube_api import KubeApi
from agent.settings import ClusterSettings, InventorySettings
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node

LOOK_SECONDS = 0.0005


def measure(plane: ControlPlane, nodes: int, times: int) -> tuple[list[float], list[float]]:
    """Seconds until the answer came, and until the view showed it, one each time."""
    names = [f"node-{n:03d}" for n in range(nodes)]
    for name in names:
        plane.admin.create(gpu_node(name))
    view = LiveCluster(InventorySettings(), ClusterSettings(), time.time_ns, Health(ClusterSettings()))
    feed = InventoryFeed(InventorySettings(), KubeApi(plane.url, plane.token_file(), plane.ca_file), view)
    feed.start()
    answered, seen = [], []
    try:
        while view.problem(time.time_ns()):
            time.sleep(0.05)
        for turn in range(times):
            name, closed = names[turn % nodes], (turn // nodes) % 2 == 0
            began = time.perf_counter()
            plane.admin.cordon(name, unschedulable=closed)
            answered.append(time.perf_counter() - began)
            while (node := view.node_named(name)) is None or node.unschedulable != closed:
                time.sleep(LOOK_SECONDS)
            seen.append(time.perf_counter() - began)
    finally:
        feed.stop()
    return answered, seen


def main() -> None:
    """Print p50 and p99 of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=50)
    args = parser.parse_args()
    with ControlPlane.start(audit=False) as plane:
        found = measure(plane, args.nodes, args.times)
    for what, seconds in zip(("answered by the API server", "seen by guards"), found):
        cut = quantiles(seconds, n=100)
        print(f"{what}: p50 {cut[49] * 1e3:.1f} ms, p99 {cut[98] * 1e3:.1f} ms, {len(seconds)} times")


if __name__ == "__main__":
    main()
