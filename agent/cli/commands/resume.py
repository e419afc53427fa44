"""`watchstander resume`: actions go on."""

import argparse

from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "let actions on the cluster go on after `pause`"
EPILOG = "exit code 5: nothing was paused\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--note", default="", metavar="TEXT", help="your own words, kept in the audit")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """From now on."""
    connect(args).post("/v1/actions/resume", {"note": args.note})
    print("Actions go on.")
    return OK
