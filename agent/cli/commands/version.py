"""`watchstander version`: what is installed here."""

import argparse
import platform
import sys
from importlib.metadata import version as installed

import msgspec

from agent.cli.exit_codes import OK
from collectors.model import WIRE_VERSION

HELP = "print the version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/version gives it")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    own, python = installed("watchstander"), platform.python_version()
    if args.json:
        shape = {"version": own, "wire_version": WIRE_VERSION, "python": python}
        sys.stdout.write(msgspec.json.encode(shape).decode() + "\n")
    else:
        print(f"watchstander {own} (wire version {WIRE_VERSION}, Python {python})")
    return OK
