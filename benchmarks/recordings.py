"""How many faults of the real recordings are found, named and laid at the right rank's door, and what is said falsely.

    python -m benchmarks.recordings                                     the three recordings with faults
    python -m benchmarks.recordings --variations 10                     and ten variations of each
    python -m benchmarks.recordings --overlay-tool TOOL --overlays 10   and hardware faults laid over them

Variations are those of `benchmarks.variations`; an overlay tool is any script called as TOOL RECORDING OUT --seed N.
Each is played through the collector's own sampling plan and the whole watch, and its findings are held against its
truth.json (`agent.demo.truth`): a fault counts as found within 20 s of its end; the delay is counted from its start.
Target: every fault found and named, at most 15 s after its start, the guilty rank too; nothing said in a benign phase.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.demo.truth import Score, Told, read_phases, score
from agent.replay import replay
from benchmarks.replay_speed import NAMES, RECORDINGS
from benchmarks.variations import vary
from collectors.recording.folder import Recording

TARGET_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="*", default=[RECORDINGS / name for name in NAMES])
    parser.add_argument("--variations", type=int, default=0, metavar="N", help="seeds 1 to N of each recording")
    parser.add_argument("--overlay-tool", type=Path)
    parser.add_argument("--overlays", type=int, default=10, metavar="N", help="seeds 1 to N of each recording")
    args = parser.parse_args()
    overlays = args.overlays if args.overlay_tool else 0
    for sentence in lines(args.recordings, args.variations, args.overlay_tool, overlays):
        print(sentence, flush=True)


def lines(
    recordings: Iterable[Path] = tuple(RECORDINGS / name for name in NAMES),
    variations: int = 0,
    tool: Path | None = None,
    overlays: int = 0,
) -> Iterator[str]:
    """One sentence a recording, and one for all that were made of it."""
    for recording in recordings:
        yield f"{recording.name}: {judged(recording).sentence()}"
        for what, count in (("variations", variations), ("overlays", overlays)):
            if count:
                yield together(f"{count} {what} of {recording.name}", made(what, recording, count, tool))


def judged(folder: Path) -> Score:
    """Play it and hold what is told against its truth."""
    told: dict[str, Told] = {}
    for _, changes in replay(Recording(folder)):
        for f in changes.findings:
            told[f.id] = Told(f.kind, f.since_ns / 1e9, f.opened_ns / 1e9, f.names)
    return score(read_phases(folder) or [], list(told.values()))


def made(what: str, recording: Path, count: int, tool: Path | None) -> Iterator[Score]:
    """Scores of what a tool makes of a recording, seed by seed."""
    for seed in range(1, count + 1):
        with tempfile.TemporaryDirectory() as name:
            out = Path(name) / f"{recording.name}-{seed}"
            if what == "variations":
                vary(recording, out, seed)
            else:
                subprocess.run([sys.executable, str(tool), str(recording), str(out), "--seed", str(seed)], check=True)
            yield judged(out)


def together(what: str, scores: Iterable[Score]) -> str:
    """One sentence about many."""
    held = list(scores)
    faults = tuple(fault for one in held for fault in one.faults)
    both = Score(faults, tuple(told for one in held for told in one.false))
    late = sum(fault.delay_s is not None and fault.delay_s > TARGET_S for fault in faults)
    return f"{what}: {both.sentence()}; {late} later than {TARGET_S:.0f} s"


if __name__ == "__main__":
    main()
