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
    from agent.incidents_file import incident_line
    from agent.replay import open_recording, replay
    from agent.scoring.inventory import read_cluster
    from agent.scoring.match import match
    from agent.scoring.score import Score
    from agent.scoring.told import read_incident, read_incidents
    from agent.scoring.truth import read_truth
    from detectors.model import Finding, Incident
    from policies.rules import load_rules

    truth = read_truth(args.recording)
    recording = open_recording(args.recording)
    problems = list(truth.problems)
    if args.incidents is not None:
        told, bad = read_incidents(args.incidents)
        problems += bad
    else:
        rules = load_rules(args.policy) if args.policy else None
        findings: dict[str, Finding] = {}
        incidents: dict[str, Incident] = {}
        for _, changes in replay(recording, rules=rules):
            findings.update((f.id, f) for f in changes.findings)
            incidents.update((i.id, i) for i in changes.incidents)
        ordered = sorted(incidents.values(), key=lambda i: (i.opened_ns, i.id))
        told = [read_incident(incident_line(i, findings)) for i in ordered]
    for problem in problems:
        print(f"watchstander: {plain(problem)}", file=sys.stderr)
    cluster = read_cluster(args.recording)
    score = Score(match(truth.causes, told, cluster), cluster.nodes, (recording.end_ns - recording.start_ns) / 1e9)
    if args.json:
        sys.stdout.write(json.dumps(score.as_json(), indent=1) + "\n")
        return OK
    for line in score.lines(recording.start_ns / 1e9):
        print(plain(line))
    return OK
