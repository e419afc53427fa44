"""`watchstander pause`: nothing acts any more, until `watchstander resume`."""

import argparse

from agent.api.words import plain
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "stop all actions on the cluster until `resume`; watching and deciding go on"
EPILOG = (
    "Plans under way stay where they are, and stop for good after 15 minutes. Guard G20 says so in every decision.\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="shown to everybody, kept in the audit")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """From now on."""
    state = connect(args).post("/v1/actions/pause", {"reason": args.reason})
    print(plain(f"All actions are paused by {state['paused_by']}: {state['reason']}"))
    return OK
