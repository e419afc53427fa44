"""What the commands share by which people say something about an incident: `acknowledge`, `snooze`, `resolve` ..."""

import argparse
import sys
from typing import Any

import msgspec

from agent.api.words import plain
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

EPILOG = """\
The beginning of an ID is enough while it names one incident. What is said stands in the audit under your name.
exit code 1: there is no such incident
exit code 5: the incident stands otherwise (resolved already, say)
"""


def add_word_arguments(parser: argparse.ArgumentParser, *, note: bool = True) -> None:
    """The incident, a note, --json, and the agent."""
    parser.add_argument("id", metavar="ID", help="the incident, as `watchstander incidents` names it")
    if note:
        parser.add_argument("--note", default="", metavar="TEXT", help="your own words, kept beside it")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    add_agent_arguments(parser)


def say(args: argparse.Namespace, word: str, body: dict[str, Any]) -> int:
    """Say it and print how the incident stands."""
    answer = connect(args).post(f"/v1/incidents/{args.id}/{word}", body)
    if args.json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        return OK
    for incident in (answer[name] for name in ("incident", "other") if name in answer):
        print(plain(f"{incident['id']}  {state_of(incident)}  {incident['title']}"))
    return OK


def state_of(incident: dict[str, Any]) -> str:
    """`open`, `snoozed until 2026-11-22 03:12:10 UTC`, `open, came back 2 times`."""
    from agent.api.words import utc

    said = str(incident["state"])
    if incident["snoozed_until_ns"] is not None:
        said += f" until {utc(incident['snoozed_until_ns'])}"
    if incident["state"] == "resolved" and incident["resolved_because"]:
        said += f" ({incident['resolved_because']})"
    times = incident["reopened"]
    return f"{said}, came back {'once' if times == 1 else f'{times} times'}" if times else said
