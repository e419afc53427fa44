"""`watchstander acknowledge ID`: say that you have an incident in hand; ends a snooze."""

import argparse

from agent.cli.words import EPILOG, add_word_arguments, say

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "say that you have an incident in hand; ends a snooze"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_word_arguments(parser, note=False)


def run(args: argparse.Namespace) -> int:
    """It is in hand."""
    return say(args, "acknowledge", {})
