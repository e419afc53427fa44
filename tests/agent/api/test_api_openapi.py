import re

import msgspec
import pytest
from api_story import (
    BEGAN,
    HOSTILE_INCIDENT,
    HOSTILE_PLAN,
    LOST,
    LOST_FINDINGS,
    LOST_INCIDENT,
    LOST_PLAN,
    NOW,
    REPLAY_INCIDENT,
)
from json_schema import misfits
from served_agent import ADMIN_TOKEN, Answer, ServedAgent

from agent.api.openapi import api_routes, document
from agent.server.app import discovered_routes

READINGS = f"subject=prod-eu/gpu/{LOST.id}&metric=gpu_power_watts&since={BEGAN}&until={NOW}"
ASKED = [
    ("GET", "/v1/incidents", "/v1/incidents"),
    ("GET", "/v1/incidents", "/v1/incidents?state=resolved&limit=1"),
    ("GET", "/v1/incidents/{id}", f"/v1/incidents/{LOST_INCIDENT.id}"),
    ("GET", "/v1/incidents/{id}", f"/v1/incidents/{HOSTILE_INCIDENT.id}"),
    ("GET", "/v1/incidents/{id}/explanation", f"/v1/incidents/{LOST_INCIDENT.id}/explanation"),
    ("GET", "/v1/incidents/{id}/explanation", f"/v1/incidents/{HOSTILE_INCIDENT.id}/explanation"),
    ("GET", "/v1/incidents/{id}/policy", f"/v1/incidents/{LOST_INCIDENT.id}/policy"),
    ("GET", "/v1/incidents/{id}/policy", f"/v1/incidents/{HOSTILE_INCIDENT.id}/policy"),
    ("GET", "/v1/incidents/{id}/bundle", f"/v1/incidents/{LOST_INCIDENT.id}/bundle?before=60&rename=true"),
    ("POST", "/v1/incidents/{id}/acknowledge", f"/v1/incidents/{LOST_INCIDENT.id}/acknowledge"),
    ("GET", "/v1/nodes", "/v1/nodes"),
    ("GET", "/v1/jobs/{name}", "/v1/jobs/job-uid-llama"),
    ("GET", "/v1/jobs/{name}", "/v1/jobs/job-uid-evil?cluster=prod-eu"),
    ("GET", "/v1/jobs", "/v1/jobs?cluster=prod-eu"),
    ("GET", "/v1/audit", "/v1/audit?order=newest"),
    ("GET", "/v1/audit/verify", "/v1/audit/verify"),
    ("GET", "/v1/plans", "/v1/plans?state=awaiting"),
    ("GET", "/v1/plans/{id}", f"/v1/plans/{LOST_PLAN.id}"),
    ("POST", "/v1/plans/{id}/approve", f"/v1/plans/{LOST_PLAN.id}/approve"),
    ("POST", "/v1/plans/{id}/reject", f"/v1/plans/{HOSTILE_PLAN.id}/reject"),
    ("GET", "/v1/actions", "/v1/actions"),
    ("POST", "/v1/actions/pause", "/v1/actions/pause"),
    ("POST", "/v1/actions/resume", "/v1/actions/resume"),
    ("GET", "/v1/readings", f"/v1/readings?{READINGS}"),
    ("GET", "/v1/detectors", "/v1/detectors"),
    ("GET", "/v1/version", "/v1/version"),
    ("GET", "/v1/openapi.json", "/v1/openapi.json"),
    ("GET", "/v1/quality", "/v1/quality?since=0&cluster=prod-eu"),
    ("GET", "/v1/look", "/v1/look?subject=node-w/gpu0"),
    ("POST", "/v1/incidents/{id}/snooze", f"/v1/incidents/{LOST_INCIDENT.id}/snooze"),
    ("POST", "/v1/incidents/{id}/feedback", f"/v1/incidents/{LOST_INCIDENT.id}/feedback"),
    ("POST", "/v1/incidents/{id}/split", f"/v1/incidents/{LOST_INCIDENT.id}/split"),
    ("POST", "/v1/incidents/{id}/merge", f"/v1/incidents/{HOSTILE_INCIDENT.id}/merge"),
    ("POST", "/v1/incidents/{id}/resolve", f"/v1/incidents/{LOST_INCIDENT.id}/resolve"),
]
BODIES = {
    f"/v1/plans/{LOST_PLAN.id}/approve": {"digest": LOST_PLAN.digest, "note": "go"},
    f"/v1/plans/{HOSTILE_PLAN.id}/reject": {},
    "/v1/actions/pause": {"reason": "driver upgrade"},
    f"/v1/incidents/{LOST_INCIDENT.id}/snooze": {"until_ns": NOW + 10**12, "note": "known"},
    f"/v1/incidents/{LOST_INCIDENT.id}/feedback": {"judgement": "true"},
    f"/v1/incidents/{LOST_INCIDENT.id}/split": {"findings": [LOST_FINDINGS[1].id]},
    f"/v1/incidents/{HOSTILE_INCIDENT.id}/merge": {"into": LOST_INCIDENT.id, "note": "the same"},
    f"/v1/incidents/{LOST_INCIDENT.id}/resolve": {},
}
REFUSED = [
    ("GET", "/v1/incidents", "/v1/incidents?limit=0", 400),
    ("GET", "/v1/incidents/{id}", "/v1/incidents/INC-ffffffff", 404),
    ("GET", "/v1/incidents/{id}/bundle", "/v1/incidents/INC-ffffffff/bundle", 404),
    ("GET", "/v1/incidents/{id}/bundle", f"/v1/incidents/{LOST_INCIDENT.id}/bundle?before=-1", 400),
    ("GET", "/v1/incidents/{id}/bundle", f"/v1/incidents/{LOST_INCIDENT.id}/bundle?after=1e9", 400),
    ("GET", "/v1/readings", "/v1/readings", 400),
    ("GET", "/v1/jobs/{name}", "/v1/jobs/none", 404),
    ("POST", "/v1/incidents/{id}/acknowledge", "/v1/incidents/INC-00c4fe11/acknowledge", 409),
    ("POST", "/v1/incidents/{id}/resolve", "/v1/incidents/INC-00c4fe11/resolve", 409),
    ("POST", "/v1/incidents/{id}/merge", "/v1/incidents/INC-00c4fe11/merge", 400),
    ("GET", "/v1/quality", "/v1/quality?since=yesterday", 400),
    ("GET", "/v1/plans/{id}", "/v1/plans/PLN-NOBODY", 404),
    ("GET", "/v1/plans/{id}", f"/v1/plans/{REPLAY_INCIDENT.id}", 404),
    ("POST", "/v1/plans/{id}/approve", f"/v1/plans/{LOST_PLAN.id}/approve", 400),
    ("POST", "/v1/actions/resume", "/v1/actions/resume", 409),
    ("GET", "/v1/look", "/v1/look?subject=nobody", 404),
]


