"""How many nodes a second the executor cordons by itself. Target: 50 (NVSentinel's published run: 2.5).

    python -m benchmarks.executor_rate [--nodes 750] [--workers 8]

The executor, the journal in SQLite (each write on disk, with its audit entry) and a real kube-apiserver; the plans lie
in the journal, approved. Guards are lifted: this is what the hands can do, not what they are let do. Each node costs
two writes of the journal, a read and a patch at the API server, and a read that sees it cordoned.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

from agent.actions.runner import Runner
from agent.store.store import open_store
from benchmarks.acting_agent import load
from benchmarks.rows import table
from policies.cluster.client import KubeClient
from policies.cluster.steps import ClusterSteps
from policies.executor import Executor, entry_for
from policies.journal import OVER, PlanEntry, PlanState
from policies.plan import Blast, Step, StepKind, Target, make_plan
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node

PATIENCE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=750)
    parser.add_argument("--workers", type=int, default=8)
    args = parser.parse_args()
    for row in table("executor alone", measured(args.nodes, args.workers)):
        print(row)


def measured(nodes: int, workers: int) -> dict[str, str]:
    """The figures."""
    with ControlPlane.start() as plane, tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'store.db'}")
        for index in range(nodes):
            plane.admin.create(gpu_node(f"node-{index:04d}"))
        for number, node in enumerate(plane.admin.list("Node")):
            at = node["metadata"]
            step = Step(StepKind.CORDON, Target("v1", "Node", "", at["name"], at["uid"]), words=f"cordon {at['name']}")
            plan = make_plan(f"INC-{number}", "DEC-1", "bench", (step,), Blast(nodes=1), time.time_ns())
            store.journal.open(entry_for(plan, PlanState.READY))
        over = threading.Semaphore(0)

        def carried(_before: PlanEntry, after: PlanEntry) -> None:
            if after.state in OVER:
                over.release()

        executor = Executor(
            store.journal,
            ClusterSteps(KubeClient.at(plane.url, plane.token_file(), plane.ca_file)),
            lambda _entry, _index, _beside: [],
            time.time_ns,
            holder="bench",
            generation=lambda _now_ns: 1,
        )
        runner = Runner(executor, workers=workers, carried=carried)
        before, began = load(), time.perf_counter()
        runner.start()
        done = sum(over.acquire(timeout=PATIENCE_S) for _ in range(nodes))
        took = time.perf_counter() - began
        runner.stop()
        cordoned = sum(bool(node["spec"].get("unschedulable")) for node in plane.admin.list("Node"))
        store.close()
    return {
        "nodes cordoned": f"{cordoned} of {nodes}, {done} plans over",
        "took": f"{took:.1f} s",
        "cordons a second": f"{done / took:.1f}",
        "load average before": before,
    }


if __name__ == "__main__":
    main()
