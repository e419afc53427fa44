"""`watchstander jobs`: the training jobs that collectors have seen."""

import argparse
import sys
import time

import msgspec

from agent.api.words import ago
from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from agent.cli.hidden import tell
from agent.cli.numbers import at_least_one

HELP = "list training jobs, their last step, goodput, and when each was last heard of"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--cluster", metavar="NAME", help="of this cluster only")
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="at most N, those last heard of first")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/jobs gives it (all of them)")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    body = connect(args).raw("/v1/jobs", {"cluster": args.cluster})
    if args.json:
        sys.stdout.write(body.decode() + "\n")
        return OK
    told = msgspec.json.decode(body)
    tell(told["hidden"], "jobs")
    jobs = sorted(told["jobs"], key=lambda job: (-job["last_seen_ns"], job["name"]))
    if not jobs:
        print("No training job that you may read." if told["hidden"] else "No training job has been seen yet.")
        return OK
    from agent.cli.tables import print_table

    now_ns = time.time_ns()
    rows = [
        [
            job["name"],
            job["cluster"],
            job["attempt_state"] or job["state"],
            "" if job["attempt"] is None else str(job["attempt"]),
            "" if job["goodput"] is None else f"{job['goodput']:.0%}",
            "" if job["world_size"] is None else str(job["world_size"]),
            "" if job["last_step"] is None else f"{job['last_step']:,}",
            "" if job["last_step_ns"] is None else ago(job["last_step_ns"], now_ns),
            ago(job["last_seen_ns"], now_ns),
            job["origin"],
        ]
        for job in jobs[: args.limit]
    ]
    print_table(
        ["JOB", "CLUSTER", "STATE", "ATTEMPT", "GOODPUT", "RANKS", "STEP", "STEPPED", "LAST HEARD", "ORIGIN"], rows
    )
    return OK
