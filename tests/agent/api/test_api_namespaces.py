"""Readers of single namespaces, at every door: what they see, and that nothing of anybody else's reaches them."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from api_story import NOW
from served_agent import ADMIN_TOKEN, READER_TOKEN, Answer, ServedAgent
from tenants_served import ADMIN_OF_OURS, BODIES, BOTH, ODD, READER, tenants_served
from tenants_story import (
    EMPTIED,
    GPU,
    HELD_SINCE,
    HIDDEN,
    INCIDENTS,
    JOB,
    LED_BY_THEM,
    MARK,
    MIXED,
    MIXED_PLAN,
    NODE,
    NODE_PLAN,
    OUR_INCIDENT,
    OUR_PLAN,
    OURS,
    PLANS,
    SEEN,
    SLOW,
    THEIR_GPU,
    THEIR_INCIDENT,
    THEIR_JOB,
    THEIR_PLAN,
)

from agent.access.guard import PUBLIC, is_cut, right_of
from agent.server import doors
from agent.server.app import discovered_routes

pytestmark = pytest.mark.slow

CUT, REFUSED, OPEN = "cut", "refused", "public"
DECIDED = {
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): REFUSED,
    ("GET", "/login"): OPEN,
    ("POST", "/logout"): CUT,
    ("POST", "/v1/login-links"): CUT,
    ("GET", "/static/{name}"): OPEN,
    ("GET", "/"): CUT,
    ("GET", "/audit"): CUT,
    ("GET", "/incidents/{id}"): CUT,
    ("POST", "/incidents/{id}/acknowledge"): CUT,
    ("POST", "/incidents/{id}/snooze"): CUT,
    ("POST", "/incidents/{id}/resolve"): CUT,
    ("POST", "/incidents/{id}/feedback"): CUT,
    ("POST", "/incidents/{id}/merge"): CUT,
    ("POST", "/incidents/{id}/split"): CUT,
    ("GET", "/jobs/{name:path}"): CUT,
    ("GET", "/nodes"): CUT,
    ("GET", "/plans"): CUT,
    ("GET", "/plans/{id}"): CUT,
    ("POST", "/plans/{id}/approve"): CUT,
    ("POST", "/plans/{id}/reject"): CUT,
    ("GET", "/v1/actions"): CUT,
    ("POST", "/v1/actions/pause"): REFUSED,
    ("POST", "/v1/actions/resume"): REFUSED,
    ("GET", "/v1/audit"): CUT,
    ("GET", "/v1/audit/verify"): REFUSED,
    ("GET", "/v1/detectors"): CUT,
    ("GET", "/v1/incidents"): CUT,
    ("GET", "/v1/incidents/{id}"): CUT,
    ("GET", "/v1/incidents/{id}/bundle"): REFUSED,
    ("GET", "/v1/incidents/{id}/explanation"): CUT,
    ("GET", "/v1/incidents/{id}/policy"): CUT,
    ("POST", "/v1/incidents/{id}/acknowledge"): CUT,
    ("POST", "/v1/incidents/{id}/snooze"): CUT,
    ("POST", "/v1/incidents/{id}/resolve"): CUT,
    ("POST", "/v1/incidents/{id}/feedback"): CUT,
    ("POST", "/v1/incidents/{id}/merge"): CUT,
    ("POST", "/v1/incidents/{id}/split"): CUT,
    ("GET", "/v1/jobs"): CUT,
    ("GET", "/v1/jobs/{name}"): CUT,
    ("GET", "/v1/look"): REFUSED,
    ("GET", "/v1/nodes"): CUT,
    ("GET", "/v1/openapi.json"): CUT,
    ("GET", "/v1/plans"): CUT,
    ("GET", "/v1/plans/{id}"): CUT,
    ("POST", "/v1/plans/{id}/approve"): CUT,
    ("POST", "/v1/plans/{id}/reject"): CUT,
    ("GET", "/v1/quality"): REFUSED,
    ("GET", "/v1/readings"): CUT,
    ("GET", "/v1/version"): CUT,
}
"""What each door does with a reader of single namespaces. Who adds a route decides here, and docs/access.md says it."""

INCIDENT_IDS = [*(one.id for one in INCIDENTS), "INC-MIXED", "INC-ZEBRA", "INC", "i", "INC-NOBODY00"]
PLAN_IDS = [*(plan.id for plan in PLANS), *(one.id for one in INCIDENTS), "PLN-", "PLN-NOBODY", "P"]
JOB_IDS = ["train", "train-2", "train-3", JOB.id, THEIR_JOB.id, f"secret-{MARK}", f"unknown-{MARK}", "nobody"]
SUBJECTS = [str(one) for one in (GPU, THEIR_GPU, JOB, NODE)]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    folder = tmp_path_factory.mktemp("tenants")
    with tenants_served(folder) as agent:
        yield agent


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    """One that nobody else asks."""
    with tenants_served(tmp_path) as agent:
        yield agent


def every_route() -> list[tuple[str, str, object]]:
    routes = [*doors.ROUTES, *discovered_routes()]
    return [
        (method, route.path, route.endpoint)
        for route in routes
        for method in sorted((route.methods or {"GET"}) - {"HEAD"})
    ]


def test_every_route_of_the_product_has_been_decided_on_and_does_what_was_decided() -> None:
    found = {
        (method, path): OPEN if right_of(endpoint) == PUBLIC else CUT if is_cut(endpoint) else REFUSED
        for method, path, endpoint in every_route()
    }

    assert found == DECIDED


def addresses(path: str) -> list[tuple[str, str]]:
    """Every address of a route that is worth asking, with the part that its asker named."""
    if path == "/v1/readings":
        window = f"metric=gpu_power_watts&since=0&until={NOW}"
        return [(f"{path}?subject={subject}&{window}", subject) for subject in SUBJECTS]
    if path == "/audit":
        return [(path, ""), *((f"{path}?before={number}", "") for number in range(2, 60)), (f"{path}?verify=1", "")]
    if path == "/v1/audit":
        asked = [f"{path}?limit={limit}&order={order}" for limit in (1, 3, 1000) for order in ("newest", "oldest")]
        return [(url, "") for url in (*asked, f"{path}?after=7&order=newest", f"{path}?after=7")]
    if path in ("/v1/incidents", "/v1/plans"):
        urls = [f"{path}?limit={limit}&before={before}" for limit in (1, 2, 1000) for before in (NOW - 10**12, 2**62)]
        more = [f"{path}?state=resolved", f"{path}?incident={THEIR_INCIDENT.id}", f"{path}?incident={MIXED.id}"]
        return [(path, ""), *((url, THEIR_INCIDENT.id) for url in urls + more)]
    if "{" not in path:
        return [(path, "")]
    ids = PLAN_IDS if "/plans/" in path else JOB_IDS if "/jobs/" in path else INCIDENT_IDS
    return [(re.sub(r"\{[^}]+\}", quote(one, safe="" if "/v1/" not in path else "/"), path), one) for one in ids]


def said_beside(answer: Answer, asked: str) -> str:
    """An answer's words in lower case, without those that its asker brought along."""
    text = (answer.body.decode("utf-8", "replace") + str(answer.headers)).lower()
    asked_for = {asked, quote(asked, safe=""), quote(asked), asked.removeprefix("prod-eu/gpu/")} - {""}
    for named in sorted(asked_for, key=len, reverse=True):
        text = text.replace(named.lower(), "")
    return text