def test_every_route_of_the_api_is_described_with_the_right_that_its_guard_asks_for() -> None:
    routes = [route for route in discovered_routes() if route.path.startswith("/v1/")]
    described = {
        (path, method.upper(), operation["x-right"])
        for path, operations in document()["paths"].items()  # type: ignore[attr-defined]  # JSON
        for method, operation in operations.items()
    }

    served = {
        (route.path, method, route.endpoint.watchstander_right)
        for route in routes
        for method in route.methods - {"HEAD"}
    }
    assert served == described
    assert len(served) == len(list(api_routes()))


def test_every_operation_is_asked_in_these_tests() -> None:
    assert {(method, path) for method, path, _ in ASKED} == {
        (route.operation.method, route.operation.path) for route in api_routes()
    }


def named(method: str) -> dict[str, object]:
    """The operations of one method, as parametrize takes them."""
    asked = [(path, url) for of, path, url in ASKED if of == method]
    return {"argnames": ("path", "url"), "argvalues": asked, "ids": [url[:70] for _, url in asked]}


@pytest.mark.parametrize(**named("GET"))
def test_what_is_read_is_what_the_description_says(agent: ServedAgent, path: str, url: str) -> None:
    fits(agent, "GET", path, agent.ask("GET", url, ADMIN_TOKEN))


@pytest.mark.parametrize(**named("POST"))
def test_what_a_change_answers_is_what_the_description_says(own_agent: ServedAgent, path: str, url: str) -> None:
    if url == "/v1/actions/resume":
        own_agent.ask("POST", "/v1/actions/pause", ADMIN_TOKEN, msgspec.json.encode(BODIES["/v1/actions/pause"]))

    answer = own_agent.ask("POST", url, ADMIN_TOKEN, msgspec.json.encode(BODIES[url]) if url in BODIES else b"")

    fits(own_agent, "POST", path, answer)
    changed = own_agent.ask("GET", f"/v1/incidents/{LOST_INCIDENT.id}", ADMIN_TOKEN)
    fits(own_agent, "GET", "/v1/incidents/{id}", changed)


def fits(agent: ServedAgent, method: str, path: str, answer: Answer) -> None:
    """Assert that an answer is one that the document promises for 200."""
    described = agent.get("/v1/openapi.json").json
    responses = described["paths"][path][method.lower()]["responses"]
    ((media_type, content),) = responses["200"]["content"].items()
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    schema = content["schema"]
    if schema == {"type": "string", "format": "binary"}:
        assert answer.body.startswith(b"PK")
        return
    assert list(misfits(answer.json, schema, described["components"]["schemas"])) == []


@pytest.mark.parametrize(("method", "path", "url", "status"), REFUSED, ids=[url[:60] for _, _, url, _ in REFUSED])
def test_a_refusal_is_what_the_description_says(
    agent: ServedAgent, method: str, path: str, url: str, status: int
) -> None:
    answer = agent.ask(method, url, ADMIN_TOKEN)

    assert status == answer.status
    described = agent.get("/v1/openapi.json").json
    responses = described["paths"][path][method.lower()]["responses"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    assert list(misfits(answer.json, schema, described["components"]["schemas"])) == []


def test_operation_ids_are_unique_and_every_reference_resolves() -> None:
    described = document()
    text = str(described)
    ids = re.findall(r"'operationId': '(\w+)'", text)
    references = set(re.findall(r"'#/components/schemas/(\w+)'", text))

    assert sorted(set(ids)) == sorted(ids)
    assert references <= set(described["components"]["schemas"])  # type: ignore[index]  # JSON


def test_the_checker_itself_finds_what_does_not_fit() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    assert list(misfits({"b": 1}, schema, {})) == ["$: a is absent", "$: b is not described"]
    assert list(misfits({"a": True}, schema, {})) == ["$.a: True is no integer"]
