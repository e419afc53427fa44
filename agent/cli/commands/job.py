"""`watchstander job NAME`: why did it die, what did it cost, may I restart, from where, without whom?"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from agent.api.words import duration, plain, utc
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK

if TYPE_CHECKING:
    from agent.cli.tables import Page

HELP = "show one job: why it died, what it cost, whether, whence and without whom to restart, and where its time went"
EPILOG = """\
NAME is the job's name or id. Several jobs may share a name: all of them are shown, the one begun last first.
exit code 1: there is no such job
"""
BAR = 40
QUESTIONS = ("why", "cost", "restart", "from", "without")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the job, as `watchstander jobs` names it, or its id")
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/jobs/{name} gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    body = connect(args).raw(f"/v1/jobs/{args.name}", {"cluster": args.cluster})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    cards = msgspec.json.decode(body)["jobs"]
    if len(cards) > 1:
        print(f"{len(cards)} jobs share this name.\n")
    for card in cards:
        print_card(card)
    return OK


def print_card(card: dict[str, Any]) -> None:
    """For people."""
    from agent.cli.tables import Page

    page = Page()
    page.line(("job ", "bold"), (card["name"], "bold"), f"  {card['state']}, attempt {card['attempts'][0]['number']}")
    origin = "" if card["origin"] == "live" else f", {card['origin']}"
    page.line(f"{card['cluster']}, id {plain(card['id'])}{origin}, as of {utc(card['as_of_ns'])}")
    page.line()
    for question, answer in zip(QUESTIONS, card["answers"], strict=True):
        page.line((f"{question:<8}", "dim"), answer)
    page.line((f"{'blame':<8}", "dim"), f"{card['blame']}: {card['blame_because']}")
    page.line((f"{'again?':<8}", "dim"), f"Is its controller restarting it? {card['restarting']}")
    if card["exclude"]:
        page.heading("Exclude")
        for line in card["exclude"].splitlines():
            page.line(line, indent=2)
    _print_account(page, card)
    page.heading("Attempts, newest first")
    for attempt in card["attempts"]:
        _print_attempt(page, attempt)
    for note in card["notes"]:
        page.line((f"note: {note}", "dim"), indent=2)
    page.line()


def _print_account(page: "Page", card: dict[str, Any]) -> None:
    goodput = "unknown" if card["goodput"] is None else f"{card['goodput']:.1%}"
    throughput = "unknown" if card["throughput_share"] is None else f"{card['throughput_share']:.1%}"
    page.heading(f"Goodput {goodput} = time share {card['time_share']:.1%} x throughput share {throughput}")
    for line in sorted(card["account"], key=lambda line: -line["share"]):
        hours = "" if line["gpu_hours"] is None else f"{line['gpu_hours']:10,.2f} GPU-hours"
        filled = "#" * round(line["share"] * BAR)
        cause = line["cause"].replace("_", " ")
        page.line(
            f"{cause:<27}{line['share']:>6.1%}  {duration(line['wall_seconds']):>12}{hours}  ",
            (filled, "dim"),
            indent=2,
        )
    whole = "" if card["total_gpu_hours"] is None else f"{card['total_gpu_hours']:10,.2f} GPU-hours"
    page.line(f"{'the whole':<27}{1:>6.1%}  {duration(card['total_wall_seconds']):>12}{whole}", indent=2)
    for text in (card["revised"], card["regression"]):
        if text:
            page.line((text, "dim"), indent=2)


def _print_attempt(page: "Page", attempt: dict[str, Any]) -> None:
    until = attempt["ended_ns"] if attempt["ended_ns"] is not None else attempt["as_of_ns"]
    goodput = "" if attempt["goodput"] is None else f", goodput {attempt['goodput']:.0%}"
    steps = "" if attempt["last_step"] is None else f", steps {attempt['first_step']:,} to {attempt['last_step']:,}"
    gpus = "GPUs unknown" if attempt["gpus"] is None else f"{attempt['gpus']:,} GPUs"
    page.line(
        f"{attempt['number']:>3}. ",
        (attempt["state"], "bold"),
        f"  {utc(attempt['started_ns'])} for {duration((until - attempt['started_ns']) / 1e9)}, {gpus}{steps}{goodput}",
        indent=2,
    )
    page.line((f"began: {plain(attempt['began_because'])}", "dim"), indent=7)
    if attempt["fault"]:
        page.line(f"died of {attempt['fault']} ({attempt['incident']})", indent=7)
