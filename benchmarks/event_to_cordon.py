"""From an event at the agent's HTTP door to its node cordoned on a real API server. Target: p99 under 1.5 s.

    python -m benchmarks.event_to_cordon [--times 1000]

A real agent in enforce beside a real kube-apiserver and etcd (package testcluster); Xid 79 of one card after the other,
each of another node, 0.27 s apart so that they meet the agent's ticks at every phase. The rule waits 0 s and asks for
one witness; waves, limits and rates are lifted, since a thousand identical faults are one wave else. Time runs from
just before the request is written until a watch of the nodes shows the cordon. NVSentinel's published run: 1.8 s.
"""

import argparse
import asyncio
import time

import numpy as np

from benchmarks.acting_agent import Acting, acting, load, xid
from benchmarks.ingest_rate import ask, request
from benchmarks.rows import sentence, table
from collectors.wire import encode

APART_S, PATIENCE_S = 0.27, 60.0
TITLE = "event to cordon"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000)
    for row in table(TITLE, measured(parser.parse_args().times)):
        print(row)


def line(times: int = 100) -> str:
    """Measure, in brief."""
    return sentence(TITLE, measured(times))


def measured(times: int) -> dict[str, str]:
    """The figures."""
    with acting(times, lifted=True) as agent:
        before = load()
        took = asyncio.run(measure(agent))
        after = load()
    p50, p99 = (float(np.percentile(took, q)) for q in (50, 99))
    return {
        "p50": f"{p50 * 1e3:.0f} ms",
        "p99": f"{p99 * 1e3:.0f} ms",
        "worst": f"{max(took) * 1e3:.0f} ms",
        "Xids sent": str(times),
        "not cordoned": str(times - len(took)),
        "load average before, after": f"{before}, {after}",
    }


async def measure(agent: Acting) -> list[float]:
    """Seconds from asking to seeing, of those that were seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
    asked: dict[str, float] = {}
    for name, uid in agent.nodes.items():
        began = asked[name] = time.perf_counter()
        status = await ask(reader, writer, request(encode(xid(uid)), agent.token))
        if status != 200:
            raise SystemExit(f"the agent answered {status}")
        await asyncio.sleep(max(0.0, APART_S - (time.perf_counter() - began)))
    writer.close()
    deadline = time.perf_counter() + PATIENCE_S
    with agent.cordons.changed:
        while len(agent.cordons.seen) < len(asked) and time.perf_counter() < deadline:
            agent.cordons.changed.wait(1.0)
    return [seen - asked[name] for name, seen in agent.cordons.seen.items()]


if __name__ == "__main__":
    main()
