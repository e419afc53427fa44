"""How much faster than life a recording plays: the collector alone, and with the whole watch behind it.

    python -m benchmarks.replay_speed [RECORDING ...] [--runs 3]

No target of its own: it bounds how long a change of the detectors takes to try on a day of telemetry.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from agent.replay import replay
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan

RECORDINGS = Path(__file__).parent.parent / "recordings"
NAMES = ("h200-training", "h200-ddp", "h200-ddp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="*", default=[RECORDINGS / name for name in NAMES])
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print("| recording | with detectors, x real time | without |\n| --- | --- | --- |")
    for folder in args.recordings:
        whole, alone, seconds = speeds(folder, args.runs)
        print(f"| {folder.name} ({seconds:.0f} s) | {spread(whole)} | {spread(alone)} |", flush=True)


def line(folder: Path = RECORDINGS / NAMES[-1], runs: int = 3) -> str:
    """Measure one recording, in brief."""
    whole, alone, seconds = speeds(folder, runs)
    return f"replay of {folder.name} ({seconds:.0f} s): {spread(whole)} x real time, without detectors {spread(alone)}"


def speeds(folder: Path, runs: int) -> tuple[list[float], list[float], float]:
    """(times real time with detectors, without, seconds of the recording), by the CPU that it took."""
    recording = Recording(folder)
    seconds = (recording.end_ns - recording.start_ns) / 1e9
    alone = [seconds / timed(lambda: play(recording, SamplingPlan())) for _ in range(runs)]
    whole = [seconds / timed(lambda: replay(recording)) for _ in range(runs)]
    return whole, alone, seconds


def spread(values: list[float]) -> str:
    """Median, and least and greatest in brackets."""
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def timed(what: Callable[[], Iterable[object]]) -> float:
    """CPU seconds until it has given everything."""
    began = time.process_time()
    for _ in what():
        pass
    return time.process_time() - began


if __name__ == "__main__":
    main()
