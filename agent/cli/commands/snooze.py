"""`watchstander snooze ID`: nothing more about an incident until a time to come."""

import argparse
import time

from agent.cli.moments import moment_ns, some_moment
from agent.cli.words import EPILOG, add_word_arguments, say

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say nothing more about an incident until a time to come; then it is open again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--until",
        required=True,
        type=some_moment,
        metavar="WHEN",
        help="4h, 2d (from now), 2026-11-22T08:00:00Z or Unix seconds; 90 days at most",
    )
    add_word_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Until then."""
    until_ns = moment_ns(args.until, time.time_ns(), ahead=True)
    return say(args, "snooze", {"until_ns": until_ns, "note": args.note})
