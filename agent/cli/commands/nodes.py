"""`watchstander nodes`: the nodes that collectors have spoken for."""

import argparse
import sys
import time

import msgspec

from agent.api.words import ago, utc
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "list nodes, their GPUs, and when each was last heard of"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N, those longest unheard of first")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/nodes gives it (all of them)")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    body = connect(args).raw("/v1/nodes", {"cluster": args.cluster})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    nodes = sorted(msgspec.json.decode(body)["nodes"], key=lambda node: (node["last_seen_ns"], node["name"]))
    if not nodes:
        print("No collector has sent anything yet.")
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
    return OK
