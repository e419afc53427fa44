"""`watchstander plan ID`: one plan as a person is asked about it."""

import argparse
import sys

import msgspec

from agent.cli.card import print_card
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "show one plan: why, whom it touches, steps and how far they are, guards, evidence, undo"
EPILOG = """\
ID is a plan's or an incident's; the beginning of it is enough while it names one.
exit code 1: there is no such plan
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the plan, or the incident that it is about")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/plans/{id} gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    body = connect(args).raw(f"/v1/plans/{args.id}")
    if args.json:
        sys.stdout.write(body.decode() + "\n")
    else:
        print_card(msgspec.json.decode(body))
    return OK
