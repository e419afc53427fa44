"""What a large fleet in much trouble costs the watch: 5,000 nodes, 1,000 jobs, 10,000 findings an hour.

    python -m benchmarks.fleet_hour [--nodes 5000] [--findings-an-hour 10000] [--minutes 6]

Detectors, correlation, policy and the book of jobs in one process and one thread, as the agent's worker drives them
(`agent.watch.Watch`: batches as they come, ticks on half seconds); no HTTP, no store. Each node of 8 GPUs sends one
look of 25 metrics every 5 s (`benchmarks.fleet`), each job a step line with it; racks of 8 nodes. On top come, node
by node at random: Xids of programs and of hardware, cards that are hot for a minute, ranks that run out of memory,
crashes. Nothing hardware is ever mended, so that findings and incidents gather as in a bad hour.

Stated are, of the time after the first minute (habits are learnt there): CPU seconds of the one thread for a minute of
the fleet, in which a whole core has 60; the worst and the 99th of a hundred ticks; findings, incidents and decisions;
resident memory over the bench's own. An hour is `--minutes 61`; six minutes take about two.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from agent.watch import Changes, Watch
from benchmarks.fleet import CHEAP, CLUSTER, GPUS, INTERVAL_NS, Fleet
from benchmarks.tick import resident_mib
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind
from detectors.inventory.sources import Source

SIZES = (8, 8, 16, 16, 32, 48, 64, 128)
"""Of jobs: 40 GPUs in the mean, 1,000 jobs on 5,000 nodes."""
RACK = 8
PROGRAM_XIDS, HARDWARE_XIDS = (13, 31, 43), (63, 74, 94, 119)
HOT_NS = 60 * 10**9
THERMAL = 0x20
WARM_UP_S = 60.0
LOOKS_AN_HOUR = 720


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--findings-an-hour", type=float, default=10_000.0)
    parser.add_argument("--minutes", type=float, default=6.0, help="of the fleet's time, the first one included")
    args = parser.parse_args()
    for sentence in lines(args.nodes, args.findings_an_hour, args.minutes):
        print(sentence, flush=True)


@dataclass(slots=True)
class Troubles:
    """Puts trouble into a fleet's batches, at random and always the same."""

    fleet: Fleet
    share: float
    """Of batches that bring one."""
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    hot: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By node: the card that is hot, and until when."""

    def batches(self) -> Iterator[Batch]:
        """The fleet's, for ever."""
        for batches in self.fleet.looks():
            drawn = self.chance.random(self.fleet.nodes) < self.share
            for batch in batches:
                node = int(batch.node.id.removeprefix("node-"))
                yield self._with_heat(self._with_event(batch, node) if drawn[node] else batch, node)

    def _with_event(self, batch: Batch, node: int) -> Batch:
        """One more thing that goes wrong there."""
        kind, gpu, now_ns = int(self.chance.integers(10)), int(self.chance.integers(GPUS)), batch.sent_ns
        job = Subject(CLUSTER, SubjectKind.JOB, f"job-{self.fleet.job_of(node)}")
        rank = {"rank": str(gpu), "detail": "torch.OutOfMemoryError: CUDA out of memory."}
        if kind < 4:
            codes = HARDWARE_XIDS if kind == 0 else PROGRAM_XIDS
            code = codes[int(self.chance.integers(len(codes)))]
            card, source = batch.subjects[gpu], EventSource.KERNEL_LOG
            event = Event(EventKind.XID, card, now_ns, source, {"code": float(code)}, line=f"NVRM: Xid: {code}")
        elif kind < 6:
            event = Event(EventKind.CUDA_OUT_OF_MEMORY, job, now_ns, EventSource.TRAINING_LOG, attributes=rank)
        elif kind < 8:
            exit_code = {"exit_code": 1.0}
            event = Event(EventKind.PROCESS_EXIT, job, now_ns, EventSource.TRAINING_LOG, exit_code)
        else:
            self.hot[node] = (gpu, now_ns + HOT_NS)
            return batch
        return msgspec.structs.replace(batch, events=(*batch.events, event))

    def _with_heat(self, batch: Batch, node: int) -> Batch:
        gpu, until_ns = self.hot.get(node, (0, 0))
        if batch.sent_ns >= until_ns:
            self.hot.pop(node, None)
            return batch
        cheap, *rest = batch.tables
        values = np.frombuffer(cheap.data, np.float32).reshape(len(CHEAP), GPUS).copy()
        values[-1, gpu] = float(int(values[-1, gpu]) | THERMAL)
        return msgspec.structs.replace(batch, tables=(msgspec.structs.replace(cheap, data=values.tobytes()), *rest))


