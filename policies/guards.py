"""Guards: each may only ever say no, with the figures it rests on.

G1 and G2 hold a decision back in audit; the others refuse it. G3 to G10, G12, G13 and G16 to G22 need the cluster's
own word (labels, budgets, leases) and speak where actions are carried out; nothing carries out actions yet.
"""

from collections.abc import Callable

from collectors.model import Origin
from detectors.model import FindingKind
from policies.facts import WITNESS, Facts
from policies.model import GuardWord, Mode
from policies.rules import Rule

STALE_SECONDS = 600
"""Evidence older than this is no ground to act on: the card may have been reset since. A choice; Minder and gpud both
judge over windows of 10 to 15 minutes (facts: training 1.3, gpu-faults 1.2)."""

LEAST_CONFIDENCE = 0.5
"""Below it the finding is by its own word more likely wrong than right."""

_MODES = tuple(Mode)

Guard = Callable[[Facts, Rule, Mode], GuardWord]


def stricter(one: Mode, other: Mode) -> Mode:
    """The mode that does less."""
    return min(one, other, key=_MODES.index)


def mode(facts: Facts, rule: Rule, agent: Mode) -> GuardWord:
    """G1: the stricter of the agent's mode and the rule's."""
    held = stricter(agent, rule.mode)
    whose = "the agent's" if held is agent else "the rule's"
    reason = {
        Mode.AUDIT: f"{whose} mode is audit: decide and record, touch nothing",
        Mode.APPROVE: f"{whose} mode is approve: a person has to say yes",
        Mode.ENFORCE: "the agent and the rule may act",
    }[held]
    return GuardWord(guard="G1", allows=held is Mode.ENFORCE, reason=reason)


def live(facts: Facts, rule: Rule, agent: Mode) -> GuardWord:
    """G2: what is not live is decided in audit only; on a test cluster the agent may take a test for live."""
    origin = facts.incident.origin
    if origin is Origin.LIVE:
        return GuardWord(guard="G2", allows=True, reason="the data are live")
    if facts.as_live:
        reason = f"the data are a {origin.value}, which this agent takes for live"
        return GuardWord(guard="G2", allows=True, reason=reason)
    return GuardWord(guard="G2", allows=False, reason=f"the data are a {origin.value}, not live")


def waited(facts: Facts, rule: Rule, agent: Mode) -> GuardWord:
    """G11: the incident must be as old as the rule asks, so that what passes by itself passes."""
    return GuardWord(
        guard="G11",
        allows=facts.age_seconds >= rule.wait_seconds,
        reason=f"the rule waits {rule.wait_seconds} s, the incident is {facts.age_seconds} s old",
    )


def telemetry(facts: Facts, rule: Rule, agent: Mode) -> GuardWord:
    """G14: evidence must be there, fresh and firm, and the telemetry of the place must be coming in."""
    root = facts.root
    if root is None or not root.evidence:
        return GuardWord(guard="G14", allows=False, reason="the root finding shows no evidence")
    silent = [f for f in facts.findings if f.kind is FindingKind.TELEMETRY_LOST and f.cleared_ns is None]
    if silent:
        return GuardWord(guard="G14", allows=False, reason=f"telemetry is missing: {silent[0].summary}")
    newest_ns = max(item.time_ns for finding in facts.findings for item in finding.evidence)
    age = max(0, (facts.now_ns - newest_ns) // 1_000_000_000)
    if age > STALE_SECONDS:
        return GuardWord(
            guard="G14", allows=False, reason=f"the newest evidence is {age} s old, at most {STALE_SECONDS} s count"
        )
    if root.confidence < LEAST_CONFIDENCE:
        reason = f"the root finding's confidence is {root.confidence:.2f}, at least {LEAST_CONFIDENCE:.2f} counts"
        return GuardWord(guard="G14", allows=False, reason=reason)
    pieces = sum(len(finding.evidence) for finding in facts.findings)
    return GuardWord(guard="G14", allows=True, reason=f"{pieces} pieces of evidence, the newest {age} s old")


def sources(facts: Facts, rule: Rule, agent: Mode) -> GuardWord:
    """G15: as many independent sources as the rule asks, counted over the evidence of the root's side."""
    seen = " and ".join(WITNESS[family] for family in facts.families) or "nowhere"
    return GuardWord(
        guard="G15",
        allows=len(facts.families) >= rule.sources,
        reason=f"{rule.sources} independent {_plural('source', rule.sources)} needed, seen {seen}",
    )


GUARDS: dict[str, Guard] = {"G1": mode, "G2": live, "G11": waited, "G14": telemetry, "G15": sources}
"""The guards that speak today, by id, in the order in which they speak."""

HOLDING = frozenset({"G1", "G2"})
"""Guards whose "no" means audit: the decision stands as what would be done."""


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
