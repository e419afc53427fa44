"""Whoever holds a role in single namespaces changes what belongs to these alone."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from served_agent import ServedAgent
from tenants_served import ADMIN_OF_OURS, BODIES, BOTH, READER, tenants_served
from tenants_story import MIXED, MIXED_PLAN, NODE_PLAN, OUR_INCIDENT, OUR_PLAN, THEIR_INCIDENT, THEIR_PLAN

pytestmark = pytest.mark.slow


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    """One that nobody else asks."""
    with tenants_served(tmp_path) as agent:
        yield agent


WORDS = ["acknowledge", "snooze", "feedback", "resolve"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("token", "incident", "status"),
    [
        (ADMIN_OF_OURS, OUR_INCIDENT, 200),
        (ADMIN_OF_OURS, MIXED, 403),
        (ADMIN_OF_OURS, THEIR_INCIDENT, 404),
        (READER, OUR_INCIDENT, 403),
        (BOTH, OUR_INCIDENT, 200),
        (BOTH, MIXED, 403),
        (BOTH, THEIR_INCIDENT, 403),
    ],
    ids=["own", "mixed", "hidden", "reader", "both-own", "both-mixed", "both-where-it-only-reads"],
)
def test_a_word_needs_the_role_in_every_namespace_of_the_incident(
    own_agent: ServedAgent, word: str, token: str, incident: object, status: int
) -> None:
    body = msgspec.json.encode(BODIES.get(word, {}))
    url = f"/v1/incidents/{incident.id}/{word}"  # type: ignore[attr-defined]  # an Incident

    assert own_agent.ask("POST", url, token, body).status == status


def test_merging_needs_the_role_in_the_namespaces_of_both(own_agent: ServedAgent) -> None:
    def merge(one: str, into: str) -> tuple[int, str]:
        answer = own_agent.ask("POST", f"/v1/incidents/{one}/merge", ADMIN_OF_OURS, msgspec.json.encode({"into": into}))
        return answer.status, answer.json["error"]["what"] if answer.status >= 400 else ""

    refused = (
        "admin-of-ours may not admin INC-MIXEDAAA: it concerns more than the namespaces in which you hold that role"
    )
    assert merge(OUR_INCIDENT.id, MIXED.id) == (403, refused)
    assert merge(MIXED.id, OUR_INCIDENT.id) == (403, refused)
    assert merge(OUR_INCIDENT.id, THEIR_INCIDENT.id) == (404, f"no such incident: {THEIR_INCIDENT.id}")
    assert merge(OUR_INCIDENT.id, "INC-OURSHOST") == (200, "")


@pytest.mark.parametrize(
    ("plan", "status"),
    [(OUR_PLAN, 200), (NODE_PLAN, 404), (MIXED_PLAN, 404), (THEIR_PLAN, 404)],
    ids=["own-job", "a-node-too", "of-a-mixed-incident", "anothers"],
)
@pytest.mark.parametrize("word", ["approve", "reject"])
def test_a_plan_is_approved_by_who_holds_the_role_where_it_acts(
    own_agent: ServedAgent, plan: object, status: int, word: str
) -> None:
    digest = {"digest": plan.digest} if word == "approve" else {}  # type: ignore[attr-defined]  # a Plan
    url = f"/v1/plans/{plan.id}/{word}"  # type: ignore[attr-defined]

    assert own_agent.ask("POST", url, ADMIN_OF_OURS, msgspec.json.encode(digest)).status == status
