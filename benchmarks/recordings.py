"""How many faults of the real recordings are found, named and laid at the right rank's door, and what is said falsely.

    python -m benchmarks.recordings                                     the three recordings with faults
    python -m benchmarks.recordings --variations 10                     and ten variations of each
    python -m benchmarks.recordings --overlay-tool TOOL --overlays 10   and hardware faults laid over them
    python -m benchmarks.recordings --variations 10 --seeds-from 11     ten others

Variations are those of `benchmarks.variations`; an overlay tool is any script called as TOOL RECORDING OUT --seed N.
Each is played through the collector's own sampling plan and the whole watch, and its findings are held against its
truth.json (`agent.demo.truth`): a fault counts as found within 20 s of its end; the delay is counted from its start;
stuck is what is still open 45 s after its fault. Target: every fault found and named, at most 15 s after its start,
the guilty rank too; nothing said in a benign phase, nothing stuck. Under the table: every one that was not so.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from agent.demo.truth import Fault, Score, Told, read_phases, score
from agent.replay import replay
from benchmarks.replay_speed import NAMES, RECORDINGS
from benchmarks.variations import vary
from collectors.recording.folder import Recording

TARGET_S = 15.0
HEAD = "| what | faults | found | named | false | stuck | worst delay | later than 15 s | guilty rank right |"


@dataclass(frozen=True, slots=True)
class Played:
    """One recording, as it is or as a tool has changed it, and how it came out."""

    name: str
    start: float
    """Unix s."""
    score: Score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="*", default=[RECORDINGS / name for name in NAMES])
    parser.add_argument("--variations", type=int, default=0, metavar="N", help="so many seeds of each recording")
    parser.add_argument("--overlay-tool", type=Path)
    parser.add_argument("--overlays", type=int, default=10, metavar="N", help="so many seeds of each recording")
    parser.add_argument("--seeds-from", type=int, default=1, metavar="S", help="the first seed; default 1")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="so many at once")
    args = parser.parse_args()
    overlays = args.overlays if args.overlay_tool else 0
    for sentence in lines(
        args.recordings, args.variations, args.overlay_tool, overlays, args.seeds_from, args.processes
    ):
        print(sentence, flush=True)


def lines(
    recordings: Iterable[Path] = tuple(RECORDINGS / name for name in NAMES),
    variations: int = 0,
    tool: Path | None = None,
    overlays: int = 0,
    first: int = 1,
    processes: int = 1,
) -> Iterator[str]:
    """A table, a row for each recording and one for all that were made of it; then what did not come out right."""
    yield HEAD
    yield f"| --- |{' --- |' * (HEAD.count('|') - 2)}"
    wrong: list[str] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for recording in recordings:
            jobs = [(recording.name, [pool.submit(judged, recording)])]
            for what, count in (("variations", variations), ("overlays", overlays)):
                if count:
                    made_by = tool if what == "overlays" else None
                    seeds = range(first, first + count)
                    name = f"{recording.name}, {count} {what}"
                    jobs.append((name, [pool.submit(judged, recording, seed, made_by) for seed in seeds]))
            for name, asked in jobs:
                played = [one.result() for one in asked]
                wrong += [line for one in played for line in said_wrong(one)]
                yield row(name, played)
    yield from ("", *wrong)


def judged(recording: Path, seed: int | None = None, tool: Path | None = None) -> Played:
    """Play it, or what a tool makes of it (no tool: a variation), and hold what is told against its truth."""
    if seed is None:
        return play(recording, recording.name)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / recording.name
        if tool is None:
            vary(recording, out, seed)
        else:
            command = [sys.executable, str(tool), str(recording), str(out), "--seed", str(seed)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return play(out, f"{recording.name} {'variation' if tool is None else 'overlay'} {seed}")


def play(folder: Path, name: str) -> Played:
    """One folder through the whole watch."""
    told: dict[str, Told] = {}
    recording = Recording(folder)
    for _, changes in replay(recording):
        for f in changes.findings:
            cleared = None if f.cleared_ns is None else f.cleared_ns / 1e9
            told[f.id] = Told(f.kind, f.since_ns / 1e9, f.opened_ns / 1e9, f.names, cleared)
    return Played(name, recording.start_ns / 1e9, score(read_phases(folder) or [], list(told.values())))


def row(name: str, played: Iterable[Played]) -> str:
    """One line of the table about many."""
    scores = [one.score for one in played]
    faults = [fault for one in scores for fault in one.faults]
    asked = [fault for fault in faults if fault.guilty is not None]
    delays = [fault.delay_s for fault in faults if fault.delay_s is not None]
    cells = (
        len(faults),
        sum(fault.found for fault in faults),
        sum(fault.named for fault in faults),
        sum(len(one.false) for one in scores),
        sum(len(one.stuck) for one in scores),
        f"{max(delays):.1f} s" if delays else "",
        sum(delay > TARGET_S for delay in delays),
        f"{sum(bool(fault.guilty) for fault in asked)} of {len(asked)}",
    )
    return f"| {name} | {' | '.join(str(cell) for cell in cells)} |"


def said_wrong(one: Played) -> Iterator[str]:
    """Every fault that was missed, not named, late or laid at another's door; what is false or stuck."""
    for fault in one.score.faults:
        faults = list(_faults(fault))
        if faults:
            yield f"{one.name}: {fault.start - one.start:.1f} s {fault.label}: {'; '.join(faults)}"
    for what, many in (("FALSE", one.score.false), ("STUCK", one.score.stuck)):
        for told in many:
            yield f"{one.name}: {told.opened - one.start:.1f} s {what} {told.kind.value} {told.names}"


def _faults(fault: Fault) -> Iterator[str]:
    if not fault.found:
        yield "missed"
        return
    if not fault.named:
        yield "found, not named"
    if fault.delay_s is not None and fault.delay_s > TARGET_S:
        yield f"after {fault.delay_s:.1f} s"
    if fault.guilty is False:
        yield "guilty rank wrong or not named"


if __name__ == "__main__":
    main()