GETS = sorted({path for (method, path), what in DECIDED.items() if method == "GET" and what != OPEN})
POSTS = sorted({path for (method, path), what in DECIDED.items() if method == "POST" and path != "/logout"})


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize("path", GETS)
def test_no_answer_that_is_read_holds_a_word_of_a_hidden_namespace(agent: ServedAgent, path: str, accept: str) -> None:
    for url, asked in addresses(path):
        for token in (READER, ADMIN_OF_OURS):
            answer = agent.get(url, token, accept=accept)

            assert answer.status < 500, url
            assert MARK not in said_beside(answer, asked), url


def test_the_marks_are_there_for_who_may_read_them(agent: ServedAgent) -> None:
    """Else the test above could not fail."""
    shows = {path: any(MARK in said_beside(agent.get(u), asked) for u, asked in addresses(path)) for path in GETS}
    blind = {"/metrics", "/v1/detectors", "/v1/openapi.json", "/v1/version", "/v1/audit/verify", "/v1/readings"}
    blind |= {"/v1/quality", "/v1/look", "/v1/incidents/{id}/bundle"}

    assert {path for path, marked in shows.items() if not marked} <= blind


@pytest.mark.parametrize("path", POSTS)
def test_no_answer_to_a_change_holds_a_word_of_a_hidden_namespace(own_agent: ServedAgent, path: str) -> None:
    word = path.rpartition("/")[2]
    body = msgspec.json.encode(BODIES.get(word, {"note": ""} if "{" in path else {"reason": "x"}))
    form = f"csrf_token=x&judgement=true&seconds=60&finding={SLOW.id}&into={OUR_INCIDENT.id}&digest={THEIR_PLAN.digest}"
    sent = body if path.startswith("/v1/") else form.encode()
    for url, asked in addresses(path):
        answer = own_agent.ask("POST", url, ADMIN_OF_OURS, sent)

        assert answer.status < 500, url
        assert MARK not in said_beside(answer, asked), url


