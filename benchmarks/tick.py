"""How long one look of all detectors takes, for fleets of 1,000 to 1,000,000 GPUs. Target: 1,000,000 within 10 s.

    python -m benchmarks.tick                              1,000, 100,000 and 1,000,000 GPUs
    python -m benchmarks.tick --gpus 40000 --profile       one size, and where the time goes

The simulated fleet is that of `benchmarks.fleet`: 25 metrics a look, real cards' healthy readings, jobs of 8 to 1,024
ranks, 0.1 % of them in trouble. Stated are, in CPU seconds of the one thread that does it (wall time too where nothing
else runs): `receive` for all batches of one look (what a message costs before detectors see it), and `tick`, which lays
them out as arrays and runs every detector. The first looks warm habits up and are not counted.
"""

import argparse
import cProfile
import pstats
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median

from benchmarks.fleet import GPUS, INTERVAL_NS, TROUBLE_FROM, Fleet
from collectors.model import Origin
from detectors.engine import Engine

SIZES = (1_000, 100_000, 1_000_000)
COUNTED = 5
TARGET_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="*", default=SIZES)
    parser.add_argument("--looks", type=int, default=COUNTED, help="looks that count")
    parser.add_argument("--aligned", action="store_true", help="all nodes look at the same instant")
    parser.add_argument("--profile", action="store_true", help="where the time of the counted looks goes")
    args = parser.parse_args()
    for gpus in args.gpus:
        print(line(gpus, looks=args.looks, aligned=args.aligned, profile=args.profile), flush=True)


def line(gpus: int, *, looks: int = COUNTED, aligned: bool = False, profile: bool = False) -> str:
    """Measure one size."""
    before_mib = resident_mib()
    fleet, engine = Fleet(gpus, aligned=aligned), Engine(Origin.LIVE)
    empty_mib = resident_mib()
    received: list[float] = []
    ticked: list[float] = []
    found: Counter[str] = Counter()
    profiler = cProfile.Profile()
    for look, batches in enumerate(fleet.looks()):
        counts = look >= TROUBLE_FROM
        if look == TROUBLE_FROM + looks:
            break
        seconds = 0.0
        for batch in batches:  # made one by one: a fleet's batches do not lie in memory at once
            began = time.thread_time()
            engine.receive(batch, batch.sent_ns)
            seconds += time.thread_time() - began
        if profile and counts:
            profiler.enable()
        began = time.thread_time()
        now_ns = 1_795_000_000 * 10**9 + (look + 1) * INTERVAL_NS
        for finding in engine.tick(now_ns):
            found[finding.kind.value] += finding.cleared_ns is None
        took = time.thread_time() - began
        profiler.disable()
        if counts:
            received.append(seconds)
            ticked.append(took)
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items())) or "none"
    target = (
        ""
        if gpus < SIZES[-1]
        else f" (target {TARGET_SECONDS:.0f} s: {'held' if max(ticked) <= TARGET_SECONDS else 'MISSED'})"
    )
    return (
        f"{fleet.gpus:>9,} GPUs, {fleet.jobs:,} jobs, {len(fleet.troubled)} in trouble: "
        f"tick {median(ticked):.3f} s ({min(ticked):.3f}-{max(ticked):.3f}){target}, "
        f"receive {median(received):.3f} s ({median(received) / fleet.nodes * 1e6:.1f} us a batch of {GPUS} GPUs), "
        f"memory {resident_mib() - empty_mib:,.0f} MiB over the bench's own {empty_mib:,.0f} "
        f"({(resident_mib() - before_mib) * 2**10 / fleet.gpus:.2f} KiB a GPU); findings: {told}"
    )


def resident_mib() -> float:
    """Resident memory of this process now, MiB."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
