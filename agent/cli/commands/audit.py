"""`watchstander audit`: the append-only log of what was decided and done, and whether its chain holds."""

import argparse
import sys

import msgspec

from agent.api.words import audit_line, utc
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK, SAID_NO

HELP = "show the audit log, or check its hash chain with --verify"
EPILOG = "exit code 1: --verify found the chain broken\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--verify", action="store_true", help="check the chain from its first entry to its last")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N entries (default: 50)")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/audit and /v1/audit/verify give it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    client = connect(args)
    if args.verify:
        body = client.raw("/v1/audit/verify")
        verified = msgspec.json.decode(body)
        if args.json:
            sys.stdout.write(body.decode() + "\n")
        elif verified["holds"]:
            print(f"The chain holds. Head: {verified['head'] or '(the log is empty)'}")
        else:
            print(f"THE CHAIN IS BROKEN at entry {verified['broken_at']}: it or what stood before it was changed.")
        return OK if verified["holds"] else SAID_NO
    body = client.raw("/v1/audit", {"limit": args.limit, "order": "newest"})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    entries = msgspec.json.decode(body)["entries"]
    if not entries:
        print("The audit log is empty.")
        return OK
    from agent.cli.tables import print_table

    rows = [
        [
            str(entry["sequence"]),
            utc(entry["time_ns"]),
            entry["actor"],
            entry["what"],
            entry["about"],
            audit_line(entry["detail"]),
        ]
        for entry in reversed(entries)
    ]
    print_table(["NO", "TIME", "WHO", "WHAT", "ABOUT", "WHAT WAS SAID"], rows)
    return OK
