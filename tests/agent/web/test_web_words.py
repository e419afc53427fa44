"""What people say on an incident's page, by its own forms, without JavaScript."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from api_story import HOSTILE_INCIDENT, LOST_FINDINGS, LOST_INCIDENT, LOST_PLAN, PAST_INCIDENT
from served_agent import READER_TOKEN, Answer, ServedAgent, served

from detectors.model import IncidentState

pytestmark = pytest.mark.slow

LOST = f"/incidents/{LOST_INCIDENT.id}"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[ServedAgent]:
    with served(tmp_path) as agent:
        yield agent


def send(agent: ServedAgent, path: str, token: str | None = None, **fields: str | list[str]) -> Answer:
    csrf = agent.session.csrf_token if token is None else token
    body = urlencode({"csrf_token": csrf, **fields}, doseq=True).encode()
    return agent.ask("POST", path, None, body, cookie=agent.cookie, content_type=FORM)


@pytest.mark.parametrize(
    ("word", "fields", "state"),
    [
        pytest.param("acknowledge", {}, IncidentState.ACKNOWLEDGED, id="acknowledge"),
        pytest.param("snooze", {"seconds": "3600", "note": "known"}, IncidentState.SNOOZED, id="snooze"),
        pytest.param("resolve", {"note": "replaced"}, IncidentState.RESOLVED, id="resolve"),
        pytest.param("feedback", {"judgement": "false"}, IncidentState.OPEN, id="feedback"),
        pytest.param("split", {"finding": [LOST_FINDINGS[1].id]}, IncidentState.OPEN, id="split"),
        pytest.param("merge", {"into": HOSTILE_INCIDENT.id}, IncidentState.RESOLVED, id="merge"),
    ],
)
def test_each_form_says_its_word_and_leads_back_to_the_page(
    browser: ServedAgent, word: str, fields: dict[str, str | list[str]], state: IncidentState
) -> None:
    page = browser.ask("GET", LOST, None, cookie=browser.cookie).text
    answer = send(browser, f"{LOST}/{word}", **fields)
    after = browser.store.incident(LOST_INCIDENT.id)

    assert f'action="{LOST}/{word}"' in page
    assert (answer.status, answer.headers["location"]) == (303, LOST)
    assert after is not None
    assert state is after.state


@pytest.mark.parametrize("word", ["snooze", "resolve", "feedback", "merge", "split"])
def test_a_form_of_another_site_says_nothing(browser: ServedAgent, word: str) -> None:
    assert send(browser, f"{LOST}/{word}", token="guessed", seconds="3600", judgement="true").status == 403
    assert [entry for entry in browser.store.audit() if entry.actor == "admin"] == []


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        pytest.param(f"{LOST}/snooze", {"seconds": "-5"}, 400, id="snooze below zero"),
        pytest.param(f"{LOST}/snooze", {"seconds": "0"}, 400, id="snooze for nothing"),
        pytest.param(f"{LOST}/split", {}, 400, id="split of nothing"),
        pytest.param(f"{LOST}/merge", {"into": "<script>"}, 400, id="merge into a tag"),
        pytest.param(f"{LOST}/merge", {"into": LOST_INCIDENT.id}, 400, id="merge into itself"),
        pytest.param(f"{LOST}/feedback", {"judgement": "perhaps"}, 400, id="no judgement"),
        pytest.param(f"/incidents/{PAST_INCIDENT.id}/resolve", {}, 409, id="resolved already"),
    ],
)
def test_a_form_that_makes_no_sense_gets_a_page_with_a_way_on(
    browser: ServedAgent, path: str, fields: dict[str, str], status: int
) -> None:
    answer = send(browser, path, **fields)

    assert status == answer.status
    assert "<script>" not in answer.text
    assert 'href="/"' in answer.text
    assert [entry for entry in browser.store.audit() if entry.actor == "admin"] == []


def test_a_hostile_note_is_shown_inert(browser: ServedAgent) -> None:
    send(browser, f"{LOST}/resolve", note="<script>alert(1)</script>\u202etxt\x1b[2J")
    text = browser.ask("GET", LOST, None, cookie=browser.cookie).text

    assert "&lt;script&gt;alert(1)&lt;/script&gt;txt" in text
    assert not {"\u202e", "\x1b"} & set(text)


def test_one_who_may_only_read_is_offered_no_form(browser: ServedAgent) -> None:
    text = browser.ask("GET", LOST, READER_TOKEN).text

    assert [word for word in ("snooze", "resolve", "merge", "split", "feedback") if f"{LOST}/{word}" in text] == []


def test_the_page_tells_cost_peers_and_how_usual_it_is(browser: ServedAgent) -> None:
    text = browser.ask("GET", LOST, READER_TOKEN).text

    assert [word for word in ("<dt>Cost</dt>", "<dt>Peers</dt>", "1st here in 30 days") if word not in text] == []


def test_a_plan_is_approved_by_the_digest_that_its_page_shows(browser: ServedAgent) -> None:
    path = f"/plans/{LOST_PLAN.id}"
    page = browser.ask("GET", path, None, cookie=browser.cookie).text
    answer = send(browser, f"{path}/approve", digest=LOST_PLAN.digest, note="seen")
    entry = browser.store.journal.get(LOST_PLAN.id)

    assert f'name="digest" value="{LOST_PLAN.digest}"' in page
    assert (answer.status, answer.headers["location"]) == (303, path)
    assert entry is not None and entry.approval is not None
    assert (entry.state, entry.approval.who) == ("ready", "admin")


@pytest.mark.parametrize(
    ("word", "fields", "token", "status"),
    [
        pytest.param("approve", {"digest": "0" * 64}, None, 409, id="another-digest"),
        pytest.param("approve", {}, None, 409, id="no-digest"),
        pytest.param("approve", {"digest": LOST_PLAN.digest}, "guessed", 403, id="forged"),
        pytest.param("reject", {}, "guessed", 403, id="forged-reject"),
    ],
)
def test_a_plan_is_not_approved_by_any_other_way(
    browser: ServedAgent, word: str, fields: dict[str, str], token: str | None, status: int
) -> None:
    answer = send(browser, f"/plans/{LOST_PLAN.id}/{word}", token, **fields)
    entry = browser.store.journal.get(LOST_PLAN.id)

    assert answer.status == status
    assert entry is not None and entry.state == "awaiting"


def test_a_plan_is_rejected_on_its_page(browser: ServedAgent) -> None:
    assert send(browser, f"/plans/{LOST_PLAN.id}/reject", note="not now").status == 303
    entry = browser.store.journal.get(LOST_PLAN.id)
    assert entry is not None and entry.state == "lapsed"