@pytest.mark.parametrize(
    ("method", "path"), sorted(key for key, what in DECIDED.items() if what == REFUSED), ids=lambda part: part
)
def test_what_cannot_be_cut_refuses_with_a_line(agent: ServedAgent, method: str, path: str) -> None:
    for url, asked in addresses(path):
        answer = agent.ask(method, url, ADMIN_OF_OURS)

        assert answer.status == 403
        assert (
            answer.json["error"]["what"]
            == f"admin-of-ours is limited to {OURS} and may not reach what lies outside namespaces"
        )
        assert MARK not in said_beside(answer, asked)


BY_ID = sorted((method, path) for (method, path), what in DECIDED.items() if "{id}" in path and what == CUT)


@pytest.mark.parametrize(("method", "path"), BY_ID, ids=lambda part: part)
def test_what_is_hidden_answers_as_what_does_not_exist(agent: ServedAgent, method: str, path: str) -> None:
    word = path.rpartition("/")[2]
    body = msgspec.json.encode(BODIES.get(word, {"note": ""})) if path.startswith("/v1/") else b"note=x"
    nobody = "PLN-NOBODY" if "/plans/" in path else "INC-NOBODY00"
    hidden = [THEIR_PLAN.id, NODE_PLAN.id, MIXED_PLAN.id] if "/plans/" in path else []

    def answer_for(id_: str) -> tuple[int, str]:
        answer = agent.ask(method, path.replace("{id}", id_), ADMIN_OF_OURS, body if method == "POST" else b"")
        return answer.status, answer.text.replace(id_, "ID")

    absent = answer_for(nobody)

    assert [answer_for(id_) for id_ in [*hidden, *(one.id for one in HIDDEN)]] == [absent] * (len(hidden) + len(HIDDEN))


@pytest.mark.parametrize("path", ["/v1/jobs/{}", "/jobs/{}"])
def test_a_hidden_job_answers_as_one_that_does_not_exist(agent: ServedAgent, path: str) -> None:
    def answer_for(name: str) -> tuple[int, str]:
        answer = agent.get(path.format(name), READER)
        return answer.status, answer.text.replace(name, "NAME")

    hidden = [f"secret-{MARK}", f"unknown-{MARK}", f"never-placed-{MARK}"]
    assert [answer_for(name) for name in hidden] == [answer_for("nobody-at-all")] * 3


