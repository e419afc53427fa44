"""`watchstander collect`: the collector of one node. Loads nothing that is heavy on a node."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.exit_codes import INTERRUPTED, OK, SAID_NO
from agent.cli.numbers import not_negative

if TYPE_CHECKING:
    from collectors.settings import Settings

HELP = "collect on this node and send to the agent; or play a recording to it"
EPILOG = """exit codes:
  0    stopped in order (SIGTERM, SIGINT), or the recording has arrived whole, or --check found all well
  1    --check: something is not visible
  2    the command line is wrong
  3    a setting, file or credential must be mended
  4    --recording: played, but some batches have not arrived; with --spool, run it again
  5    --recording: the agent refused batches for good
  130  --recording: stopped before its end; with --spool, the next run goes on from there

docs/collector.md has all settings.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--settings", metavar="FILE", type=Path, help="YAML, see docs/collector.md; options win")
    parser.add_argument("--agent", metavar="URL", help="instead of agent.url")
    parser.add_argument("--token-file", metavar="FILE", help="instead of agent.token_file")
    parser.add_argument("--ca-file", metavar="FILE", help="instead of agent.ca_file")
    parser.add_argument("--allow-plain-http", action="store_true", help="agent.allow_plain_http: true")
    parser.add_argument("--cluster", metavar="NAME", help="instead of cluster; of a recording: instead of its own")
    parser.add_argument("--node-name", metavar="NAME", help="instead of node.name")
    parser.add_argument("--node-id", metavar="ID", help="instead of node.id")
    parser.add_argument("--spool", metavar="DIR", help="instead of spool.directory; default of --recording: temporary")
    parser.add_argument(
        "--log", metavar="PATTERN=JOB", action="append", default=[], help="one more training log, may be repeated"
    )
    parser.add_argument("--kmsg", metavar="DEVICE", help="instead of kmsg")
    parser.add_argument("--no-kmsg", action="store_true", help="kmsg: null")
    parser.add_argument("--no-nvml", action="store_true", help="nvml: false")
    parser.add_argument("--dcgm-exporter", metavar="URL", help="instead of dcgm_exporter")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--check", action="store_true", help="say what this node can and cannot see, and end")
    parser.add_argument("--json", action="store_true", help="--check: as JSON")
    parser.add_argument("--recording", metavar="DIR", type=Path, help="play a recording, or a bundle's file")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=not_negative,
        default=1.0,
        help="of --recording: N times real time; 0: as fast as it goes",
    )
    parser.add_argument(
        "--progress-json", action="store_true", help='of --recording: {"played_s", "total_s", ...} a line, each second'
    )


def run(args: argparse.Namespace) -> int:
    """Collect until SIGTERM, play a recording, or check."""
    import logging

    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    settings = _settings(args)
    if args.check:
        return _check(settings, as_json=args.json)

    from collectors.run import Stop, run_live
    from collectors.run_recording import Progress, run_recording
    from collectors.struct_types import learn_structs

    learn_structs()
    stop = Stop().listen()
    if args.recording is None:
        run_live(settings, stop)
        return OK

    def tell(progress: Progress) -> None:
        if args.progress_json:
            print(progress.line(), flush=True)

    ended = run_recording(
        args.recording,
        settings,
        speed=args.speed,
        stop=stop,
        cluster=args.cluster,
        spool_directory=Path(args.spool) if args.spool else None,
        tell=tell,
    )
    return OK if ended else INTERRUPTED


def _check(settings: "Settings", *, as_json: bool) -> int:
    from collectors import check

    lines = []
    for line in check.check_node(settings):
        lines.append(line)
        if not as_json:
            print(line.text(), flush=True)
    if as_json:
        print(check.as_json(lines))
    return OK if check.passed(lines) else SAID_NO


def _settings(args: argparse.Namespace) -> "Settings":
    from collectors.settings import with_options

    return with_options(
        args.settings,
        {
            "cluster": args.cluster,
            "agent.url": args.agent,
            "agent.token_file": args.token_file,
            "agent.ca_file": args.ca_file,
            "agent.allow_plain_http": True if args.allow_plain_http else None,
            "node.name": args.node_name,
            "node.id": args.node_id,
            "spool.directory": args.spool,
            "kmsg": args.kmsg,
            "nvml": False if args.no_nvml else None,
            "dcgm_exporter": args.dcgm_exporter,
        },
        logs=args.log,
        no_kmsg=args.no_kmsg,
    )
