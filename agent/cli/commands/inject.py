"""`watchstander inject FAULT --node N`: lay a fault on a test cluster, and watch what the agent makes of it."""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.cli.client import AgentClient, add_agent_arguments, connect, data_directory
from agent.cli.exit_codes import OK
from agent.inject.control import Laid, Request, ask, known, socket_path
from agent.inject.faults import FAULTS
from collectors.errors import FixConfiguration, WatchError

HELP = "lay a fault's signs on a node of a test cluster, and watch what comes of it"
EPILOG = (
    "For the test cluster that `make cluster` runs: the fleet that plays its nodes lays the fault's signs on every\n"
    "source that it has in life. They are of origin test; docs/inject.md lists faults and signs.\n"
)
POLL_SECONDS = 0.5
WATCH_SECONDS = 30.0
"""Longer than the wait of the rule about a lost card (10 s) and the restart of a job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("fault", nargs="?", metavar="FAULT", help="what to lay: " + ", ".join(FAULTS))
    parser.add_argument("--node", metavar="NAME", help="the node, as Kubernetes calls it")
    parser.add_argument("--gpu", type=int, default=0, metavar="I", help="index of the card on the node (default: 0)")
    parser.add_argument(
        "--lasts",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="seconds until it passes (default: as the fault has it)",
    )
    parser.add_argument("--list", action="store_true", help="list the faults and their signs, and how the fleet stands")
    parser.add_argument(
        "--watch",
        type=_seconds,
        default=WATCH_SECONDS,
        metavar="S",
        help=f"print findings, incidents and decisions that follow, for so long (default: {WATCH_SECONDS:.0f}; 0: not)",
    )
    parser.add_argument(
        "--fleet", type=Path, metavar="DIR", help="data directory of the fleet (default: this machine's)"
    )
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Lay it, then watch."""
    path = socket_path(args.fleet or data_directory())
    if args.list:
        print_faults(path)
        return OK
    if not args.fault or not args.node:
        raise FixConfiguration("say FAULT and --node NAME; --list shows the faults, `watchstander nodes` the nodes")
    fault = known(args.fault)
    client = connect(args) if args.watch else None
    before = {one["id"]: one["resolved_ns"] for one in _incidents(client)} if client is not None else {}
    laid = ask(path, Request(fault, args.node, args.gpu, args.lasts))
    print(f"laid: {laid.said}", flush=True)
    if client is not None:
        for line in follow(client, laid, before, args.watch):
            print(line, flush=True)
    return OK


def print_faults(path: Path) -> None:
    """Faults with their signs; the fleet's own words where one listens."""
    from agent.cli.tables import Page

    page = Page()
    for fault in dict.fromkeys(FAULTS.values()):
        also = f" (also {fault.also})" if fault.also else ""
        over = f", over after {fault.passes:.0f} s" if fault.passes else ""
        page.line((fault.name, "bold"), f"{also}: {fault.what}")
        page.line(f"{fault.signs}{over}", indent=4)
    page.heading("The fleet")
    try:
        said = ask(path, Request()).said
    except WatchError as error:
        said = str(error)
    for line in said.splitlines():
        page.line(line, indent=2)


def follow(
    client: AgentClient,
    laid: Laid,
    before: dict[str, Any],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """A line for each finding, incident and decision that is new since the fault was laid, as they come."""
    told: set[str] = set()
    end = now() + seconds
    while True:
        for one in _incidents(client):
            if one["resolved_ns"] is not None and before.get(one["id"], 0) == one["resolved_ns"]:
                continue  # over, and told; an open one is asked for again, since a decision does not touch it
            before[one["id"]] = one["resolved_ns"]
            detail = client.get(f"/v1/incidents/{one['id']}")
            for key, line in _lines(detail, laid.at_ns):
                if key not in told:
                    told.add(key)
                    yield line
        if now() >= end:
            return
        sleep(POLL_SECONDS)


def _incidents(client: AgentClient | None) -> list[dict[str, Any]]:
    if client is None:
        return []
    found: list[dict[str, Any]] = client.get("/v1/incidents", {"origin": "test", "limit": 50})["incidents"]
    return found


def _lines(detail: dict[str, Any], since_ns: int) -> Iterator[tuple[str, str]]:
    from agent.api.words import plain

    incident = detail["incident"]
    said = [
        (one["id"], one["opened_ns"], f"finding   {one['kind']}: {plain(one['summary'])}") for one in detail["findings"]
    ]
    for one in detail["findings"]:
        if one["cleared_ns"] is not None:
            line = f"cleared   {one['kind']}: {plain(one['cleared_because'])}"
            said.append((f"{one['id']} cleared", one["cleared_ns"], line))
    for one in detail["decisions"]:
        verdict = one["verdict"].replace("_", " ")
        said.append((one["id"], one["decided_ns"], f"decision  {verdict}: {plain(one['reason'])}"))
    title = f"{incident['id']} {incident['state']}: {plain(incident['title'])}"
    said.append((title, incident["updated_ns"], f"incident  {title}"))
    for key, at_ns, line in sorted(said, key=lambda one: one[1]):
        if at_ns >= since_ns:
            yield key, f"{_after(at_ns, since_ns)}  {line}"


def _after(time_ns: int, since_ns: int) -> str:
    return f"{max(0, time_ns - since_ns) / 1e9:+6.1f} s"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds, 0 to 86400")
    return value