def test_lists_hold_ones_own_and_count_the_rest(agent: ServedAgent) -> None:
    incidents = agent.get("/v1/incidents", READER).json
    jobs = agent.get("/v1/jobs", READER).json
    nodes = agent.get("/v1/nodes", READER).json
    plans = agent.get("/v1/plans", READER).json

    assert ({one["id"] for one in incidents["incidents"]}, incidents["hidden"]) == (
        {one.id for one in SEEN},
        len(HIDDEN),
    )
    assert ([job["name"] for job in jobs["jobs"]], jobs["hidden"]) == (["train-2", "train-3", "train"], 4)
    assert ([node["name"] for node in nodes["nodes"]], nodes["hidden"]) == (["node-shared"], 2)
    assert (nodes["contradictions"], nodes["contradictions_total"], nodes["contradictions_hidden"]) == ([], 0, 1)
    assert ([plan["id"] for plan in plans["plans"]], plans["hidden"]) == ([OUR_PLAN.id], 3)


def test_who_is_not_limited_sees_everything_and_nothing_counted(agent: ServedAgent) -> None:
    incidents = agent.get("/v1/incidents").json
    detail = agent.get(f"/v1/incidents/{MIXED.id}").json
    jobs, nodes, plans, audit = (agent.get(f"/v1/{name}").json for name in ("jobs", "nodes", "plans", "audit"))

    assert ({one["id"] for one in incidents["incidents"]}, incidents["hidden"]) == ({one.id for one in INCIDENTS}, 0)
    assert (detail["incident"]["title"], detail["incident"]["root"]) == (MIXED.title, MIXED.root)
    assert [one["id"] for one in detail["findings"]] == list(MIXED.findings)
    assert set(detail["hidden"].values()) == {0}
    assert [len(jobs["jobs"]), len(nodes["nodes"]), len(plans["plans"])] == [7, 3, len(PLANS)]
    assert [one["hidden"] for one in (jobs, nodes, plans, audit)] == [0, 0, 0, 0]
    assert all(len(entry["hash"]) == 64 for entry in audit["entries"])


def test_of_a_mixed_incident_one_sees_ones_own_part_and_how_much_more_there_is(agent: ServedAgent) -> None:
    detail = agent.get(f"/v1/incidents/{MIXED.id}", READER).json

    assert detail["incident"]["title"] == "telemetry lost on node node-shared"
    assert [(one["summary"], len(one["evidence"]), one["hidden"]) for one in detail["findings"]] == [
        ("telemetry lost on node node-shared", 0, 1),
        ("train hangs", 1, 0),
    ]
    assert detail["incident"]["namespaces"] == [OURS]
    assert [event["line"] for event in detail["events"]] == ["our log says"]
    assert detail["hidden"] == {"findings": 1, "evidence": 1, "events": 2, "words": 2, "similar": 0, "plans": 1}
    assert "2 more findings" not in agent.get(f"/incidents/{MIXED.id}", READER).text
    assert "1 more finding of it that you may not read" in agent.get(f"/incidents/{MIXED.id}", READER).text


