"""`watchstander score`: incidents against the truth of a recording."""

import argparse
import json
import sys
from pathlib import Path

from agent.cli.exit_codes import OK

HELP = "hold the incidents of a recording against what was done to it"
EPILOG = """\
The folder needs truth.json: simulated clusters have one, and so have the recordings that ship. docs/scoring.md says
when an incident counts as being about a cause. Exit code 0 whatever the score."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("recording", type=Path, metavar="DIR", help="folder of the recording, with truth.json")
    parser.add_argument(
        "--incidents", type=Path, metavar="FILE", help="what `replay --incidents-jsonl` wrote; default: replay it now"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="a policy file for the replay")
    parser.add_argument("--json", action="store_true", help="all figures as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Score, and say so."""
    from agent.cli.tables import plain
    from agent.replay import open_recording
    from agent.scoring.replayed import scored
    from agent.scoring.told import read_incidents
    from agent.scoring.truth import read_truth
    from policies.rules import load_rules

    truth = read_truth(args.recording)
    start = open_recording(args.recording).start_ns / 1e9
    told, bad = read_incidents(args.incidents) if args.incidents is not None else (None, [])
    for problem in (*truth.problems, *bad):
        print(f"watchstander: {plain(problem)}", file=sys.stderr)
    score = scored(args.recording, truth, told, load_rules(args.policy) if args.policy else None)
    if args.json:
        sys.stdout.write(json.dumps(score.as_json(), indent=1) + "\n")
        return OK
    for line in score.lines(start):
        print(plain(line))
    return OK
