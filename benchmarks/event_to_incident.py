"""From an event at the agent's HTTP door to its incident in the store. Target: p99 under 1 s.

    python -m benchmarks.event_to_incident [--times 200]

A real agent; Xid 79 of one GPU after the other, each of another node, in 50 clusters in turn (in one cluster they would
soon be one wave, and one incident), 0.27 s apart so that they meet the agent's ticks at every phase. Time runs from
just before the request is written until a reader of the store's database sees the incident's row; it is looked for
every 5 ms.
"""

import argparse
import asyncio
import time

import numpy as np

from benchmarks.agent_process import Running, running, send
from benchmarks.rows import sentence, table
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind

APART_S, LOOK_S, PATIENCE_S = 0.27, 0.005, 10.0
CLUSTERS = 50
TITLE = "event to incident"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    args = parser.parse_args()
    for row in table(TITLE, measured(args.times)):
        print(row)


def line(times: int = 200) -> str:
    """Measure, in brief."""
    return sentence(TITLE, measured(times))


def measured(times: int) -> dict[str, str]:
    """The figures."""
    with running() as agent:
        took = asyncio.run(measure(agent, times))
    p50, p99 = (float(np.percentile(took, q)) for q in (50, 99))
    return {
        "p50": f"{p50 * 1e3:.0f} ms",
        "p99": f"{p99 * 1e3:.0f} ms",
        "worst": f"{max(took) * 1e3:.0f} ms",
        "Xids sent": str(times),
        "without an incident": str(times - len(took)),
    }


async def measure(agent: Running, times: int) -> list[float]:
    """Seconds from asking to seeing, of those that were seen."""
    asked: dict[int, float] = {}
    seen: dict[int, float] = {}

    async def watch() -> None:
        deadline = time.perf_counter() + times * APART_S + PATIENCE_S
        while len(seen) < times and time.perf_counter() < deadline:
            count = agent.rows("select count(*) from incidents")[0][0]
            now = time.perf_counter()
            for number in range(len(seen), count):  # a node each: they open in the order in which they were sent
                seen[number] = now
            await asyncio.sleep(LOOK_S)

    async def talk() -> None:
        for number in range(times):
            began = asked[number] = time.perf_counter()
            await send(agent, iter([(0.0, xid(number))]), connections=1)
            await asyncio.sleep(max(0.0, APART_S - (time.perf_counter() - began)))

    await asyncio.gather(talk(), watch())
    return [seen[number] - asked[number] for number in sorted(seen)]


def xid(number: int) -> Batch:
    """One batch with one Xid of a GPU of its own."""
    cluster = f"bench-{number % CLUSTERS}"
    node = Subject(cluster, SubjectKind.NODE, f"node-{number}")
    gpu = Subject(cluster, SubjectKind.GPU, f"GPU-{number}")
    now_ns = time.time_ns()
    said = "NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus."
    event = Event(EventKind.XID, gpu, now_ns, EventSource.KERNEL_LOG, {"code": 79.0}, line=said)
    return Batch(1, Origin.LIVE, node, "boot", "spool", 1, now_ns, (node, gpu), events=(event,))


if __name__ == "__main__":
    main()
