"""`watchstander incidents`: what is wrong now, one line each."""

import argparse
import sys
import time
from typing import Any

import msgspec

from agent.api.words import ago, duration, plain, utc, where
from agent.cli.client import AgentClient, add_agent_arguments, connect
from agent.cli.exit_codes import OK, SAID_NO
from agent.cli.hidden import tell
from agent.cli.numbers import at_least_one
from collectors.model import Subject, SubjectKind

HELP = "list incidents: what is wrong, where, since when"
EPILOG = """\
examples:
  watchstander incidents                     what is not resolved
  watchstander incidents --all --limit 20    the newest twenty, resolved ones too
  watchstander incidents --json              for programs: {"incidents": [...], "next_before": ..., "hidden": ...}
  watchstander incidents --check             exit code 1 while an incident is open
"""
UNRESOLVED = ["open", "acknowledged", "snoozed", "mitigated"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--all", action="store_true", help="resolved ones too")
    parser.add_argument(
        "--limit", type=at_least_one, default=50, metavar="N", help="at most N, newest first (default: 50)"
    )
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--origin", choices=["live", "replay", "test"], help="of this origin only (default: all)")
    parser.add_argument("--check", action="store_true", help="exit code 1 if there is any in the list")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/incidents gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    client = connect(args)
    query = {
        "state": None if args.all else UNRESOLVED,
        "limit": args.limit,
        "cluster": args.cluster,
        "origin": args.origin,
    }
    body = client.raw("/v1/incidents", query)
    page: dict[str, Any] = msgspec.json.decode(body)
    if args.json:
        sys.stdout.write(body.decode() + "\n")
    elif not page["incidents"]:
        print("No incidents." if args.all else quiet(client, args.cluster, time.time_ns(), page["hidden"]))
    else:
        print_incidents(page["incidents"], time.time_ns())
        if page["next_before"] is not None:
            print(f"(the newest {len(page['incidents'])}; --limit shows more)", file=sys.stderr)
    if not args.json:
        tell(page["hidden"], "incidents")
    return SAID_NO if args.check and page["incidents"] else OK


def quiet(client: AgentClient, cluster: str | None, now_ns: int, hidden: int = 0) -> str:
    """What no open incident means: well, or not known. `hidden`: incidents that may not be read."""
    told = client.get("/v1/nodes", {"cluster": cluster})
    nodes = told["nodes"]
    if hidden or (told["hidden"] and not nodes):
        return "No open incident that you may read."
    # on a test cluster nothing is live, and the fleet that plays there is what is watched
    for origin in ("live", "test"):
        heard = [node["last_seen_ns"] for node in nodes if node["origin"] == origin]
        if heard:
            break
    else:
        return "No open incidents; but no live collector has sent anything yet, so nothing is known."
    count = f"{len(heard):,} {'' if origin == 'live' else 'test '}{'node' if len(heard) == 1 else 'nodes'}"
    return f"No open incidents. Last word from {count}: {ago(max(heard), now_ns)}."


def print_incidents(incidents: list[dict[str, Any]], now_ns: int) -> None:
    """The table."""
    from agent.cli.tables import print_table

    columns = ["ID", "STATE", "SEVERITY", "KIND", "WHERE", "SINCE", "FOR", "ORIGIN", "TITLE"]
    with_origin = any(incident["origin"] != "live" for incident in incidents)
    rows = [incident_row(incident, now_ns) for incident in incidents]
    if not with_origin:
        columns.remove("ORIGIN")
        rows = [[*row[:7], *row[8:]] for row in rows]
    print_table(columns, rows)


def incident_row(incident: dict[str, Any], now_ns: int) -> list[str]:
    """One line of the table."""
    # What is not live has its own clock: it ran until it was last heard of, not until now.
    end = incident["resolved_ns"] or (now_ns if incident["origin"] == "live" else incident["updated_ns"])
    return [
        incident["id"],
        incident["state"],
        incident["severity"],
        incident["kind"],
        where_of(incident),
        utc(incident["since_ns"]),
        duration((end - incident["since_ns"]) / 1e9),
        incident["origin"],
        plain(incident["title"]),
    ]


def where_of(thing: dict[str, Any]) -> str:
    """Node, GPU, rank and job of an incident or finding, by name."""
    subject = thing["subject"]
    return where(thing["names"], Subject(subject["cluster"], SubjectKind(subject["kind"]), subject["id"]))
