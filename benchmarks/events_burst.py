"""A burst of events through a real agent: are all of them in the store afterwards? Target: 5,000 a second, none lost.

    python -m benchmarks.events_burst [--rate 5000] [--seconds 20]

Events come in batches of 100 over 32 connections, from 50 nodes: out-of-memory kills and hung tasks, and one Xid 31 in
a hundred, so that findings and incidents are made too. Stated are the rate reached, the acknowledgements, how long
after the last one the store held the last event, and how many it holds. The target's five minutes: `--seconds 300`.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.agent_process import running, send
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind

A_BATCH, NODES = 100, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    print(line(args.rate, args.seconds))


def line(rate: float = 5000.0, seconds: float = 20.0) -> str:
    """Measure."""
    with running() as agent:
        cpu, began = agent.cpu_seconds(), time.perf_counter()
        latencies = asyncio.run(send(agent, burst(rate, seconds)))
        took = time.perf_counter() - began
        sent = len(latencies) * A_BATCH
        held, deadline = -1, time.perf_counter() + 120
        while held < sent and time.perf_counter() < deadline:
            time.sleep(0.2)
            held = agent.rows("select count(*) from events")[0][0]
        stored = time.perf_counter() - began - took
        cpu = agent.cpu_seconds() - cpu
        incidents = agent.rows("select count(*) from incidents")[0][0]
    p50, p99 = (np.percentile(latencies, q) * 1e3 for q in (50, 99))
    return (
        f"events: {sent / took:,.0f} a second for {took:.0f} s (asked {rate:,.0f}), sent {sent:,}, stored {held:,}, "
        f"lost {sent - held:,}; the last {stored:.1f} s after its answer; ack p50 {p50:.0f} ms, p99 {p99:.0f} ms; "
        f"agent {cpu / (took + stored) * 100:.0f} % of a core; {incidents} incidents"
    )


def burst(rate: float, seconds: float) -> Iterator[tuple[float, Batch]]:
    """Batches and when they are due."""
    for number in range(int(rate * seconds / A_BATCH)):
        node = Subject("bench", SubjectKind.NODE, f"node-{number % NODES}")
        gpu = Subject("bench", SubjectKind.GPU, f"GPU-{number % NODES}-{number // NODES % 8}")
        now_ns = time.time_ns()
        events = [
            Event(
                EventKind.OOM_KILL if n % 2 else EventKind.HUNG_TASK,
                node,
                now_ns + number * A_BATCH + n,
                EventSource.KERNEL_LOG,
                attributes={"process": f"python-{n}"},
                line=f"burst {number} {n}: Out of memory: Killed process {number * A_BATCH + n} (python)",
            )
            for n in range(A_BATCH - 1)
        ]
        events.append(
            Event(
                EventKind.XID, gpu, now_ns + number * A_BATCH + 99, EventSource.KERNEL_LOG, {"code": 31.0}, line="Xid"
            )
        )
        yield (
            number * A_BATCH / rate,
            Batch(1, Origin.LIVE, node, "boot", "spool", number, now_ns, (node, gpu), events=tuple(events)),
        )


if __name__ == "__main__":
    main()
