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
    for folder in args.recordings:
        print(line(folder, args.runs))


def line(folder: Path = RECORDINGS / NAMES[-1], runs: int = 3) -> str:
    """Measure one recording."""
    recording = Recording(folder)
    seconds = (recording.end_ns - recording.start_ns) / 1e9
    alone = [seconds / timed(lambda: play(recording, SamplingPlan())) for _ in range(runs)]
    whole = [seconds / timed(lambda: replay(recording)) for _ in range(runs)]
    return (
        f"replay of {folder.name} ({seconds:.0f} s): {median(whole):,.0f} x real time with detectors "
        f"({min(whole):,.0f}-{max(whole):,.0f}), {median(alone):,.0f} x without ({min(alone):,.0f}-{max(alone):,.0f})"
    )


def timed(what: Callable[[], Iterable[object]]) -> float:
    """CPU seconds until it has given everything."""
    began = time.process_time()
    for _ in what():
        pass
    return time.process_time() - began


if __name__ == "__main__":
    main()
