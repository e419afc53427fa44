"""`watchstander demo`: the whole watch on real recordings."""

import argparse
import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.exit_codes import OK

if TYPE_CHECKING:
    from agent.cli.client import AgentClient
    from agent.demo.truth import Told
    from collectors.recording.batches import BatchRecording
    from collectors.recording.folder import Recording

    Opened = tuple[Path, Recording | BatchRecording, list[dict[str, Any]] | None]

HELP = "play real recordings through an agent of its own and show what it finds"
EPILOG = """\
Starts an agent on the embedded store and, for each recording, a collector that plays it over HTTP; ends both. Without
--recording it plays the recordings h200-training and h200-ddp4 of the checkout. Exit code 0 once all was played."""
SHIPPED = ("h200-training", "h200-ddp4")
SETTLE_S = 15.0
MARKER = "made-by-demo"
"""A file in the folders that a demo may empty: an agent's own data look the same otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--recording", type=Path, metavar="DIR", action="append", help="or a bundle's file; may be repeated"
    )
    parser.add_argument("--speed", type=float, default=20.0, metavar="N", help="N times real time (default 20)")
    parser.add_argument("--data", type=Path, default=Path("demo-data"), metavar="DIR", help="emptied at the start")
    parser.add_argument("--json", action="store_true", help="the summary as JSON on standard output, nothing else")


def run(args: argparse.Namespace) -> int:
    """Play, tell, sum up."""
    from agent.demo.processes import running_agent
    from collectors.errors import FixConfiguration

    recordings = args.recording or [_shipped() / name for name in SHIPPED]
    if not 0 < args.speed <= 1000:
        raise FixConfiguration(f"--speed {args.speed:g}: give a number above 0, at most 1000")
    # All of them are looked at before anything is emptied or played.
    opened = [_open(path) for path in recordings]
    _empty(args.data)
    began = time.monotonic()
    summaries = []
    with running_agent(args.data) as client:
        for path, recording, truth in opened:
            summaries.append(_play_one(client, path, recording, truth, args))
    if args.json:
        sys.stdout.write(json.dumps(summaries, indent=1) + "\n")
        return OK
    print(f"\nDone in {time.monotonic() - began:.0f} s. To see the same in the browser:\n")
    print(f"  {command_to_show(Path(sys.argv[0]), args.data)}\n")
    print("and open the link that it prints.")
    return OK


def command_to_show(called: Path, data: Path) -> str:
    """What a shell takes to show the same in a browser, by the name under which this program was called."""
    shown = str(called) if called.name == "watchstander" else "watchstander"
    return shlex.join([shown, "agent", "--data", str(data)])


def _open(path: Path) -> "Opened":
    from agent.cli.main import complain
    from agent.demo.truth import read_phases
    from agent.replay import open_recording

    recording = open_recording(path)
    for problem in recording.problems:
        complain(problem)
    return path, recording, read_phases(path, complain)


def _play_one(
    client: "AgentClient",
    path: Path,
    recording: "Recording | BatchRecording",
    phases: "list[dict[str, Any]] | None",
    args: argparse.Namespace,
) -> dict[str, Any]:
    from agent.cli.tables import console
    from agent.demo.processes import play
    from agent.demo.story import Story

    cluster = recording.cluster
    screen = console(sys.stderr if args.json else None)
    styles = {"critical": "bold red", "warning": "yellow", "info": "cyan", "good": "green"}

    def say(line: str, style: str) -> None:
        if not args.json:
            screen.print(line, style=styles.get(style), markup=False, highlight=False, soft_wrap=True)

    length = (recording.end_ns - recording.start_ns) / 1e9
    say(f"\n{path.name}: {length:.0f} s of real telemetry and logs at {args.speed:g} times their speed\n", "info")
    story = Story(client, cluster, recording.start_ns, say)
    token, log = args.data / "token", args.data / "collector.log"
    with _bar(path.name, screen, hidden=args.json) as advance:
        for share in play(client, token, path, cluster, args.speed, log):
            advance(share)
            story.look()
    _settle(story)
    return _summary(story, recording, phases, say)


def _settle(story: Any) -> None:
    """The last batches are acknowledged before they are looked at: wait until nothing new comes for a second."""
    until, quiet = time.monotonic() + SETTLE_S, 0
    while time.monotonic() < until and quiet < 3:
        time.sleep(0.4)
        quiet = 0 if story.look() else quiet + 1


def _summary(story: Any, recording: Any, phases: Any, say: Any) -> dict[str, Any]:
    from agent.api.words import counted
    from agent.demo.lost import Interval, lost_gpu_seconds
    from agent.demo.truth import score
    from collectors.recording.folder import Recording

    details = [d for d in story.details.values() if d["incident"]["findings"]]
    findings = {f["id"]: f for d in details for f in d["findings"]}
    spans = [
        Interval(d["incident"]["kind"], f["since_ns"], f["cleared_ns"] or recording.end_ns)
        for d in details
        for f in d["findings"]
        if f["kind"] == d["incident"]["kind"]  # the root, and the same again
    ]
    lost = lost_gpu_seconds(recording, spans) if isinstance(recording, Recording) else {}
    seen = f"{counted(len(findings), 'finding')} in {counted(len(details), 'incident')}"
    say(f"\nSummary of {recording.path.name}: {seen}", "info")
    result: dict[str, Any] = {"recording": recording.path.name, "incidents": len(details), "findings": len(findings)}
    if phases is not None:
        scored = score(phases, [_told(f) for f in findings.values()])
        say(f"  against the truth: {scored.sentence()}", "good")
        for fault in scored.faults:
            said = f"named in {fault.delay_s:.1f} s" if fault.named else "found, not named" if fault.found else "MISSED"
            rank = "" if fault.guilty is None else ", guilty rank right" if fault.guilty else ", guilty rank NOT named"
            say(f"    {fault.label:22s} {said}{rank}", "" if fault.named else "warning")
        for told in scored.false:
            say(f"    FALSE: {told.kind}", "critical")
        result["truth"] = {
            "faults": len(scored.faults),
            "found": sum(f.found for f in scored.faults),
            "named": sum(f.named for f in scored.faults),
            "false": len(scored.false),
            "worst_delay_s": max((f.delay_s for f in scored.faults if f.delay_s is not None), default=None),
        }
    else:
        say("  this recording has no truth.json to hold the findings against", "")
    if lost:
        total = sum(lost.values())
        say(f"  GPU-seconds lost: {total:.0f}, by cause:", "")
        for kind, seconds in sorted(lost.items(), key=lambda item: -item[1]):
            say(f"    {kind:22s} {seconds:6.0f}", "")
    result["gpu_seconds_lost"] = {str(kind): round(seconds, 1) for kind, seconds in lost.items()}
    return result


def _told(finding: dict[str, Any]) -> "Told":
    from agent.demo.truth import Told
    from detectors.model import FindingKind

    return Told(FindingKind(finding["kind"]), finding["since_ns"] / 1e9, finding["opened_ns"] / 1e9, finding["names"])


def _bar(name: str, screen: Any, *, hidden: bool) -> Any:
    from contextlib import contextmanager

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def bar() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=screen, disable=hidden, transient=True) as progress:
            task = progress.add_task(name, total=1.0)
            yield lambda share: progress.update(task, completed=share)

    return bar()


def _shipped() -> Path:
    from collectors.errors import FixConfiguration

    folder = Path(__file__).resolve().parents[3] / "recordings"
    if not folder.is_dir():
        raise FixConfiguration("the shipped recordings lie in a checkout only: name one with --recording DIR")
    return folder


def _empty(data: Path) -> None:
    """Make the folder anew; only a folder that an earlier demo made, or an empty one, is emptied."""
    from agent.server.data_folder import DataFolder
    from collectors.errors import FixConfiguration

    try:
        if data.exists():
            if not data.is_dir() or (any(data.iterdir()) and not (data / MARKER).exists()):
                raise FixConfiguration(
                    f"--data {data}: not a folder of an earlier demo; name another one, or remove it"
                )
            # An agent that shows the last demo still works in it: this says so.
            DataFolder(data).close()
            shutil.rmtree(data)
        data.mkdir(parents=True, mode=0o700)
        (data / MARKER).write_text("`watchstander demo` made this folder and empties it at its next start.\n")
    except OSError as error:
        raise FixConfiguration(f"--data {data}: {error.strerror}; name another folder") from None
