"""`watchstander approve ID`: see what would be done, and say yes to exactly that."""

import argparse
import sys

import msgspec

from agent.api.words import plain, utc
from agent.cli.card import print_card
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK, SAID_NO
from agent.cli.main import complain

HELP = "show what a plan would do, ask, and approve exactly that"
EPILOG = """\
ID is a plan's or an incident's; the beginning of it is enough while it names one. What is sent is the digest of the
plan that was shown: where the plan has become another meanwhile, the agent refuses and says what has changed.
exit code 1: there is no such plan, or you did not say yes
exit code 3: you may not; docs/approval.md says who may
exit code 5: the plan is another, or no longer waits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the plan, or the incident that it is about")
    parser.add_argument("--yes", action="store_true", help="do not ask; show it all the same")
    parser.add_argument(
        "--digest", metavar="HEX", default="", help="approve only the plan of this digest, as it was shown before"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="your own words, kept in the audit")
    parser.add_argument("--json", action="store_true", help="the answer as JSON; asks nothing, so it needs --yes")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show, ask, send."""
    client = connect(args)
    card = client.get(f"/v1/plans/{args.id}")
    plan = card["plan"]
    if not args.json:
        print_card(card)
        print()
    if not args.yes and not _asked(plan["id"], quiet=args.json):
        complain("not approved")
        return SAID_NO
    answer = client.post(
        f"/v1/plans/{plan['id']}/approve", {"digest": args.digest or plan["digest"], "note": args.note}
    )
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        return OK
    approval = answer["plan"]["approval"]
    print(plain(f"{plan['id']} approved by {approval['who']}; it holds until {utc(approval['expires_ns'])}"))
    return OK


def _asked(plan_id: str, *, quiet: bool) -> bool:
    """Whether the person says yes. Where nobody can be asked, that is a no."""
    if quiet or not sys.stdin.isatty():
        complain("nobody can be asked here: say --yes")
        return False
    return input(f"Approve {plan_id}? [y/N] ").strip().lower() in ("y", "yes")
