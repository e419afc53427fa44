"""`watchstander login`: a one-time link that opens the web page in a browser."""

import argparse
import sys

import msgspec

from agent.api.words import plain
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from collectors.errors import GiveUp

HELP = "print a one-time link to the web page"
EPILOG = "The link works once and only for a short while; whoever opens it has the rights of your token.\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--json", action="store_true", help='JSON: {"url": ...}')
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for one and print it."""
    client = connect(args)
    said = client.post("/v1/login-links")
    link = said.get("url") if isinstance(said, dict) else None
    if not isinstance(link, str) or not link:
        raise GiveUp(f"{client.address} gave no link; is it of another version?")
    if link.startswith("/"):  # as the agent cannot know through which port-forward it is reached
        link = client.address + link
    if args.json:
        sys.stdout.write(msgspec.json.encode({"url": link}).decode() + "\n")
    else:
        print(plain(link))
    return OK
