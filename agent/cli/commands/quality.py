"""`watchstander quality`: how good the watch is by the word of people."""

import argparse
import sys
import time
from typing import Any

import msgspec

from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from agent.cli.moments import moment_ns, some_moment

HELP = "print how often people found incidents right, by kind and by policy rule"
EPILOG = """\
precision: true / (true + false); the range holds it with 95 % confidence (Wilson), if the incidents that people judged
are like those that nobody judged. docs/quality.md explains.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--since",
        type=some_moment,
        default="30d",
        metavar="WHEN",
        help="incidents opened since: 30d, 12h, a date (default: 30d)",
    )
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/quality gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    since_ns = max(0, moment_ns(args.since, time.time_ns()))
    body = connect(args).raw("/v1/quality", {"since": since_ns, "cluster": args.cluster})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    answer: dict[str, Any] = msgspec.json.decode(body)
    if not answer["all"]["incidents"]:
        print("No live incidents in this time: nothing to judge.")
        return OK
    from agent.cli.tables import print_table

    columns = ["", "INCIDENTS", "TRUE", "FALSE", "DUPLICATE", "PRECISION", "95 % RANGE", "UNJUDGED"]
    rows = [quality_row(f"kind {one['name']}", one) for one in answer["kinds"]]
    rows += [quality_row(f"rule {one['name']}" if one["name"] else "no rule", one) for one in answer["rules"]]
    print_table(columns, [*rows, quality_row("all", answer["all"])])
    return OK


def quality_row(name: str, one: dict[str, Any]) -> list[str]:
    """One line of the table."""
    known = one["precision"] is not None
    return [
        name,
        f"{one['incidents']:,}",
        f"{one['true']:,}",
        f"{one['false']:,}",
        f"{one['duplicate']:,}",
        f"{one['precision']:.0%}" if known else "nobody judged",
        f"{one['low']:.0%} to {one['high']:.0%}" if known else "",
        f"{one['unjudged_share']:.0%}",
    ]
