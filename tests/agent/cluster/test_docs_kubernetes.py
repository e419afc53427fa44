"""docs/kubernetes.md says what the code knows."""

from pathlib import Path

import pytest

from agent.access.kubernetes import RIGHTS
from agent.cluster.people import CORDON, UNCORDON
from policies.cluster.rbac import PEOPLE, READS
from policies.cluster_view import OPT_OUT, OWN_CORDON, SNOOZE
from policies.holders import SIGNS

DOCS = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = DOCS.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_holders_is_the_codes_own_in_its_order() -> None:
    def words(values: tuple[str, ...]) -> str:
        return ", ".join(f"`{value}`" for value in values) or "any"

    assert rows("Who holds a node") == [
        [f"`{sign.holder}`", f"`{sign.key}`", sign.on.value, words(sign.values)] for sign in SIGNS
    ]


def test_the_rights_of_audit_mode_stand_there() -> None:
    said = {
        (verb, resource)
        for verbs, resources, _ in rows("Rights")[:3]
        for verb in verbs.split(", ")
        for resource in resources.split(", ")
    }

    assert said == {(verb, resource) for _, resource, verb in READS}


def test_the_roles_for_people_stand_there_with_the_agents_own() -> None:
    of = {role.value: {f"`{verb} {resource}`"} for role, (verb, resource) in RIGHTS.items()}
    table = {row[0].strip("`"): (row[1], set(row[2].split(", "))) for row in rows("Roles for people")}

    assert {name: verbs for name, (_, verbs) in table.items()} == {
        name: {f"`{verb} {resource}`" for _, resource, verb in needs} for name, needs in PEOPLE.items()
    }
    assert {role for role, verbs in table.values() if role in of and not of[role] <= verbs} == set()


def test_every_word_and_sign_of_ours_is_explained() -> None:
    assert {word for word in (CORDON, UNCORDON, OWN_CORDON, SNOOZE, OPT_OUT) if word not in DOCS} == set()


@pytest.mark.parametrize(
    "words",
    [
        "are not listed yet",
        "has said nothing for",
        "jobs are still being asked for",
        "the API server does not answer: ",
        "the API server took ",
        "the API server was last asked how it is ",
        "the API server has not been asked how it is yet",
        "nodes became not ready within",
    ],
)
def test_every_reason_not_to_trust_the_view_is_explained_in_the_codes_own_words(words: str) -> None:
    source = (Path(__file__).parents[3] / "agent" / "cluster" / "health.py").read_text()

    assert (words in source, words in DOCS) == (True, True)
