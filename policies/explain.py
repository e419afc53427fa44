"""Why a policy decides as it does: every rule's word on one incident."""

from collections.abc import Mapping, Sequence

import msgspec

from policies.cel import Given, Plain
from policies.facts import Facts
from policies.model import GuardWord, Mode, Verdict
from policies.plan import Plan
from policies.rules import Compiled


class RuleWord(msgspec.Struct, frozen=True):
    """One rule at one incident."""

    rule: str
    priority: int
    matches: bool
    decides: bool
    """It is the first that matches."""
    reason: str


class Explained(msgspec.Struct, frozen=True):
    """Why an incident is decided as it is, now."""

    rules: list[RuleWord]
    """In the order in which they are asked."""
    file: str
    digest: str
    """Of the policy file: sha256, hex."""
    mode: Mode = Mode.AUDIT
    verdict: Verdict = Verdict.NOTHING
    guards: tuple[GuardWord, ...] = ()
    """What they say now; none where no rule wants anything."""
    left_out: tuple[str, ...] = ()
    """Why some of what the rule asks for is not in the plan."""
    plan: Plan | None = None


def rule_words(rules: Sequence[Compiled], facts: Facts, values: Mapping[str, Plain]) -> list[RuleWord]:
    """What each rule says, in the order in which they are asked; also those that are not reached any more."""
    given = Given(values)
    words: list[RuleWord] = []
    first = ""
    for compiled in rules:
        rule = compiled.rule
        matches, reason = _word(compiled, facts, given)
        decides = matches and not first
        if decides:
            first = rule.name
            reason += ": it decides"
        elif matches:
            reason += f": not asked, {first} decides before it"
        words.append(RuleWord(rule.name, rule.priority, matches, decides, reason))
    return words


def _word(compiled: Compiled, facts: Facts, values: Given) -> tuple[bool, str]:
    rule, kind = compiled.rule, facts.incident.kind
    if rule.kinds and kind not in rule.kinds:
        return False, f"is not about {kind.value} (kinds: {', '.join(one.value for one in rule.kinds)})"
    if compiled.condition is None:
        return True, "has no condition" if rule.kinds else "is about everything"
    judgement = compiled.condition.judge(values)
    if judgement.problem:
        return False, f"its condition could not be judged and counts as no: {judgement.problem}"
    shown = " ".join(rule.when.split())
    return judgement.holds, f"its condition {'holds' if judgement.holds else 'does not hold'}: {shown}"
