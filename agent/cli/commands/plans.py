"""`watchstander plans`: what is to be done to the cluster, and how far it is."""

import argparse
import sys
import time

import msgspec

from agent.api.words import ago
from agent.cli.card import blast_words
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from agent.cli.hidden import tell
from agent.cli.numbers import at_least_one
from policies.journal import OVER, PlanState

HELP = "list plans: what waits for a person, what is under way, what is done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--all", action="store_true", help="those that are over too")
    parser.add_argument("--state", choices=[state.value for state in PlanState], help="only those in this state")
    parser.add_argument("--incident", metavar="ID", help="only those about this incident (its whole id)")
    parser.add_argument("--limit", type=at_least_one, default=50, metavar="N", help="the newest N (default: 50)")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/plans gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print them, and whether anything can act now."""
    client = connect(args)
    states = [args.state] if args.state else [s.value for s in PlanState if s not in OVER] if not args.all else None
    query = {"state": ",".join(states) if states else None, "incident": args.incident, "limit": args.limit}
    body = client.raw("/v1/plans", query)
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    told = msgspec.json.decode(body)
    plans = told["plans"]
    tell(told["hidden"], "plans")
    now_ns = time.time_ns()
    state = client.get("/v1/actions")
    if state["paused"]:
        print_line(
            f"ALL ACTIONS ARE PAUSED by {state['paused_by']}, {ago(state['paused_ns'], now_ns)}: {state['reason']}"
        )
    elif state["why_not"]:
        print_line(f"This agent does not act: {state['why_not']}")
    for problem in state["problems"]:
        print_line(problem)
    if not plans:
        print("No plans." if args.all else "No plan waits or is under way; --all shows those that are over.")
        return OK
    from agent.cli.tables import print_table

    rows = [
        [
            plan["id"],
            plan["state"],
            ago(plan["made_ns"], now_ns),
            plan["incident"],
            "; ".join(step["words"] for step in plan["steps"]),
            plan["reason"] or blast_words(plan["blast"]),
        ]
        for plan in plans
    ]
    print_table(["PLAN", "STATE", "MADE", "INCIDENT", "STEPS", "HOW IT STANDS"], rows)
    return OK


def print_line(text: str) -> None:
    """Made plain: reasons are people's own words."""
    from agent.api.words import plain

    print(plain(text))
