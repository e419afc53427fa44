"""One real agent and a simulated fleet: memory, CPU, and whether its detectors keep up. Target: 5,000 nodes every 5 s.

    python -m benchmarks.working_set [--nodes 5000] [--seconds 60] [--every 5]

Each node of 8 GPUs sends one batch of 25 metrics every `--every` seconds, spread evenly, over 128 connections; the jobs
log steps, one job in a thousand is in trouble. Batches are made before they are due, in this process, which shares the
machine with the agent: on two cores it takes its part of the second one. Stated are the agent's resident memory at the
end, its CPU over the second half, the acknowledgements' latency then, and the watch's lag by the agent's own metrics.
An agent that cannot keep up is given half as long again, then the run ends, with what was sent. The target machine has
2 cores and 4 GiB; a run of an hour would add what history and store gather (docs/store.md).
"""

import argparse
import asyncio
import re
import time
import urllib.request
from collections.abc import Iterator

import msgspec
import numpy as np

from benchmarks.agent_process import Running, running, send
from benchmarks.fleet import GPUS, Fleet
from benchmarks.rows import sentence, table
from collectors.model import Batch

PATIENCE = 1.5
LAG = re.compile(r"^(watchstander_\w*lag\w*)(?:\{[^}]*\})? ([\d.e+-]+)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0)
    args = parser.parse_args()
    title = f"{args.nodes:,} nodes x {GPUS} GPUs every {args.every:g} s"
    for row in table(title, measured(args.nodes, args.seconds, args.every)):
        print(row)


def line(nodes: int = 5000, seconds: float = 60.0, every: float = 5.0) -> str:
    """Measure, in brief."""
    return sentence(f"{nodes:,} nodes x {GPUS} GPUs every {every:g} s", measured(nodes, seconds, every))


def measured(nodes: int, seconds: float, every: float) -> dict[str, str]:
    """The figures of the second half."""
    with running() as agent:
        halves = []
        fleet = fleet_batches(Fleet(nodes * GPUS), nodes / every)
        for _ in range(2):
            count = int(nodes / every * seconds / 2)
            cpu, began = agent.cpu_seconds(), time.perf_counter()
            most = seconds / 2 * PATIENCE
            latencies = asyncio.run(send(agent, paced(fleet, count, nodes / every), 128, most))
            halves.append((latencies, agent.cpu_seconds() - cpu, time.perf_counter() - began))
        lags = {name: float(value) for name, value in LAG.findall(metrics(agent))}
        mib = agent.resident_mib()
    latencies, cpu, took = halves[1]
    p50, p99 = (np.percentile(latencies, q) * 1e3 for q in (50, 99))
    return {
        "batches a second, asked": f"{nodes / every:,.0f}",
        "batches a second, answered": f"{len(latencies) / took:,.0f} over {took:.0f} s",
        "agent's CPU": f"{cpu / took:.0%} of a core",
        "agent's resident memory": f"{mib:,.0f} MiB",
        "acknowledgement p50": f"{p50:.0f} ms",
        "acknowledgement p99": f"{p99:.0f} ms",
        **{name: f"{value:.2f} s" for name, value in lags.items()},
    }


def fleet_batches(fleet: Fleet, rate: float) -> Iterator[Batch]:
    """For ever, with the present's times in place of the fleet's own."""
    for batches in fleet.looks():
        for batch in batches:
            shift = time.time_ns() - batch.sent_ns
            yield msgspec.structs.replace(
                batch,
                sent_ns=batch.sent_ns + shift,
                tables=tuple(
                    type(t)(t.metrics, t.subjects, tuple(at + shift for at in t.times_ns), t.data) for t in batch.tables
                ),
                events=tuple(msgspec.structs.replace(e, time_ns=e.time_ns + shift) for e in batch.events),
            )


def paced(batches: Iterator[Batch], count: int, rate: float) -> Iterator[tuple[float, Batch]]:
    """The next `count`, at even distances."""
    for number in range(count):
        yield number / rate, next(batches)


def metrics(agent: Running) -> str:
    """The agent's own, as Prometheus reads them."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{agent.port}/metrics",
        headers={"authorization": f"Bearer {agent.token}", "host": "localhost"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    main()
