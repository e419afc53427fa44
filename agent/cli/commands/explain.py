"""`watchstander explain ID`: probable causes, what to check next, what to do. Deterministic; no LLM."""

import argparse
import sys
from typing import Any

import msgspec

from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

HELP = "explain one incident: probable causes with their evidence, what to check next, what to do"
EPILOG = """\
The beginning of an ID is enough while it names one incident.
exit code 1: there is no such incident
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the incident, as `watchstander incidents` names it")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/incidents/{id}/explanation gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    body = connect(args).raw(f"/v1/incidents/{args.id}/explanation")
    if args.json:
        sys.stdout.write(body.decode() + "\n")
    else:
        print_explanation(msgspec.json.decode(body))
    return OK


def print_explanation(explanation: dict[str, Any]) -> None:
    """For people."""
    from agent.cli.tables import Page

    page = Page()
    page.line((explanation["incident"], "bold"), "  ", (explanation["summary"], "bold"))
    if explanation["causes"]:
        page.heading("Probable causes, the likeliest first")
    for number, cause in enumerate(explanation["causes"], 1):
        page.line(f"{number}. ", cause["text"], (f"  ({cause['confidence']})", "dim"), indent=2)
        for evidence in cause["evidence"]:
            page.line(("- ", "dim"), (evidence["text"], "dim"), indent=5)
    for title, steps in (("Check next", explanation["check_next"]), ("What to do", explanation["do"])):
        if steps:
            page.heading(title)
            for step in steps:
                page.line("- ", step, indent=2)
