"""How long an agent takes to gather one incident's bundle out of a fleet's ingest log, and how much memory.

    python -m benchmarks.bundle [--nodes 1000] [--minutes 15] [--taken 32]

The log holds calm batches of so many nodes of 8 GPUs, one every 5 s a node; the incident is about a job on `--taken` of
them. In one process, apart from any load.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.bundle.make import Asked, gather, write
from agent.ingest.log import IngestLog
from agent.store.store import open_store
from collectors.model import (
    CATALOGUE,
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    MetricType,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from collectors.wire import encode
from detectors.model import Finding, FindingKind, Incident, IncidentState, Inventory, Severity

NS = 10**9
T0 = 1_795_000_000 * NS
GAUGES = tuple(name for name, metric in CATALOGUE.items() if metric.type is MetricType.GAUGE)[:21]
JOB = Subject("c", SubjectKind.JOB, "train/llama")


def fleet(nodes: int, minutes: float, taken: int) -> Iterator[tuple[int, Batch]]:
    """Received and batch, in order."""
    values = np.random.default_rng(1).random((len(GAUGES), 8), dtype=np.float32).tobytes()
    homes = [Subject("c", SubjectKind.NODE, f"node-uid-{n:05d}") for n in range(nodes)]
    cards = [tuple(Subject("c", SubjectKind.GPU, f"GPU-{n:05d}-{i}") for i in range(8)) for n in range(nodes)]
    for look in range(int(minutes * 12)):
        for n, (home, several) in enumerate(zip(homes, cards)):
            at_ns = T0 + look * 5 * NS + n * 5 * NS // nodes
            job = {"job": JOB.id} if n < taken else {}
            facts: tuple[SubjectFacts, ...] = ()
            events: tuple[Event, ...] = ()
            if look % 12 == 0:
                facts = (
                    SubjectFacts(home, f"gpu-{n:05d}"),
                    *(SubjectFacts(c, c.id, home, {"index": str(i), **job}) for i, c in enumerate(several)),
                )
            if n < taken:
                line = f"gpu-{n:05d}:417:417 [0] iteration {look} loss: 2.31"
                said = {"step": float(look)}
                events = (Event(EventKind.TRAINING_STEP, JOB, at_ns, EventSource.TRAINING_LOG, said, line=line),)
            subjects, table = (home, *several), Table(GAUGES, tuple(range(1, 9)), (at_ns,), values)
            yield (
                at_ns,
                Batch(WIRE_VERSION, Origin.LIVE, home, "b", "s", look, at_ns, subjects, facts, (table,), events),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--taken", type=int, default=32)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log, store = IngestLog(Path(folder) / "log"), open_store(f"sqlite:///{folder}/store.db")
        group: list[tuple[int, bytes]] = []
        for received_ns, batch in fleet(args.nodes, args.minutes, args.taken):
            group.append((received_ns, encode(batch)))
            if len(group) == 5000:
                log.append(group)
                group = []
        log.append(group)
        last_ns = T0 + int(args.minutes * 60) * NS
        when, kind, severity = last_ns - NS, FindingKind.JOB_CRASH, Severity.WARNING
        finding = Finding("F-1", kind, JOB, severity, when, when, 0.9, "x", Origin.LIVE)
        incident = Incident(
            "INC-1", IncidentState.OPEN, "F-1", ("F-1",), kind, JOB, severity, "x", when, when, when, Origin.LIVE
        )
        inventory = Inventory()
        for _, batch in fleet(args.taken, 1 / 12, args.taken):
            inventory.learn(batch, T0)
        print(f"{args.nodes:,} nodes, {args.minutes:g} min: the log holds {log.size_bytes / 2**20:,.0f} MiB")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for rename in (False, True):
            asked = Asked(incident, [finding], [], last_ns, 900.0, 60.0, rename)
            began = time.process_time()
            found = gather(asked, store, log, inventory)
            gathered = time.process_time()
            with (Path(folder) / "x.zip").open("wb") as file:
                meta = write(file, asked, found, store)
                size = file.tell()
            took = time.process_time() - gathered
            print(
                f"{'renamed' if rename else 'as it is'}: {meta['nodes']} nodes, {meta['batches']:,} batches, "
                f"{size / 2**20:.1f} MiB; gathered in {gathered - began:.1f} s of CPU, written in {took:.1f} s"
            )
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"memory: at most {grown / 1024:.0f} MiB more than before")
        store.close()


if __name__ == "__main__":
    main()
