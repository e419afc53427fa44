"""`watchstander detectors`: what is looked for, and what each look needs. Works without an agent."""

import argparse
import sys

import msgspec

from agent.api.words import duration
from agent.cli.exit_codes import OK, SAID_NO

HELP = "list the detectors: what each finds and what it needs (works without an agent)"
EPILOG = "exit code 1: no detector finds the KIND\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("kind", nargs="?", metavar="KIND", help="only those that find this, in their own full words")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/detectors gives it")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from agent.api.detector_list import known_detectors

    known = known_detectors()
    if args.kind:
        known = [detector for detector in known if args.kind in detector.kinds]
    if args.json:
        sys.stdout.write(msgspec.json.encode({"detectors": known}).decode() + "\n")
        return OK if known else SAID_NO
    if not known:
        print(f"No detector finds {args.kind}.")
        return SAID_NO
    from agent.cli.tables import Page, print_table

    if not args.kind:
        print_table(
            ["FINDS", "NEEDS", "HISTORY", "HOW"],
            [
                [
                    ", ".join(kind.value for kind in detector.kinds),
                    _needs(detector.metrics, detector.events),
                    history(detector.history_seconds, detector.history_steps),
                    detector.summary,
                ]
                for detector in known
            ],
        )
        return OK
    page = Page()
    for detector in known:
        page.heading(f"{detector.name}: {', '.join(kind.value for kind in detector.kinds)}")
        page.line("needs    ", ", ".join([*detector.metrics, *detector.events]) or "nothing")
        page.line("history  ", history(detector.history_seconds, detector.history_steps))
        for line in detector.description.splitlines():
            page.line(line, indent=2)
    return OK


def _needs(metrics: list[str], events: list[str]) -> str:
    counted = [(len(metrics), "metric"), (len(events), "event")]
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counted if count) or "nothing"


def history(seconds: float, steps: int) -> str:
    """`5 min, 20 steps`, or `none`."""
    parts = [duration(seconds)] if seconds else []
    if steps:
        parts.append(f"{steps} steps")
    return ", ".join(parts) or "none"
