"""Cordons per second on a real API server, guards lifted: what carrying out costs when nothing says no.

    python -m benchmarks.cordon_rate [--nodes 750]

A control plane of its own with KWOK nodes (docs/test-cluster.md), one plan a node. Measured: the step alone (read the
node, patch it with uid and resourceVersion, verify), and the whole executor over a journal in SQLite (intent, step,
verification and end, each journaled with its audit entry); one plan after the other, four at a time, and as many as an
agent carries on at once; with the processor time of this process alone, the API server's not counted.
At the end every node must be cordoned with its
plan's mark. NVSentinel's published run cordoned 750 nodes at 2.5 a second; target: 50.

THE GUARDS ARE LIFTED here. With them no policy would cordon 750 nodes: docs/guards.md.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from agent.actions.runner import WORKERS
from agent.store.store import open_store
from benchmarks.rows import sentence, table
from policies.cluster.client import KubeClient
from policies.cluster.steps import ClusterSteps
from policies.cluster_view import OWN_CORDON
from policies.executor import Executor, entry_for
from policies.journal import PlanState, StepState
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node
from testcluster.space import is_ready

TITLE = "cordons on a real API server, guards lifted"
GENERATION = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=750)
    args = parser.parse_args()
    for row in table(TITLE, measured(args.nodes)):
        print(row)


def line(nodes: int = 100) -> str:
    """Measure, in brief."""
    return sentence(TITLE, measured(nodes))


def measured(count: int) -> dict[str, str]:
    """The figures."""
    with ControlPlane.start(audit=False) as plane:
        nodes = make_nodes(plane, count)
        client = KubeClient.at(plane.url, plane.token_file(), plane.ca_file)
        steps = ClusterSteps(client)
        ways: dict[str, Callable[[Sequence[Plan]], list[float]]] = {
            "steps, one after the other": lambda plans: [carry_out(steps, plan) for plan in plans],
            "steps, four threads": lambda plans: in_threads(steps, plans, 4),
            "executor and journal (SQLite), one after the other": lambda plans: through_executor(steps, plans, 1),
            "executor and journal (SQLite), four threads": lambda plans: through_executor(steps, plans, 4),
            f"executor and journal (SQLite), {WORKERS} threads as in an agent": lambda plans: through_executor(
                steps, plans, WORKERS
            ),
        }
        figures = {"nodes": str(count)}
        for number, (name, way) in enumerate(ways.items()):
            plans = [cordon(node, number) for node in nodes]
            began, cpu = time.perf_counter(), time.process_time()
            took = way(plans)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            check(plane, plans)
            figures[name] = f"{count / seconds:.0f}/s"
            p50, p99 = (float(np.percentile(took, q)) * 1e3 for q in (50, 99))
            figures[f"{name}: p50, p99, own CPU"] = f"{p50:.0f} ms, {p99:.0f} ms, {cpu / count * 1e3:.1f} ms"
            open_again(plane)
    return figures


def make_nodes(plane: ControlPlane, count: int) -> list[dict[str, Any]]:
    """GPU nodes, Ready."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(plane.admin.create, (gpu_node(f"gpu-{number:04d}") for number in range(count))))
    return plane.admin.wait_list(
        "Node", lambda found: len(found) == count and all(map(is_ready, found)), seconds=60 + count / 5
    )


def cordon(node: dict[str, Any], number: int) -> Plan:
    """A plan of one step."""
    metadata = node["metadata"]
    target = Target("v1", "Node", "", metadata["name"], metadata["uid"])
    step = Step(StepKind.CORDON, target, {}, f"cordon node {metadata['name']}")
    return make_plan(f"INC-{number}", "benchmark", "benchmark", (step,), Blast(nodes=1), time.time_ns())


def carry_out(steps: ClusterSteps, plan: Plan) -> float:
    """Seconds of one step and its verification."""
    began = time.perf_counter()
    progress = steps.advance(plan, 0, {}, time.time_ns())
    shown = steps.verify(plan, 0, {}, time.time_ns())
    assert (progress.state, progress.changed, shown.state) == (StepState.DONE, True, StepState.DONE), (progress, shown)
    return time.perf_counter() - began


def in_threads(steps: ClusterSteps, plans: Sequence[Plan], threads: int) -> list[float]:
    """The same, several at a time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda plan: carry_out(steps, plan), plans))


def through_executor(steps: ClusterSteps, plans: Sequence[Plan], threads: int) -> list[float]:
    """Seconds from putting a plan into the journal until it is done there."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder, 'journal.db')}")
        executor = Executor(
            store.journal,
            steps,
            lambda _entry, _index, _beside: (),  # the guards, lifted
            time.time_ns,
            holder="benchmark",
            generation=lambda _now_ns: GENERATION,
        )

        def carry_on(plan: Plan) -> float:
            began = time.perf_counter()
            entry = executor.carry_on(store.journal.open(entry_for(plan, PlanState.READY)))
            assert entry.state is PlanState.DONE, entry
            return time.perf_counter() - began

        with ThreadPoolExecutor(threads) as pool:
            took = list(pool.map(carry_on, plans))
        store.close()
    return took


def check(plane: ControlPlane, plans: Sequence[Plan]) -> None:
    """Every node is cordoned by its own plan."""
    by_name = {plan.steps[0].target.name: plan.id for plan in plans}
    for node in plane.admin.list("Node"):
        mark = node["metadata"]["annotations"].get(OWN_CORDON)
        assert node["spec"].get("unschedulable") and mark == by_name[node["metadata"]["name"]], node["metadata"]["name"]


def open_again(plane: ControlPlane) -> None:
    """For the next way: as if nobody had been there."""
    body = {"spec": {"unschedulable": None}, "metadata": {"annotations": {OWN_CORDON: None}}}
    for node in plane.admin.list("Node"):
        plane.admin.patch("Node", node["metadata"]["name"], body)


if __name__ == "__main__":
    main()