def test_a_hidden_root_is_not_made_up_for(agent: ServedAgent) -> None:
    told = agent.get(f"/v1/incidents/{LED_BY_THEM.id}", READER).json["incident"]
    explained = agent.get(f"/v1/incidents/{LED_BY_THEM.id}/explanation", READER).json
    empty = agent.get(f"/v1/incidents/{EMPTIED.id}", READER).json["incident"]

    assert (told["root"], told["kind"], told["hidden"]) == ("", "straggler", 1)
    assert (explained["causes"], explained["hidden"]) == ([], 1)
    assert explained["summary"].endswith("The probable cause is not among what you may read.")
    assert (empty["findings"], empty["names"], empty["subject"]["kind"]) == ([], {}, "cluster")


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
def test_paging_gives_each_of_ones_own_once_and_the_same_count_on_every_page(agent: ServedAgent, limit: int) -> None:
    before, found, counts = 2**62, [], set()
    while before is not None:
        page = agent.get(f"/v1/incidents?limit={limit}&before={before}&state=resolved,open", READER).json
        found += [one["id"] for one in page["incidents"]]
        counts.add(page["hidden"])
        before = page["next_before"]

    every = agent.get("/v1/incidents?state=resolved,open", READER).json
    assert (found, counts) == ([one["id"] for one in every["incidents"]], {every["hidden"]})
    assert len(page["incidents"]) > 0 or not found


def test_no_cursor_tells_when_something_hidden_opened(agent: ServedAgent) -> None:
    times = sorted({one.opened_ns + shift for one in INCIDENTS for shift in (-1, 0, 1)})
    pages = [agent.get(f"/v1/incidents?before={time}", READER).json for time in times]
    plans = [agent.get(f"/v1/plans?before={plan.made_ns + 1}", READER).json for plan in PLANS]

    assert {page["hidden"] for page in pages} == {len(HIDDEN)}
    assert {page["next_before"] for page in (*pages, *plans)} == {None}
    assert {page["hidden"] for page in plans} == {3}


def test_the_audit_shows_what_was_said_of_ones_own_incidents_without_hashes(agent: ServedAgent) -> None:
    page = agent.get("/v1/audit?limit=1000", READER).json
    every = agent.get("/v1/audit?limit=1000").json

    about = {entry["about"] for entry in page["entries"]}
    assert about == {OUR_INCIDENT.id, "INC-OURSPAST", OUR_PLAN.id}
    assert {entry["hash"] + entry["previous_hash"] for entry in page["entries"]} == {""}
    assert len(page["entries"]) + page["hidden"] == len(every["entries"])
    assert page["looked_to"] == every["looked_to"]


def test_a_walk_through_the_audit_page_by_page_finds_the_same(agent: ServedAgent) -> None:
    after, found = 0, []
    while True:
        page = agent.get(f"/v1/audit?after={after}&limit=2", READER).json
        found += [entry["sequence"] for entry in page["entries"]]
        if page["looked_to"] <= after:
            break
        after = page["looked_to"]

    every = agent.get("/v1/audit?limit=1000", READER).json["entries"]
    newest = agent.get("/v1/audit?limit=1000&order=newest", READER).json["entries"]
    assert found == [entry["sequence"] for entry in every] == [entry["sequence"] for entry in reversed(newest)]


def test_readings_begin_with_the_present_holder(agent: ServedAgent) -> None:
    window = f"metric=gpu_power_watts&since=0&until={NOW}"
    ours = agent.get(f"/v1/readings?subject={GPU}&{window}", READER).json
    every = agent.get(f"/v1/readings?subject={GPU}&{window}").json
    theirs = agent.get(f"/v1/readings?subject={THEIR_GPU}&{window}", READER).json
    nobodys = agent.get(f"/v1/readings?subject=prod-eu/gpu/GPU-nobody&{window}", READER).json

    assert (set(ours["values"]), ours["times_ns"][0], ours["readable_since_ns"]) == ({690.0}, HELD_SINCE, HELD_SINCE)
    assert (set(every["values"]), every["readable_since_ns"]) == ({111.0, 690.0}, None)
    assert theirs | {"subject": None} == nobodys | {"subject": None}


def test_a_card_shows_the_fault_of_its_own_incident_and_of_anothers_only_that_there_was_one(agent: ServedAgent) -> None:
    cards = {name: agent.get(f"/v1/jobs/{name}", READER).json["jobs"] for name in ("train", "train-2", "train-3")}

    assert [card["fault"]["title"] for card in cards["train"]] == ["rank 3 of train is slow"]
    assert [(card["fault"]["title"], card["fault"]["node"]) for card in cards["train-2"] + cards["train-3"]] == [
        ("not shown: it may name what you may not read", ""),
        ("not shown: it may name what you may not read", ""),
    ]
    assert [card["fault"]["incident"] for card in cards["train-2"] + cards["train-3"]] == [LED_BY_THEM.id, ""]


