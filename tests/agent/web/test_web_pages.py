import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from api_story import (
    HOSTILE,
    HOSTILE_INCIDENT,
    HOSTILE_PLAN,
    HOSTILE_SEEN,
    LOST_INCIDENT,
    LOST_PLAN,
    REPLAY_INCIDENT,
)
from served_agent import READER_TOKEN, Answer, ServedAgent, served

from agent.web.render import prose
from collectors.model import Origin

pytestmark = pytest.mark.slow

PAGES = [
    "/",
    f"/incidents/{LOST_INCIDENT.id}",
    f"/incidents/{HOSTILE_INCIDENT.id}",
    f"/incidents/{REPLAY_INCIDENT.id}",
    "/plans",
    f"/plans/{LOST_PLAN.id}",
    f"/plans/{HOSTILE_PLAN.id}",
    "/plans/none",
    "/nodes",
    "/jobs/job-uid-llama",
    "/jobs/job-uid-evil",
    "/jobs/none",
    "/audit",
    "/audit?verify=1",
    "/incidents/none",
]
LOST_PAGE = f"/incidents/{LOST_INCIDENT.id}"


class Page(HTMLParser):
    """What a browser would find in a page."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(agent: ServedAgent, path: str) -> Page:
    return Page(agent.get(path).text)


@pytest.fixture
def own_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    """One whose story a test may change."""
    with served(tmp_path_factory.mktemp("own")) as agent:
        yield agent


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_well_formed_html_with_a_title_a_language_and_one_first_heading(
    agent: ServedAgent, path: str
) -> None:
    answer = agent.get(path)
    seen = Page(answer.text)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (seen.open, seen.of("html"), len(seen.of("title")), len(seen.of("h1"))) == ([], [{"lang": "en"}], 1, 1)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_holds_script_style_or_handlers_of_its_own_and_its_policy_forbids_them(
    agent: ServedAgent, path: str
) -> None:
    answer = agent.get(path)
    seen = Page(answer.text)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert [script for script in seen.of("script") if not (script["src"] or "").startswith("/static/")] == []
    assert seen.of("style") == []
    assert [name for _, given in seen.tags for name in given if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_loads_comes_from_the_agent_itself_and_is_there(agent: ServedAgent, path: str) -> None:
    seen = page(agent, path)
    loaded = {given["href"] for given in seen.of("link")} | {given["src"] for given in seen.of("script")}
    loaded |= {given["src"] for given in seen.of("img")}

    assert {agent.get(str(url), token=None).status for url in loaded} == {200}
    assert len(loaded) == 3


@pytest.mark.parametrize("path", PAGES)
def test_every_link_within_leads_somewhere(agent: ServedAgent, path: str) -> None:
    seen = page(agent, path)
    ids = {given["id"] for _, given in seen.tags if "id" in given}
    links = {str(given["href"]) for given in seen.of("a")}

    assert {link for link in links if link.startswith("#") and link[1:] not in ids} == set()
    assert {link for link in links if link.startswith("/") and agent.get(link).status != 200} == set()


@pytest.mark.parametrize("path", PAGES)
def test_every_table_has_headers_with_a_scope_and_can_be_scrolled_by_keyboard(agent: ServedAgent, path: str) -> None:
    text = agent.get(path).text
    seen = Page(text)

    assert [given for given in seen.of("th") if given.get("scope") not in ("col", "row")] == []
    assert text.count("<table") == text.count('<div class="scroll" tabindex="0" role="region"')


@pytest.mark.parametrize("path", ["/", f"/incidents/{HOSTILE_INCIDENT.id}", "/nodes"])
def test_hostile_log_text_is_shown_inert(agent: ServedAgent, path: str) -> None:
    text = agent.get(path).text
    seen = Page(text)

    assert HOSTILE_SEEN in seen.text
    assert len(seen.of("script")) == 1
    assert [character for character in "\x1b\x07\u202e\u202c\u2066\u2069" if character in text] == []
    assert HOSTILE not in text
    assert "49" not in re.findall(r"skull: (\S+)", seen.text)


def test_hostile_text_in_an_address_is_shown_inert(agent: ServedAgent) -> None:
    answer = agent.get("/incidents/%3Cscript%3Ealert(1)%E2%80%AE")

    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text


def test_open_incidents_come_first_the_worst_at_the_top_with_what_is_needed_at_night(agent: ServedAgent) -> None:
    text = page(agent, "/").text
    expected = [
        "Open incidents",
        LOST_INCIDENT.title,
        "gpu-node-07 / GPU 3 / rank 59 / job llama-70b-pretrain",
        "Probable cause",
        "Since 2026-11-22 07:19:30 UTC 12 min 40 s ago",
        "Would do Would cordon gpu-node-07",
        "Loss is NaN",
        "Not live",
        "Lately resolved",
        "vision-vit-l waits 4.1 s per step for data",
    ]
    places = [text.find(words) for words in expected]

    assert -1 not in places
    assert sorted(places) == places


def test_what_is_not_live_is_marked_and_stands_apart(agent: ServedAgent) -> None:
    first, second = page(agent, "/").text.split("Not live")

    assert REPLAY_INCIDENT.title not in first
    assert f"{REPLAY_INCIDENT.title} replay" in second
    assert "This is a replay" in page(agent, f"/incidents/{REPLAY_INCIDENT.id}").text
    assert "This is a" not in page(agent, LOST_PAGE).text


def test_what_is_taken_for_live_stands_with_the_live_and_keeps_its_badge(
    agent: ServedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.web.pages.overview.as_live_of", lambda _request: frozenset(Origin))
    monkeypatch.setattr("agent.web.render.as_live_of", lambda _request: frozenset(Origin))
    text = page(agent, "/").text

    assert "Not live" not in text
    assert f"{REPLAY_INCIDENT.title} replay" in text


def test_what_is_not_live_has_no_age_since_it_has_a_clock_of_its_own(agent: ServedAgent) -> None:
    assert " ago" not in page(agent, f"/incidents/{REPLAY_INCIDENT.id}").text


def test_figures_of_the_fleet_count_live_nodes_only(agent: ServedAgent) -> None:
    assert "1 critical 1 warning 0 info 12 nodes 96 GPUs 1 silent over 60 s" in page(agent, "/").text


def test_an_incident_shows_its_chain_evidence_guards_and_events_in_order(agent: ServedAgent) -> None:
    text = page(agent, LOST_PAGE).text
    expected = [
        LOST_INCIDENT.title,
        "Known 2 s after it began",
        "Why, and what to do",
        "Readings",
        "Findings, the probable root first",
        "xid critical probable root",
        "NVRM: Xid (PCI:0000:3b:00): 79",
        "gpu lost critical",
        "0 W 690 W 07:19:32.000",
        "job crash critical",
        "Decisions",
        "cordon gpu-node-07 undo: uncordon gpu-node-07",
        "G1 no mode is audit: nothing is touched",
        "G6 yes 1 of 128 nodes",
        "Events nearby",
        "+0.0 s 07:19:30.000 xid",
        "+604.0 s",
    ]
    places = [text.find(words) for words in expected]

    assert [words for words, place in zip(expected, places, strict=True) if place < 0] == []
    assert sorted(places) == places


def test_a_chart_shows_the_subject_and_its_peers_over_the_time_of_the_incident(agent: ServedAgent) -> None:
    seen = page(agent, LOST_PAGE)
    lines = [given["class"] for given in seen.of("polyline")]

    assert lines == ["peer"] * 7 + ["guilty"]
    assert "7 other GPUs" in seen.text
    assert (seen.of("svg")[0]["role"], "gpu_power_watts of gpu-node-07" in str(seen.of("svg")[0])) == ("img", True)


def test_an_incident_can_be_taken_along_as_one_file_with_the_browsers_cookie(agent: ServedAgent) -> None:
    text = agent.get(f"/incidents/{LOST_INCIDENT.id}").text
    (link,) = re.findall(r'href="([^"]*/bundle\?rename=true)" download', text)
    answer = agent.get(link, token=None, cookie=agent.cookie)

    assert (answer.status, answer.body[:2]) == (200, b"PK")
    assert answer.headers["content-disposition"] == f'attachment; filename="{LOST_INCIDENT.id}.zip"'


def test_nodes_show_where_sources_disagree(agent: ServedAgent) -> None:
    text = page(agent, "/nodes").text

    assert "Where sources disagree" in text
    assert "node node-w rack r7 kubernetes r8<script> csv" in text


def test_nodes_show_gpus_findings_and_silence_the_worst_first(agent: ServedAgent) -> None:
    text = agent.get("/nodes").text
    rows = re.findall(r'<th scope="row"><bdi>(\S+)</bdi>', text)

    assert rows[:4] == ["gpu-node-07", "gpu-node-11", "h200-ddp", "gpu-node-09"]
    assert 'title="GPU 3: gpu lost, xid"' in text
    assert text.count("silent") == 1


def test_the_audit_says_on_request_whether_its_chain_holds(agent: ServedAgent) -> None:
    assert "The chain holds." not in page(agent, "/audit").text
    assert "The chain holds." in page(agent, "/audit?verify=1").text


def test_the_audit_says_what_a_decision_was_and_leads_to_its_incident(agent: ServedAgent) -> None:
    seen = page(agent, "/audit")

    assert "would do: Would cordon gpu-node-07" in seen.text
    assert LOST_PAGE in {given["href"] for given in seen.of("a")}


def test_commands_in_our_sentences_are_set_as_code_and_tags_in_them_stay_text() -> None:
    assert prose("run `nvidia-smi -q` <b>`<i>`") == "run <code>nvidia-smi -q</code> &lt;b&gt;<code>&lt;i&gt;</code>"


def test_the_audit_is_read_back_page_by_page(own_agent: ServedAgent) -> None:
    for number in range(120):
        own_agent.store.append_audit(time_ns=number, actor="test", what="note", about=f"entry-{number}", detail="{}")
    newest = page(own_agent, "/audit")
    older = [str(given["href"]) for given in newest.of("a") if given.get("rel") == "next"]
    oldest = page(own_agent, older[0])

    assert newest.text.count("entry-") + oldest.text.count("entry-") == 120
    assert "entry-119" in newest.text
    assert "entry-0" in oldest.text
    assert [given for given in oldest.of("a") if given.get("rel") == "next"] == []


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/incidents/none", 404, "no such incident: none"),
        ("/incidents/7f", 400, "INC-7f9ea7b0"),
        ("/audit?before=x", 400, "before is no sequence number"),
    ],
)
def test_trouble_is_a_page_with_a_way_on(agent: ServedAgent, path: str, status: int, says: str) -> None:
    answer = agent.get(path)

    assert (answer.status, "All open incidents" in answer.text) == (status, True)
    assert says in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_no_page_opens_without_a_credential(agent: ServedAgent, path: str) -> None:
    assert agent.get(path, token=None).status == 401


def browse(agent: ServedAgent, method: str, path: str, body: str = "") -> Answer:
    kind = "application/x-www-form-urlencoded"
    return agent.ask(method, path, None, body.encode(), cookie=agent.cookie, content_type=kind, accept="text/html")


def test_a_browser_acknowledges_by_the_pages_own_form_without_javascript(own_agent: ServedAgent) -> None:
    seen = Page(browse(own_agent, "GET", LOST_PAGE).text)
    form = next(given for given in seen.of("form") if "acknowledge" in str(given["action"]))
    token = next(given["value"] for given in seen.of("input") if given["name"] == "csrf_token")
    answer = browse(own_agent, "POST", str(form["action"]), f"csrf_token={token}")

    assert (answer.status, answer.headers["location"]) == (303, LOST_PAGE)
    after = Page(browse(own_agent, "GET", LOST_PAGE).text)
    assert "acknowledged" in after.text
    assert [given for given in after.of("form") if "acknowledge" in str(given["action"])] == []


def test_another_sites_form_acknowledges_nothing(own_agent: ServedAgent) -> None:
    assert browse(own_agent, "POST", f"{LOST_PAGE}/acknowledge", "csrf_token=guess").status == 403
    assert "I have it in hand" in browse(own_agent, "GET", LOST_PAGE).text


def test_one_who_may_only_read_is_offered_no_button(agent: ServedAgent) -> None:
    assert page(agent, LOST_PAGE).of("button") == []
    assert agent.post(f"{LOST_PAGE}/acknowledge", READER_TOKEN).status == 403


def test_an_empty_store_says_that_nothing_is_known_rather_than_well(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with served(tmp_path_factory.mktemp("empty"), story=False) as agent:
        assert "nothing is known, which is not the same as well" in page(agent, "/").text
        assert "No collector has sent anything yet." in page(agent, "/nodes").text
        assert "Nothing has been decided or done yet." in page(agent, "/audit").text


def test_pages_are_not_kept_but_their_files_are_for_good(agent: ServedAgent) -> None:
    answer = agent.get("/")
    url = str(Page(answer.text).of("script")[0]["src"])
    script = agent.get(url, token=None)

    assert answer.headers["cache-control"] == "no-store"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert agent.get(url, None, if_none_match=script.headers["etag"]).status == 304
    assert "immutable" not in agent.get(url.partition("?")[0], None).headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fbase.html", "%2e%2e%2f%2e%2e%2frender.py", "base.html"])
def test_only_the_files_meant_to_be_served_are(agent: ServedAgent, name: str) -> None:
    assert agent.get(f"/static/{name}", token=None).status == 404


def test_without_javascript_a_page_renews_itself(agent: ServedAgent) -> None:
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in agent.get("/").text


def test_a_plan_is_shown_with_all_that_a_person_needs_to_say_yes(agent: ServedAgent) -> None:
    seen = page(agent, f"/plans/{LOST_PLAN.id}").text

    for said in (
        LOST_PLAN.digest,
        "1 cordon node gpu-node-07 Node gpu-node-07 node-uid-7",
        "1 node, 8 pods, 1 job, 64 ranks, 64 GPUs",
        "uncordon Node gpu-node-07",
        "G1 no mode is audit: nothing is touched",
        "NVRM: Xid (PCI:0000:3b:00): 79",
    ):
        assert said in seen


def test_plans_that_wait_are_listed_and_stand_on_their_incidents_page(agent: ServedAgent) -> None:
    assert f"{LOST_PLAN.id} awaiting" in page(agent, "/plans").text
    assert f"awaiting {LOST_PLAN.id} : cordon node gpu-node-07" in page(agent, LOST_PAGE).text


def test_who_may_only_read_is_shown_no_form(agent: ServedAgent) -> None:
    assert "Approve exactly this" not in page(agent, f"/plans/{LOST_PLAN.id}").text
