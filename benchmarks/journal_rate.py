"""Plans a second through the executor and its journal, where the API server is elsewhere and only makes it wait.

    python -m benchmarks.journal_rate [--plans 300 --wait 16 --runs 5 --store sqlite:///... or postgresql://...]

`benchmarks.cordon_rate` shares its cores with a whole control plane. Here a step is a wait: three quarters of `--wait`
ms for reading and patching the node, the rest for looking whether it shows. What is left is ours: three journal entries
a plan, each with its audit entry, durable before the next step. With 4 threads the waits alone allow 250 a second.

THE GUARDS ARE LIFTED here.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from agent.actions.runner import WORKERS
from agent.store.store import Store, open_store
from benchmarks.cordon_rate import GENERATION, cordon
from benchmarks.rows import table
from policies.executor import Executor, entry_for
from policies.journal import PlanState, Progress, StepState
from policies.plan import Plan

TITLE = "plans through executor and journal, guards lifted"


class Waits:
    """`policies.journal.Cluster`: every step succeeds after a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def advance(self, _plan: Plan, _step_index: int, _memo: dict[str, str], _now_ns: int) -> Progress:
        """Done, and changed."""
        time.sleep(self._seconds * 0.75)
        return Progress(StepState.DONE, "cordoned", changed=True)

    def verify(self, _plan: Plan, _step_index: int, _memo: dict[str, str], _now_ns: int) -> Progress:
        """It shows."""
        time.sleep(self._seconds * 0.25)
        return Progress(StepState.DONE, "is cordoned")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=300)
    parser.add_argument("--wait", type=float, default=16.0, help="ms of a step")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", default="", help="default: SQLite in a temporary folder")
    args = parser.parse_args()
    figures = {"plans": str(args.plans), "wait of a step": f"{args.wait:g} ms"}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(args.store or f"sqlite:///{Path(folder, 'journal.db')}")
        for threads in (1, 4, WORKERS):
            runs = [run(store, threads, args.plans, args.wait / 1e3) for _ in range(args.runs)]
            rates, own = [rate for rate, _ in runs], [cpu for _, cpu in runs]
            figures[f"{threads} threads"] = f"{median(rates):.0f}/s ({min(rates):.0f}-{max(rates):.0f})"
            figures[f"{threads} threads: own CPU a plan"] = f"{median(own):.1f} ms"
        store.close()
    for row in table(TITLE, figures):
        print(row)


def run(store: Store, threads: int, plans: int, wait: float) -> tuple[float, float]:
    """Plans a second, and this process's processor time a plan in ms."""
    executor = Executor(
        store.journal,
        Waits(wait),
        lambda _entry, _index, _beside: (),  # the guards, lifted
        time.time_ns,
        holder="benchmark",
        generation=lambda _now_ns: GENERATION,
    )
    made = time.time_ns()
    nodes = [{"metadata": {"name": f"gpu-{number:04d}", "uid": f"{made}-{number}"}} for number in range(plans)]
    due = [cordon(node, made) for node in nodes]

    def carry_on(plan: Plan) -> None:
        entry = executor.carry_on(store.journal.open(entry_for(plan, PlanState.READY)))
        assert entry.state is PlanState.DONE, entry

    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(carry_on, due))
    return plans / (time.perf_counter() - began), (time.process_time() - cpu) / plans * 1e3


if __name__ == "__main__":
    main()
