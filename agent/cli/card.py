"""A plan as people see it before they say yes: why, whom it touches, steps and undo, guards, what it rests on."""

from typing import TYPE_CHECKING, Any

from agent.api.words import plain, utc

if TYPE_CHECKING:
    from agent.cli.tables import Page

MOST_EVIDENCE = 6


def print_card(card: dict[str, Any]) -> None:
    """`card`: as GET /v1/plans/{id} gives it."""
    from agent.cli.tables import Page

    page = Page()
    plan = card["plan"]
    page.line((plan["id"], "bold"), "  ", (plan["state"], ""), "  ", plan["incident"], "  ", (card["title"], "bold"))
    page.line(f"why    {card['why']}")
    if plan["reason"]:
        page.line(f"stands {plan['reason']}")
    page.line(f"made   {utc(plan['made_ns'])}, by rule {plan['rule'] or '(none)'}{_until(plan)}")
    page.line(f"digest {plan['digest']}")
    if plan["approval"]:
        yes = plan["approval"]
        page.line(f"yes    by {yes['who']}, {utc(yes['time_ns'])}, until {utc(yes['expires_ns'])} ({yes['how']})")
    if plan["holder"]:
        page.line(f"held   by {plan['holder']} under generation {plan['generation']}")
    page.heading("Whom it touches")
    page.line(blast_words(plan["blast"]), indent=2)
    page.heading("Steps")
    for number, step in enumerate(plan["steps"], 1):
        _print_step(page, number, step)
    if card["guards"]:
        page.heading("What the guards said")
        for word in card["guards"]:
            says = ("yes", "green") if word["allows"] else ("no", "")
            page.line(f"{word['guard']:<4}", says, f"  {word['reason']}", indent=2)
    if card["evidence"]:
        page.heading("What it rests on")
        for evidence in card["evidence"][:MOST_EVIDENCE]:
            page.line(f"- {evidence['text']}", indent=2)
            if evidence["line"]:
                page.line((evidence["line"], "dim"), indent=4)
        more = len(card["evidence"]) - MOST_EVIDENCE
        if more > 0:
            page.line(f"and {more} more: watchstander incident {plan['incident']}", indent=2)


def blast_words(blast: dict[str, Any]) -> str:
    """`1 node, 4 pods, 1 job, 32 ranks, 32 GPUs: gpu-07, llama`."""
    parts = [
        f"{blast[name]:,} {word if blast[name] == 1 else word + 's'}"
        for name, word in (("nodes", "node"), ("pods", "pod"), ("jobs", "job"), ("ranks", "rank"), ("gpus", "GPU"))
        if blast[name]
    ]
    names = f": {', '.join(plain(name) for name in blast['names'])}" if blast["names"] else ""
    return f"{', '.join(parts) or 'nothing that is known'}{names}"


def _print_step(page: "Page", number: int, step: dict[str, Any]) -> None:
    state = "" if step["state"] == "waiting" else f"  [{step['state']}]"
    page.line(f"{number}. ", (step["words"], "bold"), state, indent=2)
    target = step["target"]
    where = f"{target['namespace']}/{target['name']}" if target["namespace"] else target["name"]
    page.line((f"{target['kind']} {where}, uid {target['uid']}", "dim"), indent=5)
    if step["detail"]:
        page.line(step["detail"], indent=5)
    page.line((f"undo: {step['undo'] or 'none'}", "dim"), indent=5)


def _until(plan: dict[str, Any]) -> str:
    return f", to be begun by {utc(plan['deadline_ns'])}" if plan["deadline_ns"] else ""
