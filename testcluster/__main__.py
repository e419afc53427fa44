"""`python -m testcluster build`: make what the control plane needs; a second call does nothing."""

import argparse
import sys

from collectors.errors import WatchError
from testcluster.build import build
from testcluster.parts import CORE, OPTIONAL, Part


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 could not be done (one line on standard error says why)."""
    parser = argparse.ArgumentParser(prog="python -m testcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build etcd, Kubernetes and KWOK from the Go module registry")
    building.add_argument(
        "--with", dest="names", default="", metavar="NAME,...", help="controllers too, or `all`: " + ", ".join(OPTIONAL)
    )
    options = parser.parse_args(arguments)
    try:
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
            parser.error(f"--with {name}: no such controller; there are {', '.join(OPTIONAL) or 'none'}")
    return [OPTIONAL[name] for name in chosen]


def _say(line: str) -> None:
    sys.stdout.write(f"testcluster: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
