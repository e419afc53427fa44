"""Numbers on the command line: what argparse calls on an option's word, with an error that says what to give."""

import argparse
import math


def not_negative(text: str) -> float:
    """A finite number of 0 or more, below a million million."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of 0 or more")
    return value


def at_least_one(text: str) -> int:
    """A whole number of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of 1 or more")
    return value
