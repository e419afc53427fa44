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
from benchmarks.rows import sentence, table
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind

A_BATCH, NODES = 100, 50
PATIENCE = 1.5
"""An agent that cannot keep up ends the measurement after so many times what was asked."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    for row in table(title(args.rate, args.seconds), measured(args.rate, args.seconds)):
        print(row)


def title(rate: float, seconds: float) -> str:
    """What is asked for."""
    return f"{rate:,.0f} events a second for {seconds:g} s"


def line(rate: float = 5000.0, seconds: float = 20.0) -> str:
    """Measure, in brief."""
    return sentence(title(rate, seconds), measured(rate, seconds))


def measured(rate: float, seconds: float) -> dict[str, str]:
    """The figures."""
    with running() as agent:
        cpu, began = agent.cpu_seconds(), time.perf_counter()
        latencies = asyncio.run(send(agent, burst(rate, seconds), most_seconds=seconds * PATIENCE))
        took = time.perf_counter() - began
        sent = len(latencies) * A_BATCH
        held, deadline = -1, time.perf_counter() + 120
        while held < sent and time.perf_counter() < deadline:
            time.sleep(0.2)
            held = agent.rows("select count(*) from events")[0][0]
        stored = time.perf_counter() - began - took
        cpu = agent.cpu_seconds() - cpu
        incidents, mib = agent.rows("select count(*) from incidents")[0][0], agent.resident_mib()
    p50, p99 = (np.percentile(latencies, q) * 1e3 for q in (50, 99))
    return {
        "events a second, sent": f"{sent / took:,.0f} over {took:.0f} s",
        "events sent": f"{sent:,}",
        "events stored": f"{held:,}",
        "events lost": f"{sent - held:,}",
        "the last one stored after its answer": f"{stored:.1f} s",
        "acknowledgement p50": f"{p50:.0f} ms",
        "acknowledgement p99": f"{p99:.0f} ms",
        "agent's CPU": f"{cpu / (took + stored):.0%} of a core",
        "agent's resident memory": f"{mib:,.0f} MiB",
        "incidents": f"{incidents:,}",
    }


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
