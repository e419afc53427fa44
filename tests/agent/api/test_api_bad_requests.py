from typing import Annotated
from urllib.parse import quote

import msgspec
import pytest
from api_story import BEGAN
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from served_agent import ServedAgent
from starlette.requests import Request

from agent.api.operation import read_query
from agent.api.problem import Problem

GPU = "prod-eu/gpu/GPU-00000000-4d1c-9a70"
SPAN = f"since={BEGAN}&until={BEGAN + 1}"


@pytest.mark.parametrize(
    ("path", "where", "what"),
    [
        pytest.param("/v1/incidents?limit=many", "limit", "Expected `int`, got `str`", id="no number"),
        pytest.param("/v1/incidents?limit=5000", "limit", "Expected `int` <= 1000", id="too many"),
        pytest.param("/v1/incidents?limit=1&limit=2", "limit", "given more than once", id="twice"),
        pytest.param("/v1/incidents?state=broken", "state", "Invalid enum value 'broken'", id="no such state"),
        pytest.param("/v1/incidents?stat=open", "stat", "no such query parameter", id="misspelt"),
        pytest.param("/v1/version?x=1", "x", "no such query parameter", id="none known"),
        pytest.param(f"/v1/readings?subject={GPU}&{SPAN}", "metric", "missing required field", id="absent"),
        pytest.param(f"/v1/readings?subject=gpu&metric=a&{SPAN}", "subject", "not a subject: gpu", id="no subject"),
        pytest.param(f"/v1/readings?subject={GPU}&metric=power&{SPAN}", "metric", "no such metric", id="no metric"),
        pytest.param(
            f"/v1/readings?subject={GPU}&metric=gpu_power_watts&since=2&until=1",
            "until",
            "before since",
            id="backwards",
        ),
        pytest.param(f"/v1/incidents?before={2**70}", "before", "Expected `int` <= ", id="beyond int64"),
    ],
)
def test_a_bad_query_parameter_is_named_with_what_is_wrong(
    agent: ServedAgent, path: str, where: str, what: str
) -> None:
    answer = agent.get(path)
    error = answer.json["error"]

    assert answer.status == 400
    assert f"query parameter {where}" == error["where"]
    assert what in error["what"]
    assert error["do"]


def test_an_id_that_fits_several_incidents_is_refused_with_their_names(agent: ServedAgent) -> None:
    answer = agent.get("/v1/incidents/7F")

    assert answer.status == 400
    assert "INC-7f3a91c2" in answer.json["error"]["what"]


@pytest.mark.parametrize("id_", ["INC-0", "x" * 300, "%00", "..%2f..%2fetc%2fpasswd", quote("é\u202e"), "'; drop"])
def test_an_id_that_fits_none_is_not_found(agent: ServedAgent, id_: str) -> None:
    assert agent.get(f"/v1/incidents/{quote(id_, safe='%')}zz").status == 404


class _Query(msgspec.Struct):
    state: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1)] = 7
    name: str | None = None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_query_string_gives_a_query_or_one_problem(raw: bytes) -> None:
    request = Request({"type": "http", "query_string": raw, "headers": [], "path": "/"})

    try:
        query = read_query(request, _Query)
    except Problem as problem:
        assert (problem.status, bool(problem.line.what)) == (400, True)
    else:
        assert query.limit >= 1
