"""docs/policies.md names everything that a policy may say, and nothing that it may not."""

import re
from pathlib import Path

import pytest

from policies.cel import CelType
from policies.facts import FAMILIES
from policies.fixture import Case
from policies.fixture_run import run_folder
from policies.guard_docs import renewed, settings
from policies.guard_settings import GuardSettings
from policies.guards import GUARDS
from policies.model import ActionKind, Mode, Verdict
from policies.rules import PolicyFile, Rule, default_policy, parse_rules
from policies.variables import VARIABLES

FOLDER = Path(__file__).parents[2] / "docs"
DOCS = (FOLDER / "policies.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """The rows of the first table under a heading, by the word in their first cell."""
    section = DOCS.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return {m[1]: m[0] for m in re.finditer(r"^\| `([^`]+)` \|.*$", section, re.MULTILINE)}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Fields of a file", set(PolicyFile.__struct_fields__)),
        ("Fields of a rule", set(Rule.__struct_fields__)),
        ("Conditions", set(VARIABLES)),
        ("Actions", {kind.value for kind in ActionKind}),
        ("Verdicts", {verdict.value for verdict in Verdict}),
    ],
)
def test_the_page_lists_what_the_code_knows_and_no_more(heading, names) -> None:
    assert names == set(rows(heading))


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_described_with_its_type(name) -> None:
    assert f"| {VARIABLES[name].type.value} |" in rows("Conditions")[name]


def test_every_mode_type_and_source_is_in_use_on_the_page() -> None:
    wanted = {f"`{mode.value}`" for mode in Mode} | {f"`{family}`" for family in FAMILIES.values()}

    assert set() == {word for word in wanted if word not in DOCS}
    assert {variable.type for variable in VARIABLES.values()} <= set(CelType)


def test_the_example_on_the_page_is_a_policy() -> None:
    example = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[0]

    assert parse_rules(example.encode(), "docs/policies.md")[0].rule.name == "gpu-off-the-bus"


def test_the_fixture_on_the_page_comes_out_as_it_says(tmp_path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[1]
    (tmp_path / "page.yaml").write_text(example)
    (result,) = run_folder(default_policy(), tmp_path)

    assert result.problems == ()


def test_the_page_lists_the_fields_of_a_fixture() -> None:
    assert set(Case.__struct_fields__) == set(rows("Try it first"))


def test_the_page_of_guards_is_what_the_code_says() -> None:
    page = (FOLDER / "guards.md").read_text()

    assert page == renewed(page)


def test_every_setting_of_a_guard_is_described_and_belongs_to_one() -> None:
    assert [name for name, _, text in settings() if not text] == []
    named = {group for guard in GUARDS.values() for group in guard.settings}
    assert named | {"plan"} == set(GuardSettings.__struct_fields__)