@dataclass(slots=True)
class Spent:
    """CPU seconds, and what came of them."""

    received: float = 0.0
    ticks: list[float] = field(default_factory=list)
    findings: set[str] = field(default_factory=set)
    incidents: set[str] = field(default_factory=set)
    decisions: int = 0
    attempts: int = 0

    def count(self, changes: Changes) -> None:
        """Take in what a tick said."""
        self.findings.update(f.id for f in changes.findings)
        self.incidents.update(i.id for i in changes.incidents)
        self.decisions += len(changes.decisions)
        self.attempts += len(changes.jobs)


def lines(nodes: int = 5000, findings_an_hour: float = 10_000.0, minutes: float = 6.0) -> Iterator[str]:
    """Measure."""
    fleet = Fleet(nodes * GPUS, sizes=SIZES, troubled=0.001)
    troubles = Troubles(fleet, findings_an_hour / LOOKS_AN_HOUR / nodes)
    watch = Watch(Origin.LIVE, CLUSTER)
    topology = {
        (SubjectKind.NODE, f"node-{n:06d}"): {"rack": f"rack-{n // RACK:04d}", "pool": "training"} for n in range(nodes)
    }
    empty_mib = resident_mib()
    warm, spent = Spent(), Spent()
    began_ns = 0
    for batch in troubles.batches():
        began_ns = began_ns or batch.sent_ns
        if not watch.engine.inventory.facts:
            watch.engine.inventory.tell_by_name(Source.CSV, topology, batch.sent_ns)
        passed = (batch.sent_ns - began_ns) / 1e9
        if passed >= minutes * 60:
            break
        into = warm if passed < WARM_UP_S else spent
        began = time.thread_time()
        changes = watch.advance(batch.sent_ns)
        ticked = time.thread_time()
        watch.receive(batch, batch.sent_ns)
        into.received += time.thread_time() - ticked
        if ticked - began > 1e-4 or changes:  # shorter ones were not due
            into.ticks.append(ticked - began)
            into.count(changes)
    counted = minutes - WARM_UP_S / 60
    if counted <= 0 or not spent.ticks:
        raise SystemExit("give more than one minute: the first is not counted")
    cpu = (spent.received + sum(spent.ticks)) / counted
    new = spent.findings - warm.findings
    p50, p99 = np.percentile(spent.ticks, (50, 99))
    yield (
        f"{nodes:,} nodes x {GPUS} GPUs every {INTERVAL_NS / 1e9:.0f} s, {fleet.jobs:,} jobs, "
        f"{len(new) / counted * 60:,.0f} findings an hour, {minutes:g} minutes:"
    )
    yield (
        f"{cpu:.1f} CPU s a minute, {cpu / 60:.0%} of a core: "
        f"ticks {sum(spent.ticks) / counted:.1f}, taking in batches {spent.received / counted:.1f}"
    )
    yield (
        f"tick p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, worst {max(spent.ticks) * 1e3:,.0f} ms; "
        f"{len(spent.ticks) / counted:.0f} ticks a minute"
    )
    open_now = len(watch.correlator.unresolved)
    yield (
        f"{len(spent.incidents - warm.incidents):,} new incidents, {open_now:,} open at the end; "
        f"{spent.decisions / counted:,.0f} decisions and {spent.attempts / counted:,.0f} rows of jobs a minute"
    )
    yield f"{resident_mib() - empty_mib:,.0f} MiB resident over the bench's own {empty_mib:,.0f}"


if __name__ == "__main__":
    main()
