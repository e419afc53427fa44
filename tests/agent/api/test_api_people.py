"""What people say over HTTP: who may, what is refused, what is kept of hostile words."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from api_story import HOSTILE_INCIDENT, LOST_FINDINGS, LOST_INCIDENT, NOW, PAST_INCIDENT, REPLAY_INCIDENT
from served_agent import ADMIN_TOKEN, READER_TOKEN, Answer, ServedAgent, served

LOST = f"/v1/incidents/{LOST_INCIDENT.id}"
HOSTILE_NOTE = "<img src=x onerror=alert(1)>\x1b[2J\u202e'; DROP TABLE feedback; --"


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    with served(tmp_path) as agent:
        yield agent


def say(agent: ServedAgent, path: str, body: object, token: str = ADMIN_TOKEN) -> Answer:
    return agent.ask("POST", path, token, body if isinstance(body, bytes) else msgspec.json.encode(body))


@pytest.mark.parametrize("word", ["acknowledge", "snooze", "resolve", "merge", "split", "feedback"])
def test_one_who_may_only_read_says_nothing(agent: ServedAgent, word: str) -> None:
    before = agent.get("/v1/audit").json

    assert say(agent, f"{LOST}/{word}", {}, READER_TOKEN).status == 403
    assert before == agent.get("/v1/audit").json


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        pytest.param(f"{LOST}/snooze", {"until_ns": NOW - 1}, 400, "a time that is past", id="snooze past"),
        pytest.param(f"{LOST}/snooze", {}, 400, "until_ns", id="snooze without a time"),
        pytest.param(f"{LOST}/snooze", {"until_ns": 2**70}, 400, "", id="snooze beyond int64"),
        pytest.param(f"{LOST}/snooze", b"{", 400, "truncated", id="no JSON"),
        pytest.param(f"{LOST}/snooze", b"\xff", 400, "", id="no text"),
        pytest.param(f"{LOST}/resolve", {"note": "x" * 2001}, 400, "<= 2000", id="a long note"),
        pytest.param(f"{LOST}/resolve", b"x" * 70_000, 413, "65536", id="a large body"),
        pytest.param(f"{LOST}/resolve", {"nope": 1}, 400, "nope", id="an unknown field"),
        pytest.param(f"{LOST}/merge", {"into": LOST_INCIDENT.id}, 400, "into itself", id="into itself"),
        pytest.param(f"{LOST}/merge", {"into": "INC-ffffffff"}, 404, "no such incident", id="into nothing"),
        pytest.param(f"{LOST}/merge", {"into": "inc-7f"}, 400, "more than one incident", id="into an ambiguous one"),
        pytest.param(f"{LOST}/merge", {"into": PAST_INCIDENT.id}, 409, "is resolved", id="into a resolved one"),
        pytest.param(f"{LOST}/merge", {"into": REPLAY_INCIDENT.id}, 409, "different clusters", id="into a replay"),
        pytest.param(f"{LOST}/split", {"findings": []}, 400, "length >= 1", id="split of nothing"),
        pytest.param(
            f"{LOST}/split", {"findings": [one.id for one in LOST_FINDINGS]}, 400, "would be left", id="split of all"
        ),
        pytest.param(f"{LOST}/feedback", {"judgement": "maybe"}, 400, "maybe", id="no judgement"),
        pytest.param("/v1/incidents/INC-ffffffff/resolve", {}, 404, "no such incident", id="an unknown incident"),
        pytest.param("/v1/incidents/7f/resolve", {}, 400, "more than one incident", id="an ambiguous one"),
    ],
)
def test_a_word_that_makes_no_sense_gets_one_clear_line_and_changes_nothing(
    agent: ServedAgent, path: str, body: object, status: int, says: str
) -> None:
    before = agent.get("/v1/audit").json
    answer = say(agent, path, body)

    assert status == answer.status, answer.text
    line = answer.json["error"]
    assert says in f"{line['what']} {line['where']}"
    assert "\n" not in line["what"]
    assert before == agent.get("/v1/audit").json


def test_hostile_notes_come_back_as_they_were_and_stand_in_a_chain_that_holds(own_agent: ServedAgent) -> None:
    say(own_agent, f"{LOST}/snooze", {"until_ns": NOW + 10**12, "note": HOSTILE_NOTE})
    say(own_agent, f"{LOST}/feedback", {"judgement": "false", "note": HOSTILE_NOTE})
    detail = own_agent.get(LOST).json

    assert [detail["words"][0]["note"], detail["feedback"][0]["note"]] == [HOSTILE_NOTE, HOSTILE_NOTE]
    assert own_agent.get("/v1/audit/verify").json["holds"]


def test_an_incident_tells_cost_peers_and_base_rate(agent: ServedAgent) -> None:
    detail = agent.get(f"/v1/incidents/{HOSTILE_INCIDENT.id}").json

    assert detail["cost"]["bound"] == "none"
    assert detail["context"]["base_rate"]["sentence"] == "1st here in 30 days, fleet median 0"
    assert detail["context"]["peers"]["sentence"] == "0 of 1 other jobs in the fleet"


def test_what_people_judged_is_counted(own_agent: ServedAgent) -> None:
    say(own_agent, f"{LOST}/feedback", {"judgement": "true"})
    quality = own_agent.get("/v1/quality").json

    assert (quality["all"]["true"], quality["all"]["precision"], quality["all"]["incidents"]) == (1, 1.0, 3)
    assert [one["name"] for one in quality["rules"] if one["precision"] == 1.0] == ["gpu-lost"]


def test_a_resolved_incident_is_out_of_the_list_of_what_is_wrong(own_agent: ServedAgent) -> None:
    answer = say(own_agent, f"{LOST}/resolve", {"note": "card replaced"})
    listed = own_agent.get("/v1/incidents?state=open,acknowledged,snoozed,mitigated").json["incidents"]

    assert answer.json["incident"]["resolved_because"] == "resolved by admin"
    assert LOST_INCIDENT.id not in [one["id"] for one in listed]
