"""`watchstander resolve ID`: say that an incident is over, whatever its findings say."""

import argparse

from agent.cli.words import EPILOG, add_word_arguments, say

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say that an incident is over, whatever its findings say"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_word_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """It is over."""
    return say(args, "resolve", {"note": args.note})
