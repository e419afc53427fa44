import json
from collections.abc import Iterator

import pytest
from api_story import BEGAN, HOSTILE, HOSTILE_INCIDENT, LOST_FINDINGS, LOST_INCIDENT, NOW, REPLAY_INCIDENT
from served_agent import ADMIN_TOKEN, READER_TOKEN, ServedAgent, served

from agent.advisor.explain import CONFIDENCES
from detectors.model import IncidentState

LOST_PATH = f"/v1/incidents/{LOST_INCIDENT.id}"


@pytest.fixture
def own_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    """One whose story a test may change."""
    with served(tmp_path_factory.mktemp("own")) as agent:
        yield agent


def ids(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [incident["id"] for incident in answer["incidents"]]


def test_incidents_come_newest_first(agent: ServedAgent) -> None:
    assert ids(agent.get("/v1/incidents").json) == ["INC-badc0de1", "INC-7f3a91c2", "INC-00c4fe11", "INC-7f9ea7b0"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("state=resolved", ["INC-00c4fe11"], id="one state"),
        pytest.param("state=open,resolved&origin=live", 3, id="states with a comma"),
        pytest.param("state=open&state=resolved&origin=live", 3, id="states one by one"),
        pytest.param("origin=replay", ["INC-7f9ea7b0"], id="origin"),
        pytest.param("cluster=recorded", ["INC-7f9ea7b0"], id="cluster"),
        pytest.param("cluster=nowhere", [], id="a cluster without any"),
        pytest.param("limit=1", ["INC-badc0de1"], id="limit"),
    ],
)
def test_filters_choose(agent: ServedAgent, query: str, expected: list[str] | int) -> None:
    found = ids(agent.get(f"/v1/incidents?{query}").json)

    assert expected == (len(found) if isinstance(expected, int) else found)


def test_pages_follow_each_other_until_the_last_says_so(agent: ServedAgent) -> None:
    seen, before = [], ""
    for _ in range(10):
        page = agent.get(f"/v1/incidents?limit=1{before}").json
        seen += ids(page)
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"

    assert ids(agent.get("/v1/incidents").json) == seen


def test_an_incident_comes_with_findings_in_causal_order_decisions_and_events(agent: ServedAgent) -> None:
    detail = agent.get(LOST_PATH).json

    assert [finding.id for finding in LOST_FINDINGS] == [finding["id"] for finding in detail["findings"]]
    assert [word["allows"] for word in detail["decisions"][0]["guards"]] == [False, True, True]
    assert [event["kind"] for event in detail["events"]] == ["xid", "gpu_lost", "process_exit"]


def test_training_steps_are_no_events_nearby(agent: ServedAgent) -> None:
    assert "training_step" not in {event["kind"] for event in agent.get(LOST_PATH).json["events"]}


def test_the_beginning_of_an_id_is_enough(agent: ServedAgent) -> None:
    assert LOST_INCIDENT.id == agent.get("/v1/incidents/7f3a").json["incident"]["id"]


