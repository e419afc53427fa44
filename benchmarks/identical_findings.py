"""750 identical faults at once, with every guard in force: how many nodes are cordoned, and when.

    python -m benchmarks.identical_findings [--nodes 750] [--minutes 10] [--step 30]

A real agent in enforce beside a real kube-apiserver with the default guards: at most 20 nodes or a tenth of the fleet
unavailable, 10 acts an hour, and a wave is held, then let go a few nodes at a time (G6, G7, G9, G13). With `--step` the
waits of the ramp and the window of the rate are shortened to so many seconds, so that the whole of it can be seen; the
limits stay. What must hold: one incident, and never more than the limit cordoned.
"""

import argparse
import asyncio
import time

import msgspec

from benchmarks.acting_agent import Acting, acting, load, xid
from benchmarks.ingest_rate import ask, request
from benchmarks.rows import table
from collectors.model import Batch
from collectors.wire import encode

RACK = 8
LIMIT = 20
"""Of the default policy: the lower of 20 and a tenth of 750."""
MARKS = 12
CALM_SECONDS = 8.0
"""Between two batches of a node: it counts as silent after 30 s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=750)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--step", type=int, default=30, help="seconds of a step of the ramp; 0: the default's 300")
    args = parser.parse_args()
    for row in table("identical findings", measured(args.nodes, args.minutes * 60, args.step)):
        print(row)


def measured(nodes: int, seconds: float, step: int) -> dict[str, str]:
    """The figures."""
    quick = f"guards:\n  wave: {{quiet_seconds: {step}, step_seconds: {step}}}\n  rate: {{seconds: {step}}}\n"
    with acting(nodes, racks=nodes // RACK, lifted=False, policy=quick if step else "") as agent:
        before = load()
        counts, sent = asyncio.run(measure(agent, seconds))
        incidents = agent.ask("/v1/incidents?limit=1000")["incidents"]  # type: ignore[index]
    # an Xid 79 is told as `gpu_lost`; incidents that went up into the wave are resolved, and hold nothing any more
    cards = sum({"xid", "gpu_lost"} & set(incident["kinds"]) != set() for incident in incidents)
    return {
        "faults sent": f"{nodes} within {sent:.1f} s",
        "incidents about them": str(cards),
        "cordoned at most (limit 20)": str(max(counts.values(), default=0)),
        "cordoned after": ", ".join(f"{at:.0f} s {count}" for at, count in counts.items()),
        "load average": before,
    }


async def measure(agent: Acting, seconds: float) -> tuple[dict[float, int], float]:
    """Nodes cordoned by seconds since the first fault, and how long sending took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
    began = time.perf_counter()
    for uid in agent.nodes.values():
        status = await ask(reader, writer, request(encode(xid(uid)), agent.token))
        if status != 200:
            raise SystemExit(f"the agent answered {status}")
    sent = time.perf_counter() - began
    counts: dict[float, int] = {}
    mark, sequence = 1, 2
    while mark <= MARKS:
        # collectors go on: who falls silent is not acted on (G14)
        next_mark = began + mark * seconds / MARKS
        for uid in agent.nodes.values():
            await ask(reader, writer, request(encode(calm(uid, sequence)), agent.token))
            if time.perf_counter() >= next_mark:
                break
        sequence += 1
        await asyncio.sleep(max(0.0, min(next_mark - time.perf_counter(), CALM_SECONDS)))
        if time.perf_counter() >= next_mark:
            counts[mark * seconds / MARKS] = len(agent.cordons.seen)
            mark += 1
    writer.close()
    return counts, sent


def calm(uid: str, sequence: int) -> Batch:
    """One batch of a node that goes on sending."""
    before = xid(uid)
    return msgspec.structs.replace(before, sequence=sequence, events=())


if __name__ == "__main__":
    main()
