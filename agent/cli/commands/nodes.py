"""`watchstander nodes`: the nodes that collectors have spoken for."""

import argparse
import sys
import time
from typing import Any

import msgspec

from agent.api.words import ago, plain, utc
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from agent.cli.hidden import tell
from agent.cli.numbers import at_least_one

HELP = "list nodes, their GPUs, when each was last heard of, and where sources disagree about them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="at most N, those longest unheard of first")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/nodes gives it (all of them)")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    body = connect(args).raw("/v1/nodes", {"cluster": args.cluster})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    told = msgspec.json.decode(body)
    tell(told["hidden"], "nodes")
    tell(told["contradictions_hidden"], "disagreements of sources")
    nodes = sorted(told["nodes"], key=lambda node: (node["last_seen_ns"], node["name"]))
    if not nodes:
        print("No node that you may read." if told["hidden"] else "No collector has sent anything yet.")
        return OK
    from agent.cli.tables import print_table

    now_ns = time.time_ns()
    rows = [
        [
            node["name"],
            node["cluster"],
            str(node["gpus"]),
            node["driver"],
            ago(node["last_seen_ns"], now_ns),
            utc(node["first_seen_ns"]),
            node["origin"],
        ]
        for node in nodes[: args.limit]
    ]
    print_table(["NODE", "CLUSTER", "GPUS", "DRIVER", "LAST HEARD", "FIRST HEARD", "ORIGIN"], rows)
    against, more = told["contradictions"], told["contradictions_total"] - len(told["contradictions"])
    if against:
        print("\nWhere sources disagree (the former is believed):")
        for one in against:
            print(f"  {contradiction_line(one)}, since {utc(one['since_ns'])}")
        if more:
            print(f"  and {more:,} more")
    return OK


def contradiction_line(one: dict[str, Any]) -> str:
    """`node gpu-1: rack is 'r1' by kubernetes, 'r2' by csv`, on one line whatever the values hold."""
    what = f"{one['subject']['kind']} {plain(one['name'])}"
    said = f"{plain(one['value'])!r} by {one['believed']}, {plain(one['other_value'])!r} by {one['other']}"
    return f"{what}: {one['key']} is {said}"
