"""`watchstander replay`: a recording through the watch, without a server."""

import argparse
import json
import sys
import time
from pathlib import Path

from agent.cli.exit_codes import OK
from agent.cli.numbers import not_negative

HELP = "play a recording through the watch, without a server, and say what it finds"
EPILOG = """\
Files of the folder: telemetry.csv.gz, train.log, kmsg.txt with meta.json ({"boot_unix": seconds}), *stderr.log,
nccl_trace*.pickle; all but the telemetry optional. Or batches.wsb with meta.json: a whole cluster, as
`watchstander simulate` writes it. Or a file: a bundle, as `watchstander bundle` writes it. Exit code 0 whether
anything was found or not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("recording", type=Path, metavar="DIR", help="folder of the recording, or a bundle's file")
    parser.add_argument(
        "--speed", type=not_negative, default=0.0, metavar="N", help="N times real time; 0: as fast as it goes"
    )
    parser.add_argument("--native", action="store_true", help="every row of the telemetry is a look (for study)")
    parser.add_argument("--until", type=not_negative, metavar="T", help="cut off at Unix second T")
    parser.add_argument("--findings-jsonl", type=Path, metavar="FILE", help="write one finding a line to FILE")
    parser.add_argument("--incidents-jsonl", type=Path, metavar="FILE", help="write one incident a line to FILE")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="a policy file instead of the one that ships")
    parser.add_argument("--json", action="store_true", help="findings and incidents as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Replay, telling what opens and clears."""
    from agent.api.words import counted
    from agent.cli.main import complain
    from agent.cli.tables import plain
    from agent.findings_file import check_writable, finding_line, write_findings
    from agent.incidents_file import write_incidents
    from agent.replay import open_recording, replay
    from detectors.model import Finding, Incident
    from policies.model import Decision
    from policies.rules import load_rules

    for target in (args.findings_jsonl, args.incidents_jsonl):
        if target is not None:
            check_writable(target)
    recording = open_recording(args.recording)
    told = set(recording.problems)
    for problem in recording.problems:
        complain(problem)
    rules = load_rules(args.policy) if args.policy else None
    until_ns = None if args.until is None else int(args.until * 1e9)
    findings: dict[str, Finding] = {}
    incidents: dict[str, Incident] = {}
    decisions: dict[str, Decision] = {}
    began = time.monotonic()
    for now_ns, changes in replay(recording, native=args.native, until_ns=until_ns, rules=rules):
        at = (now_ns - recording.start_ns) / 1e9
        if args.speed > 0:
            time.sleep(max(0.0, at / args.speed - (time.monotonic() - began)))
        for finding in changes.findings:
            new = finding.id not in findings
            findings[finding.id] = finding
            if not args.json and (new or finding.cleared_ns is not None):
                when = ((finding.opened_ns if new else finding.cleared_ns or 0) - recording.start_ns) / 1e9
                what = "OPENS " if new else "clears"
                words = finding.summary if new else finding.cleared_because
                print(f"{when:9.1f} s  {what}  {finding.kind.value:22s} {plain(words)}", flush=True)
        incidents.update((i.id, i) for i in changes.incidents)
        decisions.update((d.incident, d) for d in changes.decisions)
    if args.findings_jsonl is not None:
        write_findings(args.findings_jsonl, findings.values())
    if args.incidents_jsonl is not None:
        write_incidents(args.incidents_jsonl, incidents.values(), findings)
    for problem in recording.problems:
        if problem not in told:
            complain(problem)
    if args.json:
        shape = {
            "findings": [finding_line(f) for f in findings.values()],
            "incidents": [
                {
                    "id": i.id,
                    "kind": i.kind.value,
                    "severity": i.severity.value,
                    "state": i.state.value,
                    "title": i.title,
                    "opened_at": i.opened_ns / 1e9,
                    "since": i.since_ns / 1e9,
                    "resolved_at": None if i.resolved_ns is None else i.resolved_ns / 1e9,
                    "subject": i.names,
                    "kinds": [k.value for k in i.kinds],
                    "decision": decisions[i.id].reason if i.id in decisions else "",
                }
                for i in incidents.values()
            ],
        }
        sys.stdout.write(json.dumps(shape, indent=1) + "\n")
        return OK
    length, took = (recording.end_ns - recording.start_ns) / 1e9, max(time.monotonic() - began, 1e-9)
    found = f"{counted(len(findings), 'finding')} in {counted(len(incidents), 'incident')}"
    print(f"\n{found}; {length:.0f} s played in {took:.1f} s")
    for incident in sorted(incidents.values(), key=lambda i: i.opened_ns):
        print(f"  {incident.id}  {plain(incident.title)}")
        if incident.id in decisions:
            print(f"      {plain(decisions[incident.id].reason)}")
    return OK
