"""`watchstander split ID FINDING ...`: some findings have another cause."""

import argparse

from agent.cli.words import EPILOG, add_word_arguments, say

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say that some findings of an incident have another cause: they become an incident of their own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_word_arguments(parser)
    parser.add_argument(
        "findings",
        nargs="+",
        metavar="FINDING",
        help="ids of findings, as `watchstander incident ID` names them, or beginnings of them; not all of them",
    )


def run(args: argparse.Namespace) -> int:
    """Apart."""
    return say(args, "split", {"findings": args.findings, "note": args.note})
