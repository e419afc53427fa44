"""`python -m testcluster`: build what the control plane needs (a second call does nothing), or show what is in one."""

import argparse
import os
import signal
import sys
from pathlib import Path

from collectors.errors import WatchError
from testcluster.build import build
from testcluster.parts import CORE, OPTIONAL, Part
from testcluster.show import admin_of, tables


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 could not be done (one line on standard error says why), 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m testcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build etcd, Kubernetes and KWOK from the Go module registry, once")
    building.add_argument(
        "--with", dest="names", default="", metavar="NAME,...", help="controllers too, or `all`: " + ", ".join(OPTIONAL)
    )
    commands.add_parser("show", help="nodes and pods of the test cluster that KUBECONFIG names")
    options = parser.parse_args(arguments)
    try:
        if options.command == "show":
            sys.stdout.write(tables(admin_of(Path(os.environ.get("KUBECONFIG", "")))) + "\n")
            return 0
        wanted = [*CORE, *_controllers(parser, options.names)]
        if not build(wanted, _say):
            _say(f"{len(wanted)} parts are there, nothing to build")
    except WatchError as error:
        sys.stderr.write(f"testcluster: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _controllers(parser: argparse.ArgumentParser, names: str) -> list[Part]:
    if names == "all":
        return list(OPTIONAL.values())
    chosen = [name for name in names.split(",") if name]
    for name in chosen:
        if name not in OPTIONAL:
            parser.error(f"--with {name}: no such controller; there are {', '.join(OPTIONAL)}")
    return [OPTIONAL[name] for name in chosen]


def _say(line: str) -> None:
    sys.stdout.write(f"testcluster: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # As Ctrl-C does, so that what we started ends with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