def test_a_figure_that_is_no_number_is_told_as_a_word(agent: ServedAgent) -> None:
    answer = agent.get(f"/v1/incidents/{HOSTILE_INCIDENT.id}")
    evidence = answer.json["findings"][0]["evidence"][0]
    events = agent.get(LOST_PATH).json["events"]

    assert (evidence["value"], evidence["expected"]) == ("NaN", "Infinity")
    assert events[-1]["values"] == {"exit_code": 134.0, "loss": "NaN"}
    json.loads(answer.body, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_hostile_text_reaches_programs_as_it_was(agent: ServedAgent) -> None:
    finding = agent.get(f"/v1/incidents/{HOSTILE_INCIDENT.id}").json["findings"][0]

    assert finding["evidence"][0]["line"] == HOSTILE


def test_an_explanation_names_the_incident_and_ranks_its_causes(agent: ServedAgent) -> None:
    explanation = agent.get(f"/v1/incidents/{REPLAY_INCIDENT.id}/explanation").json
    places = [CONFIDENCES.index(cause["confidence"]) for cause in explanation["causes"]]

    assert explanation["incident"] == REPLAY_INCIDENT.id
    assert len(places) > 1
    assert sorted(places) == places


def test_an_explanation_says_what_its_references_stand_for(agent: ServedAgent) -> None:
    causes = agent.get(f"{LOST_PATH}/explanation").json["causes"]
    said = {ground["reference"]: ground["text"] for cause in causes for ground in cause["evidence"]}

    assert said[f"{LOST_FINDINGS[0].id}#0"] == LOST_FINDINGS[0].evidence[0].text


def test_acknowledging_changes_the_state_and_is_audited_under_the_name_of_the_token(own_agent: ServedAgent) -> None:
    answer = own_agent.post(f"{LOST_PATH}/acknowledge")

    assert (answer.status, answer.json["incident"]["state"]) == (200, "acknowledged")
    newest = own_agent.get("/v1/audit?order=newest&limit=1").json["entries"][0]
    assert ("admin", "acknowledge", LOST_INCIDENT.id) == (newest["actor"], newest["what"], newest["about"])
    assert newest["time_ns"] == NOW


def test_one_who_may_only_read_cannot_acknowledge(own_agent: ServedAgent) -> None:
    assert own_agent.post(f"{LOST_PATH}/acknowledge", READER_TOKEN).status == 403
    incident = own_agent.store.incident(LOST_INCIDENT.id)
    assert incident is not None
    assert IncidentState.OPEN is incident.state


def test_a_cookie_without_the_csrf_token_cannot_acknowledge(own_agent: ServedAgent) -> None:
    forged = own_agent.post(f"{LOST_PATH}/acknowledge", token=None, cookie=own_agent.cookie)
    own = own_agent.post(
        f"{LOST_PATH}/acknowledge", token=None, cookie=own_agent.cookie, x_csrf_token=own_agent.session.csrf_token
    )

    assert (forged.status, own.status) == (403, 200)


def test_the_audit_chain_holds_and_its_head_is_the_newest_entry(agent: ServedAgent) -> None:
    verified = agent.get("/v1/audit/verify").json
    newest = agent.get("/v1/audit?order=newest&limit=1").json["entries"][0]

    assert verified == {
        "holds": True,
        "broken_at": None,
        "head": newest["hash"],
        "sequence": newest["sequence"],
        "first": 1,
        "head_problem": "",
        "head_at": None,
    }


def test_the_audit_is_read_on_from_a_sequence_number(agent: ServedAgent) -> None:
    every = [entry["sequence"] for entry in agent.get("/v1/audit").json["entries"]]

    assert every[1:] == [entry["sequence"] for entry in agent.get(f"/v1/audit?after={every[0]}").json["entries"]]


def test_readings_come_in_the_metrics_unit_with_their_times(agent: ServedAgent) -> None:
    query = (
        f"subject=prod-eu/gpu/GPU-00000000-4d1c-9a70&metric=gpu_power_watts&since={BEGAN}&until={BEGAN + 11 * 10**9}"
    )
    readings = agent.get(f"/v1/readings?{query}").json

    assert readings["times_ns"] == [BEGAN, BEGAN + 5 * 10**9, BEGAN + 10**10]
    assert (readings["unit"], readings["truncated"]) == ("watts", False)
    assert pytest.approx([690, 171, 171], rel=0.02) == readings["values"]


def test_a_long_stretch_of_readings_is_cut_to_the_newest_and_says_so(
    agent: ServedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.api.routes.readings.MOST_POINTS", 2)
    query = (
        f"subject=prod-eu/gpu/GPU-00000000-4d1c-9a70&metric=gpu_power_watts&since={BEGAN}&until={BEGAN + 11 * 10**9}"
    )
    readings = agent.get(f"/v1/readings?{query}").json

    assert (readings["times_ns"], readings["truncated"]) == ([BEGAN + 5 * 10**9, BEGAN + 10**10], True)


def test_every_door_asks_for_a_credential(agent: ServedAgent) -> None:
    paths = ["/v1/incidents", LOST_PATH, "/v1/nodes", "/v1/audit", "/v1/version", "/v1/openapi.json"]

    assert {401} == {agent.get(path, token=None).status for path in paths}


def test_a_collectors_token_opens_none(agent: ServedAgent) -> None:
    assert agent.get("/v1/incidents", token="c" * 40).status == 403


def test_answers_are_not_to_be_kept(agent: ServedAgent) -> None:
    assert agent.get("/v1/incidents", ADMIN_TOKEN).headers["cache-control"] == "no-store"
