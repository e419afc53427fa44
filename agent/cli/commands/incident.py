"""`watchstander incident ID`: one incident with everything it rests on."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from agent.api.words import ago, duration, figure, plain, utc
from agent.cli.client import add_agent_arguments, connect
from agent.cli.commands.incidents import where_of
from agent.cli.exit_codes import OK
from agent.cli.words import state_of

if TYPE_CHECKING:
    from agent.cli.tables import Page

HELP = "show one incident: findings in causal order, evidence, decisions and what the guards said"
EPILOG = """\
The beginning of an ID is enough while it names one incident.
exit code 1: there is no such incident
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the incident, as `watchstander incidents` names it")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /v1/incidents/{id} gives it")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    body = connect(args).raw(f"/v1/incidents/{args.id}")
    if args.json:
        sys.stdout.write(body.decode() + "\n")
    else:
        print_incident(msgspec.json.decode(body), time.time_ns())
    return OK


def print_incident(detail: dict[str, Any], now_ns: int) -> None:
    """For people."""
    from agent.cli.tables import Page

    page = Page()
    incident = detail["incident"]
    live = incident["origin"] == "live"
    page.line((incident["id"], "bold"), "  ", (incident["title"], "bold"))
    origin = [] if live else ["  ", incident["origin"]]
    page.line(incident["severity"], "  ", state_of(incident), "  ", incident["kind"], *origin)
    page.line("where  ", where_of(incident))
    age = f", {ago(incident['since_ns'], now_ns)}" if live else ""
    page.line(f"since  {utc(incident['since_ns'])}{age}")
    known = (incident["opened_ns"] - incident["since_ns"]) / 1e9
    page.line(f"known  {utc(incident['opened_ns'])}, {duration(known)} after it began")
    if incident["resolved_ns"] is not None:
        page.line(f"over   {utc(incident['resolved_ns'])}: {plain(incident['resolved_because'])}")
    page.line(f"cost   {detail['cost']['sentence']}{money_of(detail['cost'])}")
    page.line(f"peers  {detail['context']['peers']['sentence']}")
    page.line(f"rate   {detail['context']['base_rate']['sentence']}")
    for feedback in detail["feedback"]:
        note = f": {feedback['note']}" if feedback["note"] else ""
        page.line(f"judged {feedback['judgement']} by {feedback['who']}, {utc(feedback['time_ns'])}{note}")
    page.heading("Findings, the probable root first")
    for number, finding in enumerate(detail["findings"], 1):
        _print_finding(page, number, finding)
    left_out = incident["left_out"]
    if left_out:
        page.line(f"and {left_out:,} more", indent=2)
    hidden = [f"{count:,} {name}" for name, count in detail["hidden"].items() if count]
    if hidden:
        page.line(f"and, of it, more that you may not read: {', '.join(hidden)}", indent=2)
    page.heading("Decisions")
    for decision in detail["decisions"]:
        _print_decision(page, decision)
    if not detail["decisions"]:
        page.line("none yet", indent=2)
    if detail["words"]:
        page.heading("What people said")
        for word in detail["words"]:
            page.line(word_line(word), indent=2)
    if detail["context"]["similar"]:
        page.heading("Similar incidents before")
        for one in detail["context"]["similar"]:
            earlier = one["incident"]
            page.line(f"{earlier['id']}  {utc(earlier['opened_ns'])}  {one['shares']}  {one['ended']}", indent=2)
    if detail["events"]:
        page.heading("Events nearby")
        for event in detail["events"]:
            page.line(event_line(event, incident["since_ns"]), indent=2)


def money_of(cost: dict[str, Any]) -> str:
    """` (about 12.40 USD)`; empty where no price is set."""
    if cost["money"] is None or cost["bound"] == "none":
        return ""
    return f" ({cost['bound']} {cost['money']:,.2f} {cost['currency']})"


def word_line(word: dict[str, Any]) -> str:
    """`2026-11-22 03:12:10 UTC  ann  snooze until ...: the note`."""
    more = f" until {utc(word['until_ns'])}" if word["until_ns"] is not None else ""
    more += f" with {word['other']}" if word["other"] else ""
    note = f": {word['note']}" if word["note"] else ""
    return f"{utc(word['time_ns'])}  {word['who']}  {word['kind']}{more}{note}"


def _print_finding(page: "Page", number: int, finding: dict[str, Any]) -> None:
    cleared = f", cleared: {finding['cleared_because']}" if finding["cleared_ns"] is not None else ""
    page.line(f"{number}. ", (finding["kind"], "bold"), "  ", finding["severity"], f"  {where_of(finding)}", indent=2)
    page.line(finding["summary"], indent=5)
    page.line(f"since {utc(finding['since_ns'])}, confidence {finding['confidence']:.0%}{cleared}", indent=5)
    page.line((finding["id"], "dim"), indent=5)
    for evidence in finding["evidence"]:
        page.line("- ", evidence["text"], (figures_of(evidence), "dim"), indent=5)
        if evidence["line"]:
            page.line((evidence["line"], "dim"), indent=7)


def figures_of(evidence: dict[str, Any]) -> str:
    """` [gpu_power_watts 169 W, expected 690 W, nvml]`; empty where there are none."""
    parts = []
    if evidence["value"] is not None:
        parts.append(f"{evidence['metric']} {figure(evidence['value'], evidence['unit'])}".strip())
    if evidence["expected"] is not None:
        parts.append(f"expected {figure(evidence['expected'], evidence['unit'])}")
    if evidence["source"]:
        parts.append(evidence["source"])
    return f" [{', '.join(parts)}]" if parts else ""


def _print_decision(page: "Page", decision: dict[str, Any]) -> None:
    rule = f"rule {decision['rule']}" if decision["rule"] else "no rule"
    verdict = decision["verdict"].replace("_", " ")
    page.line(f"{utc(decision['decided_ns'])}  ", verdict, f"  ({rule}, mode {decision['mode']})", indent=2)
    page.line(decision["reason"], indent=5)
    for action in decision["actions"]:
        undo = f"; undo: {action['undo']}" if action["undo"] else ""
        page.line(f"- {action['kind']} {action['target_name']}{undo}", indent=5)
    for word in decision["guards"]:
        says = ("yes", "green") if word["allows"] else ("no", "")
        page.line(f"{word['guard']:<4}", says, f"  {word['reason']}", indent=5)


def event_line(event: dict[str, Any], since_ns: int) -> str:
    """`-3 s  xid code=79  [kernel_log]  NVRM: Xid ...`, times relative to the incident's beginning."""
    seconds = (event["time_ns"] - since_ns) / 1e9
    said = [f"{key}={figure(value)}" for key, value in event["values"].items()]
    said += [f"{key}={value}" for key, value in event["attributes"].items()]
    line = f"  {event['line']}" if event["line"] else ""
    return f"{seconds:+8.1f} s  {event['kind']}  {' '.join(said)}  [{event['source']}]{line}"
