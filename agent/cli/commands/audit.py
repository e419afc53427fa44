"""`watchstander audit`: the append-only log of what was decided and done, whether its chain holds, and its export."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.api.cloudevents import cloud_event
from agent.api.words import audit_line, plain, utc
from agent.cli.client import AgentClient, add_agent_arguments, connect
from agent.cli.exit_codes import OK, SAID_NO
from agent.cli.hidden import tell
from agent.cli.numbers import at_least_one
from agent.store.chain import FirstBroken
from collectors.errors import FixConfiguration, GiveUp
from policies.model import AuditEntry

HELP = "show the audit log, verify its hash chain, or export it"
EPILOG = """\
`audit verify --head HASH[:NUMBER]` also looks for a hash that was published outside (the agent's Lease, its log, its
webhook): a chain that was rewritten whole, or whose end was cut off, shows only there. `audit verify --file FILE`
verifies an export in JSON Lines, without an agent.
exit code 1: the chain is broken, or the published hash is not in it
"""
PAGE = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "do", nargs="?", choices=("list", "verify", "export"), default="list", help="what to do (default: list)"
    )
    parser.add_argument("--verify", action="store_true", help="the same as `audit verify`")
    parser.add_argument(
        "--head",
        type=published_head,
        default=("", None),
        metavar="HASH[:NUMBER]",
        help="verify: a hash that was published outside",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="verify: an export in JSON Lines instead of an agent")
    parser.add_argument("--format", choices=("jsonl", "cloudevents"), default="jsonl", help="export: one JSON a line")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="export: only entries after number N")
    parser.add_argument(
        "--limit", type=at_least_one, default=50, metavar="N", help="list: the newest N entries (default: 50)"
    )
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/audit and /v1/audit/verify give it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.verify or args.do == "verify":
        return _verify_file(args.file, args.head[0]) if args.file is not None else _verify(args)
    if args.do == "export":
        return _export(args)
    return _list(args)


def _verify(args: argparse.Namespace) -> int:
    head, sequence = args.head
    body = connect(args).raw("/v1/audit/verify", {"head": head or None, "sequence": sequence})
    found = msgspec.json.decode(body)
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK if found["holds"] else SAID_NO
    if found["broken_at"] is not None:
        print(f"THE CHAIN IS BROKEN at entry {found['broken_at']}: it or what stood before it was changed.")
    if found["head_problem"]:
        print(f"THE PUBLISHED HASH IS NOT IN THE CHAIN: {plain(found['head_problem'])}.")
    if found["holds"]:
        print(f"The chain holds. Head: {found['head'] or '(the log is empty)'}")
        if found["first"] > 1:
            print(f"Entries before number {found['first']} went behind a checkpoint.")
        if found["head_at"] is not None:
            since = found["sequence"] - found["head_at"]
            print(f"The published hash is that of entry {found['head_at']}; {since} came since.")
    return OK if found["holds"] else SAID_NO


def published_head(given: str) -> tuple[str, int | None]:
    """`head_of` for argparse."""
    try:
        return head_of(given)
    except GiveUp as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def head_of(given: str) -> tuple[str, int | None]:
    """Hash and number of `HASH` or `HASH:NUMBER`; GiveUp where it is neither."""
    head, _, number = given.strip().lower().partition(":")
    if head and (len(head) != 64 or not all(digit in "0123456789abcdef" for digit in head)):
        raise GiveUp("no hash: give the 64 hex digits that were published")
    if number and not (number.isascii() and number.isdigit() and 0 < len(number) < 19):
        raise GiveUp("the number behind the colon is not that of an entry")
    return head, int(number) if number else None


def _verify_file(file: Path, head: str) -> int:
    chain = FirstBroken()
    seen = False
    for entry in _read(file):
        chain.take(entry)
        seen = seen or entry.hash == head
    broken = chain.broken_at
    if broken is not None:
        print(f"THE CHAIN IS BROKEN at entry {broken}: it or what stood before it was changed.")
    if head and not seen:
        print("THE PUBLISHED HASH IS NOT IN THE FILE: it was rewritten, cut off, or exported before that entry.")
    if broken is None and (seen or not head):
        last = chain.last
        print(f"The chain holds. Head: {last.hash if last else '(the file is empty)'}")
        return OK
    return SAID_NO


def _read(file: Path) -> Iterator[AuditEntry]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield msgspec.json.decode(line, type=AuditEntry)
                except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                    raise GiveUp(f"{file}:{number}: no audit entry ({error}): give an export in JSON Lines") from None
    except OSError as error:
        raise FixConfiguration(f"{file}: cannot be read ({error.strerror}); name an export") from None


def _export(args: argparse.Namespace) -> int:
    for entry in _pages(connect(args), args.after):
        line = entry if args.format == "jsonl" else cloud_event(msgspec.convert(entry, AuditEntry))
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    return OK


def _pages(client: AgentClient, after: int) -> Iterator[dict[str, Any]]:
    """A page at a time: however long the log is, it never lies in memory."""
    hidden = 0
    while True:
        page = client.get("/v1/audit", {"after": after, "limit": PAGE, "order": "oldest"})
        hidden += page["hidden"]
        yield from page["entries"]
        if page["looked_to"] <= after:
            tell(hidden, "entries")
            return
        after = page["looked_to"]


def _list(args: argparse.Namespace) -> int:
    body = connect(args).raw("/v1/audit", {"limit": args.limit, "order": "newest"})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    page = msgspec.json.decode(body)
    entries = page["entries"]
    tell(page["hidden"], "entries")
    if not entries:
        print("No entry that you may read." if page["hidden"] else "The audit log is empty.")
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