def test_who_reads_two_namespaces_sees_what_concerns_both(agent: ServedAgent) -> None:
    detail = agent.get(f"/v1/incidents/{MIXED.id}", BOTH).json

    assert (detail["incident"]["title"], detail["hidden"]["findings"]) == (MIXED.title, 0)
    assert agent.get(f"/v1/incidents/{THEIR_INCIDENT.id}", BOTH).status == 200
    assert agent.get("/v1/incidents/INC-ZEBRABAR", BOTH).status == 404


@pytest.mark.parametrize("name", [name for name in ODD if name not in ("none", "nothing")])
def test_a_namespace_of_an_odd_name_is_nobodys(agent: ServedAgent, name: str) -> None:
    token = f"odd-{name}".ljust(40, "x")
    told = [agent.get(f"/v1/{what}", token).json for what in ("incidents", "jobs", "nodes", "plans")]

    assert [one["hidden"] for one in told] == [len(INCIDENTS), 7, 3, len(PLANS)]
    assert agent.get(f"/v1/incidents/{OUR_INCIDENT.id}", token).status == 404


@pytest.mark.parametrize("name", ["none", "nothing"])
def test_who_is_limited_to_no_namespace_is_refused_everywhere(agent: ServedAgent, name: str) -> None:
    token = f"odd-{name}".ljust(40, "x")
    answers = {agent.get(url, token).status for path in GETS for url, _ in addresses(path)[:1]}

    assert answers == {403}


def test_a_prefix_names_only_what_may_be_read(agent: ServedAgent) -> None:
    several = agent.get("/v1/incidents/INC-MIXED", READER)
    one = agent.get("/v1/incidents/INC-OURSA", READER)
    whole = agent.get("/v1/incidents/INC-ZEBRA")

    assert several.json["error"]["what"].startswith(
        "INC-MIXED is the beginning of more than one incident: INC-MIXEDAAA"
    )
    assert one.json["incident"]["id"] == OUR_INCIDENT.id
    assert whole.status == 400


def test_a_login_link_of_a_reader_shows_a_browser_no_more(own_agent: ServedAgent) -> None:
    link = own_agent.post("/v1/login-links", READER).json["url"]
    cookie = own_agent.get(link, None).headers["set-cookie"].partition(";")[0]
    page = own_agent.get("/", None, cookie=cookie, accept="text/html")

    assert (page.status, MARK in page.text.lower()) == (200, False)
    assert "3 more open incidents that you may not read" in page.text
    assert own_agent.get("/", READER_TOKEN).text.lower().count(MARK) > 0
    assert own_agent.get("/audit?verify=1", None, cookie=cookie, accept="text/html").status == 403
    assert own_agent.ask("POST", "/v1/actions/pause", ADMIN_TOKEN, b'{"reason": "x"}').status == 200


def test_a_page_offers_only_what_may_be_said_there(own_agent: ServedAgent) -> None:
    link = own_agent.post("/v1/login-links", ADMIN_OF_OURS).json["url"]
    cookie = own_agent.get(link, None).headers["set-cookie"].partition(";")[0]

    def forms(path: str) -> set[str]:
        return set(re.findall(r'action="[^"]*/(\w+)"', own_agent.get(path, None, cookie=cookie).text)) - {"logout"}

    assert forms(f"/incidents/{OUR_INCIDENT.id}") == {"feedback", "snooze", "resolve", "merge", "split"}
    assert forms(f"/incidents/{MIXED.id}") == set()
    assert forms(f"/plans/{OUR_PLAN.id}") == {"approve", "reject"}
