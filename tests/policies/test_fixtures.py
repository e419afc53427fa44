"""Fixtures: the shipped ones come out as they say, and a wrong expectation is named."""

from pathlib import Path

import pytest

import policies.rules as rules_module
from collectors.errors import FixConfiguration
from policies.fixture import load_cases
from policies.fixture_run import run_case, run_folder
from policies.rules import default_policy

SHIPPED = Path(rules_module.__file__).with_name("fixtures")
CASES = [(path.name, case) for path in sorted(SHIPPED.glob("*.yaml")) for case in load_cases(path)]


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{file}: {case.name}") for file, case in CASES])
def test_the_policy_that_ships_decides_as_its_fixtures_say(case) -> None:
    result = run_case(default_policy(), case)

    assert result.problems == (), result.reason


def test_every_rule_of_the_policy_that_ships_has_a_fixture() -> None:
    decided = {run_case(default_policy(), case).rule for _, case in CASES}

    assert {compiled.rule.name for compiled in default_policy().rules} == decided


def written(folder: Path, text: str) -> Path:
    (folder / "one.yaml").write_text(text)
    return folder


CASE = "cases:\n  - name: n\n    findings: [{kind: gpu_lost, node: a}]\n    cluster: {nodes: [{name: a, count: 1}]}\n"


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("{rule: nvlink}", "rule: expected nvlink, got gpu-off-the-bus"),
        ("{verdict: refused}", "verdict: expected refused, got do"),
        ("{actions: [notify]}", "actions: expected [notify], got [notify, cordon]"),
        ("{actions: [fly]}", "actions: no such action: fly"),
        ("{steps: [cordon node b]}", "steps: expected [cordon node b], got [cordon node a]"),
        ("{guards: {G1: false}}", "G1: expected no, said yes: the agent and the rule may act"),
        ("{guards: {G99: true}}", "guards: no such guard: G99"),
        ("{reason: moon}", "reason: 'moon' is not in it"),
    ],
)
def test_what_comes_out_otherwise_is_named(tmp_path, expect, problem) -> None:
    (result,) = run_folder(default_policy(), written(tmp_path, f"{CASE}    expect: {expect}\n"))

    assert problem in result.problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "cases: [{name: n, findings: [], expect: {}}]",
            "one.yaml:1: cases[0].findings: expected `array` of length >= 1",
        ),
        (f"{CASE}    expect: {{rulez: x}}\n", "one.yaml:5: cases[0].expect: object contains unknown field `rulez`"),
        ("cases: [", "one.yaml:1: column 9: not YAML"),
    ],
)
def test_a_wrong_fixture_is_one_line(tmp_path, text, words) -> None:
    with pytest.raises(FixConfiguration) as caught:
        run_folder(default_policy(), written(tmp_path, text))

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_fixtures_is_said(tmp_path) -> None:
    with pytest.raises(FixConfiguration, match="no fixtures there"):
        run_folder(default_policy(), tmp_path)
