"""`watchstander reject ID`: say no to a plan, also to one under way."""

import argparse
import sys

import msgspec

from agent.api.words import plain
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "say no to a plan; one that is under way stops before its next step"
EPILOG = """\
ID is a plan's or an incident's; the beginning of it is enough while it names one. Where steps of it were carried out,
their undo is proposed as a plan of its own.
exit code 1: there is no such plan
exit code 5: the plan is over already
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the plan, or the incident that it is about")
    parser.add_argument("--note", default="", metavar="TEXT", help="your own words, kept in the audit")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """No."""
    answer = connect(args).post(f"/v1/plans/{args.id}/reject", {"note": args.note})
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        plan = answer["plan"]
        print(plain(f"{plan['id']}  {plan['state']}  {plan['reason']}"))
    return OK
