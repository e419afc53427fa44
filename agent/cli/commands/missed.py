"""`watchstander missed`: why nothing was said about a subject at a moment."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.api.words import duration, figure
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK, USAGE, NotFound
from agent.cli.main import complain
from agent.cli.moments import moment_ns, some_moment

HELP = "show each detector's look at a subject: ready? data? how far from its threshold?"
EPILOG = """\
examples:
  watchstander missed --subject node-7/gpu3                                  what the running watch sees now
  watchstander missed --subject gpu1 --at 1795317140 --recording DIR         what it saw at that moment of a recording
The running watch knows only now: for a moment that is past, play a recording or a bundle.
verdicts: no data, not ready, clear, beyond (its threshold), open (a finding is), waits (for an event)
exit code 1: nothing is called so
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--subject", required=True, metavar="S", help="cluster/kind/id, or a name: node-7, node-7/gpu3, gpu3, a job"
    )
    parser.add_argument(
        "--at", type=some_moment, metavar="T", help="a moment of the recording: Unix seconds or 2026-11-22T03:12:10Z"
    )
    parser.add_argument(
        "--recording", type=Path, metavar="DIR", help="play this folder (or bundle) up to T instead of asking"
    )
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--all", action="store_true", help="also what is clear and what waits for events")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/look gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the looks."""
    if (args.at is None) != (args.recording is None):
        complain(
            "--at and --recording go together: the running watch knows only now (see `watchstander missed --help`)"
        )
        return USAGE
    if args.recording is not None:
        answer = _of_recording(args)
    else:
        answer = connect(args).get("/v1/look", {"subject": args.subject, "cluster": args.cluster})
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        print_looks(answer["looks"], everything=args.all)
    return OK


def _of_recording(args: argparse.Namespace) -> dict[str, Any]:
    from agent.api.routes.look import Look, LookShape
    from agent.incidents.look import NothingCalled, look_back

    at_ns = moment_ns(args.at, time.time_ns())
    try:
        _, rows = look_back(args.recording, args.subject, at_ns)
    except NothingCalled as error:
        raise NotFound(str(error)) from None
    told: dict[str, Any] = msgspec.to_builtins(Look(at_ns, [LookShape.of(row) for row in rows]))
    return told


def print_looks(looks: list[dict[str, Any]], *, everything: bool) -> None:
    """The table: what is open or beyond first, then what is not ready or has no data."""
    from agent.cli.tables import print_table

    order = ["open", "beyond", "not ready", "no data", "clear", "waits"]
    shown = [one for one in looks if everything or one["verdict"] not in ("clear", "waits")]
    rows = [look_row(one) for one in sorted(shown, key=lambda one: order.index(one["verdict"]))]
    if rows:
        print_table(["VERDICT", "DETECTOR", "QUANTITY", "VALUE", "THRESHOLD", "AGE", "RULE"], rows)
    hidden = len(looks) - len(shown)
    if hidden:
        print(f"{hidden} more are clear or wait for events (--all shows them)")


def look_row(one: dict[str, Any]) -> list[str]:
    """One line of the table."""
    kinds = ", ".join(one["kinds"])
    return [
        one["verdict"],
        f"{one['detector']} ({kinds})" if kinds else one["detector"],
        one["quantity"],
        "" if one["value"] is None else figure(one["value"], one["unit"]),
        "" if one["threshold"] is None else figure(one["threshold"], one["unit"]),
        "" if one["age_seconds"] is None else duration(one["age_seconds"]),
        one["says"],
    ]
