"""`watchstander policy check|test|explain`: is a policy right, does it decide as expected, why did it decide so."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK, SAID_NO, USAGE
from agent.cli.main import complain

HELP = "check a policy file, test it against fixtures, explain a decision"
EPILOG = """\
policy check FILE                     whether the file is right: file, line, column and reason where it is not
policy test [FILE] [--fixtures DIR]   decide every fixture (*.yaml) of DIR by it and compare with what is expected;
                                      without FILE the policy that ships, without DIR the folder `fixtures` beside it
policy explain ID                     every rule (matched or not, and why) and every guard (what it says now)
exit code 1: a fixture came out otherwise, or there is no such incident; 3: a file is wrong
"""
ACTIONS = ("check", "test", "explain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("what", choices=ACTIONS, help="what to do, see below")
    parser.add_argument("subject", nargs="?", metavar="FILE or ID", help="the policy file, or for explain the incident")
    parser.add_argument("--fixtures", metavar="DIR", type=Path, help="test: folder with fixtures")
    parser.add_argument("--all-rules", action="store_true", help="test: fail also where a rule has no fixture")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.what == "explain":
        return _explain(args)
    if args.what == "check":
        return _check(args)
    return _test(args)


def _check(args: argparse.Namespace) -> int:
    from policies.rules import load_policy

    if not args.subject:
        complain("policy check: name the file")
        return USAGE
    policy = load_policy(Path(args.subject))
    if args.json:
        said = {"file": args.subject, "digest": policy.digest, "rules": [one.rule.name for one in policy.rules]}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        count = len(policy.rules)
        print(f"{args.subject}: right, {count} rule{'s' * (count != 1)}, sha256 {policy.digest[:12]}")
    return OK


def _test(args: argparse.Namespace) -> int:
    from policies.fixture_run import run_folder
    from policies.rules import DEFAULT_FILE, load_policy

    file = Path(args.subject) if args.subject else DEFAULT_FILE
    policy = load_policy(file)
    results = run_folder(policy, args.fixtures or file.parent / "fixtures")
    failed = [one for one in results if one.problems]
    seen = {one.rule for one in results}
    bare = [one.rule.name for one in policy.rules if one.rule.name not in seen]
    if args.json:
        said = {"cases": results, "failed": len(failed), "rules_without_fixture": bare}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        for result in results:
            print(f"{'FAILED' if result.problems else 'ok    '}  {result.file}: {result.name}")
            for problem in result.problems:
                print(f"          {problem}")
            if result.problems:
                print(f"          decision: {result.reason}")
        print(f"{len(results) - len(failed)} of {len(results)} fixtures came out as expected")
        if bare:
            print(f"rules without a fixture: {', '.join(bare)}")
    return SAID_NO if failed or (args.all_rules and bare) else OK


def _explain(args: argparse.Namespace) -> int:
    if not args.subject:
        complain("policy explain: name the incident, as `watchstander incidents` shows it")
        return USAGE
    body = connect(args).raw(f"/v1/incidents/{args.subject}/policy")
    if args.json:
        sys.stdout.write(body.decode() + "\n")
    else:
        _print(msgspec.json.decode(body))
    return OK


def _print(told: dict[str, Any]) -> None:
    from agent.cli.tables import Page, print_table

    page = Page()
    verdict = told["verdict"].replace("_", " ")
    page.line((told["incident"], "bold"), f"  now: {verdict} (mode {told['mode']})")
    page.line((f"policy {told['policy'] or 'that ships'}, sha256 {told['digest'][:12]}", "dim"))
    if told["decision"] is not None:
        page.line(f"last decision {told['decision']['id']}: {told['decision']['reason']}")
    page.heading("Rules, in the order in which they are asked")
    for rule in told["rules"]:
        mark = "->" if rule["decides"] else "  "
        page.line(f"{mark} {rule['rule']}: ", (rule["reason"], "" if rule["matches"] else "dim"), indent=2)
    page.heading("Guards, as they stand now")
    words = {True: "yes", False: "no", None: "-"}
    print_table(
        ["GUARD", "ALLOWS", "WHY"], [[one["guard"], words[one["allows"]], one["reason"]] for one in told["guards"]]
    )
    for title, lines in (("Plan", told["steps"]), ("Undo", told["undo"]), ("Left out", told["left_out"])):
        if lines:
            page.heading(title)
            for line in lines:
                page.line("- ", line, indent=2)
