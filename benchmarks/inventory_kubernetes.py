"""How long and how much memory inventory and view of a whole cluster take, from the API server's own JSON.

    python -m benchmarks.inventory_kubernetes [--nodes 5000] [--pods 40000]

The lists are made up in the API's own shape and size (13 kB a node, 6 kB a pod) and served by another process, a page
at a time, as a real server does it. What is measured is the informer cache: the feed, the mapping, one inventory filled
by it, and the view that guards ask; then a change of a pod, and the guards' questions.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cluster.health import Health
from agent.cluster.view import LiveCluster
from agent.inventory.feed import InventoryFeed
from agent.inventory.kube_api import KubeApi
from agent.settings import ClusterSettings, InventorySettings
from benchmarks.kube_server import TOKEN, KubeServer, node, pod
from detectors.model import Inventory
from policies.cluster_view import Place

QUESTIONS = 2_000
CHANGES = 2_000
"""Pods deleted and made anew by the watch."""


def serve(nodes: int, pods: int) -> None:
    """The server's process: prints its address, answers until its input ends."""
    server = KubeServer()
    server.objects["/api/v1/nodes"] = _Pages(lambda n: node(n, rack=f"r{n // 8}", padding=60), nodes)  # type: ignore[assignment]
    server.objects["/api/v1/pods"] = _Pages(_pod, pods)  # type: ignore[assignment]
    print(server.url, flush=True)
    for line in sys.stdin:
        for n in range(int(line)):
            gone = _pod(n)
            back = {**gone, "metadata": {**gone["metadata"], "uid": f"again-{n}"}}
            server.tell("/api/v1/pods", "DELETED", gone)
            server.tell("/api/v1/pods", "ADDED", back)


def _pod(n: int) -> Any:
    job = f"job-{n // 64:05d}"
    labels = {"training.kubeflow.org/job-name": job, "training.kubeflow.org/replica-index": str(n % 64)}
    uid = f"{n:08d}-pod0-4000-8000-000000000000"
    return pod(
        f"{job}-worker-{n % 64}", uid, on=f"node-{n % 5000:05d}", gpus=1, owner=f"uid-{job}", labels=labels, padding=60
    )


class _Pages:
    """Pages of made-up objects, made when asked for."""

    def __init__(self, make: Any, count: int) -> None:
        self._make, self._count = make, count
        self._made: dict[int, bytes] = {}

    def __call__(self, start: int, limit: int) -> bytes:
        if start not in self._made:
            items = [self._make(n) for n in range(start, min(start + limit, self._count))]
            more = str(start + limit) if start + limit < self._count else ""
            self._made[start] = json.dumps(
                {"metadata": {"resourceVersion": "1", "continue": more}, "items": items}
            ).encode()
        return self._made[start]


def rss_mib(key: str = "VmRSS") -> float:
    """Memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    """Print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pods", type=int, default=40_000)
    parser.add_argument("--no-view", action="store_true", help="the inventory alone")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.nodes, args.pods)
        return
    command = [sys.executable, "-m", "benchmarks.inventory_kubernetes", "--serve"]
    command += ["--nodes", str(args.nodes), "--pods", str(args.pods)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text(TOKEN)
        try:
            measure(process.stdout.readline().strip(), token, process.stdin, args.nodes, args.pods, not args.no_view)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(10)


def measure(url: str, token: Path, stdin: Any, nodes: int, pods: int, with_view: bool) -> None:
    """List, fill an inventory, then watch."""
    api = KubeApi(url, token, None, 120.0)
    for path in ("/api/v1/nodes", "/api/v1/pods"):  # so that the server has made its pages
        step = {"/api/v1/nodes": nodes, "/api/v1/pods": pods}[path]
        size = sum(len(api.get(path, {"limit": "500", "continue": str(n)})) for n in range(0, step, 500))
        print(f"{path}: {step} objects, {size / 1e6:.0f} MB of JSON")
    gc.collect()
    before, began, cpu = rss_mib(), time.monotonic(), time.process_time()
    view = LiveCluster(InventorySettings(), ClusterSettings(), time.time_ns, Health(ClusterSettings()))
    feed = InventoryFeed(InventorySettings(), api, view if with_view else None)
    assert feed.nodes is not None
    assert feed.pods is not None
    feed.nodes.list()
    feed.pods.list()
    print(f"listed and mapped: {time.monotonic() - began:.1f} s ({time.process_time() - cpu:.1f} s of one core)")
    line, inventory = feed.subscribe(), Inventory()
    began = time.process_time()
    line.apply(inventory, 1)
    gc.collect()
    print(f"told to an inventory: {time.process_time() - began:.2f} s of one core; {len(inventory.facts)} subjects")
    print(f"memory: {before:.0f} -> {rss_mib():.0f} MiB, peak {rss_mib('VmHWM'):.0f} MiB")
    feed.start()
    while feed.pods.counts.watches == 0:
        threading.Event().wait(0.01)
    cpu, told = time.process_time(), feed.pods.counts.told
    stdin.write(f"{CHANGES}\n")
    stdin.flush()
    while feed.pods.counts.told - told < 2 * CHANGES:
        threading.Event().wait(0.01)
    spent = time.process_time() - cpu
    changes = line.apply(inventory, 2)
    print(f"watch: {2 * CHANGES} events, {spent / CHANGES / 2 * 1e6:.0f} us each; {changes} changes told")
    feed.stop()
    if with_view:
        ask(view)


def ask(view: LiveCluster) -> None:
    """What guards ask at each decision, each question by itself."""
    uid = next(iter(view.nodes())).uid
    questions: dict[str, Callable[[], object]] = {
        "tally of the fleet": lambda: view.tally(Place.FLEET),
        "tally of a rack": lambda: view.tally(Place.RACK, "r7"),
        "a node by uid": lambda: view.node(uid),
        "pods of a node": lambda: view.pods_on("node-00007"),
        "pods of a job (64)": lambda: view.pods_of("uid-job-00007"),
        "problem": lambda: view.problem(time.time_ns()),
        "all nodes": view.nodes,
    }
    for name, question in questions.items():
        began = time.perf_counter()
        for _ in range(QUESTIONS):
            question()
        print(f"{name}: {(time.perf_counter() - began) / QUESTIONS * 1e6:.1f} us")


if __name__ == "__main__":
    main()
