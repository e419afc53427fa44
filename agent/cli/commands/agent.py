"""`watchstander agent`: take in what collectors send, watch, keep, serve."""

import argparse
from pathlib import Path

from agent.cli.client import data_directory
from agent.cli.exit_codes import OK

HELP = "run the agent: take in telemetry, find faults, serve API and web page"
EPILOG = (
    "Prints its address and a login link that works once. The command line's token lies in DIR/token, mode 0600.\n"
    "Ends in order on SIGTERM. docs/agent.md has the settings.\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--data", metavar="DIR", type=Path, help="its state; default: where other commands look for it")
    parser.add_argument("--settings", metavar="FILE", type=Path, help="YAML, see docs/agent.md")
    parser.add_argument("--listen", metavar="HOST:PORT", help="instead of listen.address; port 0 takes a free one")
    parser.add_argument("--port-file", metavar="FILE", type=Path, help="write the port there once it listens")
    parser.add_argument("--store", metavar="URL", help="instead of store.url: sqlite:///path or postgresql://...")
    parser.add_argument(
        "--behind-tls-proxy", action="store_true", help="a proxy speaks TLS: plain HTTP is taken on any address"
    )
    parser.add_argument(
        "--treat-test-as-live",
        action="store_true",
        help="test cluster on loopback only: injected faults (origin test) are taken for live, acting included",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    import logging
    import sys

    import msgspec

    from agent.server.serve import run as serve
    from agent.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # It names each of its parts at a first start: nothing that anybody could act on.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # The detectors' own Python would otherwise hold up answers by 5 ms a turn; measured p99 37 ms then, 9 ms so.
    sys.setswitchinterval(0.0005)
    settings = load_settings(args.settings)
    listen, store = settings.listen, settings.store
    if args.listen:
        listen = msgspec.structs.replace(listen, address=args.listen)
    if args.behind_tls_proxy:
        listen = msgspec.structs.replace(listen, behind_tls_proxy=True)
    if args.store:
        store = msgspec.structs.replace(store, url=args.store)

    watch = settings.watch
    if args.treat_test_as_live:
        watch = msgspec.structs.replace(watch, test_as_live=True)

    serve(
        msgspec.structs.replace(settings, listen=listen, store=store, watch=watch),
        args.data or data_directory(),
        port_file=args.port_file,
        announce=lambda line: print(line, flush=True),
    )
    return OK
