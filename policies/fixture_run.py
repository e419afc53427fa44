"""Runs fixtures against a policy: what came out otherwise than expected, in words."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration
from policies.engine import PolicyEngine
from policies.fixture import Case, Expected, incident_of, load_cases, now_of, view_of
from policies.guards import GUARDS
from policies.model import ActionKind, Decision
from policies.rules import Policy


class CaseResult(msgspec.Struct, frozen=True):
    """What one case came to."""

    file: str
    name: str
    rule: str
    """The rule that decided; empty: none."""
    problems: tuple[str, ...]
    """How the decision differs from what was expected; none: it does not."""
    reason: str


def run_folder(policy: Policy, folder: Path) -> list[CaseResult]:
    """All cases of all `*.yaml` of a folder, in the order of their names. FixConfiguration where there is none."""
    if not folder.is_dir():
        raise FixConfiguration(f"{folder}: no such folder; name the one with the fixtures by --fixtures")
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FixConfiguration(f"{folder}: no fixtures there (*.yaml); docs/policies.md shows one")
    return [run_case(policy, case, path.name) for path in files for case in load_cases(path)]


def run_case(policy: Policy, case: Case, file: str = "") -> CaseResult:
    """Decide one case by a policy."""
    decision = decide(policy, case)
    return CaseResult(file, case.name, decision.rule, tuple(_differs(case.expect, decision)), decision.reason)


def decide(policy: Policy, case: Case) -> Decision:
    """The decision about a case's incident."""
    incident, findings, known = incident_of(case)
    view = view_of(case)
    engine = PolicyEngine(policy.rules, case.mode, guards=policy.guards, view=lambda: view)
    decision = engine.decide(incident, findings, known, now_of(case))
    assert decision is not None  # noqa: S101 - a fresh engine has decided nothing before
    return decision


def _differs(expected: Expected, decision: Decision) -> Iterable[str]:
    if expected.rule is not None and expected.rule != decision.rule:
        yield f"rule: expected {expected.rule or 'none'}, got {decision.rule or 'none'}"
    if expected.verdict is not None and expected.verdict is not decision.verdict:
        yield f"verdict: expected {expected.verdict.value}, got {decision.verdict.value}"
    if expected.actions is not None:
        unknown = set(expected.actions) - {kind.value for kind in ActionKind}
        if unknown:
            yield f"actions: no such action: {', '.join(sorted(unknown))}"
        got = tuple(action.kind.value for action in decision.actions)
        if got != expected.actions:
            yield f"actions: expected {_list(expected.actions)}, got {_list(got)}"
    if expected.steps is not None:
        steps = tuple(step.words for step in decision.plan.steps) if decision.plan is not None else ()
        fits = len(steps) == len(expected.steps) and all(
            word.startswith(want) for word, want in zip(steps, expected.steps)
        )
        if not fits:
            yield f"steps: expected {_list(expected.steps)}, got {_list(steps)}"
    said = {word.guard: word for word in decision.guards}
    for guard, allows in expected.guards.items():
        if guard not in GUARDS:
            yield f"guards: no such guard: {guard}"
        elif guard not in said:
            yield f"{guard}: expected {_yes(allows)}, was not asked"
        elif said[guard].allows is not allows:
            yield f"{guard}: expected {_yes(allows)}, said {_yes(not allows)}: {said[guard].reason}"
    if expected.reason and expected.reason not in decision.reason:
        yield f"reason: {expected.reason!r} is not in it"


def _yes(allows: bool) -> str:
    return "yes" if allows else "no"


def _list(words: tuple[str, ...]) -> str:
    return f"[{', '.join(words)}]"
