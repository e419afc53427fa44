"""`watchstander merge ID INTO`: two incidents have one cause."""

import argparse

from agent.cli.words import EPILOG, add_word_arguments, say

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say that two incidents have one cause: the findings of ID move to INTO, and ID is resolved"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_word_arguments(parser)
    parser.add_argument("into", metavar="INTO", help="the incident that takes the findings; it keeps its root")


def run(args: argparse.Namespace) -> int:
    """Together."""
    return say(args, "merge", {"into": args.into, "note": args.note})
