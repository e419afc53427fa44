"""`watchstander feedback ID true|false|duplicate`: whether an incident was right. `watchstander quality` counts it."""

import argparse
import sys

import msgspec

from agent.api.words import plain
from agent.cli.client import connect
from agent.cli.exit_codes import OK
from agent.cli.words import EPILOG, add_word_arguments

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say whether an incident was right; `quality` counts it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_word_arguments(parser)
    parser.add_argument(
        "judgement",
        choices=["true", "false", "duplicate"],
        help="true: something was wrong there; false: nothing, or something else; duplicate: told already",
    )


def run(args: argparse.Namespace) -> int:
    """Judge it."""
    body = {"judgement": args.judgement, "note": args.note}
    answer = connect(args).post(f"/v1/incidents/{args.id}/feedback", body)
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        kept = answer["feedback"]
        print(plain(f"{kept['incident']}  judged {kept['judgement']} by {kept['who']}"))
    return OK
