"""Every door of a real agent against every kind of caller."""

import logging
import re
from pathlib import Path

import msgspec
import pytest
from running_agent import RunningAgent, make_batch
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.access.authorise import NodeBinding, Permission, Role
from agent.access.guard import PUBLIC, csrf_token_of, identity_of, requires, right_of
from agent.access.sessions import COOKIE
from agent.access.tokens import StaticToken
from agent.server import doors
from agent.server.app import build_app, discovered_routes
from agent.settings import AccessSettings, ListenSettings, Settings
from collectors.errors import FixConfiguration
from collectors.model import Subject, SubjectKind

pytestmark = pytest.mark.slow

ROLES = {role.value: f"{role.value}-token-".ljust(40, "x") for role in Role}
BOUND = "bound-token-".ljust(40, "x")


@requires("read")
async def see(request: Request) -> Response:
    return PlainTextResponse(csrf_token_of(request) or "no csrf")


@requires("acknowledge")
async def change(request: Request) -> Response:
    return PlainTextResponse(f"{identity_of(request).name} changed {(await request.body()).decode()}")


@requires("admin")
def rule(request: Request) -> Response:
    return PlainTextResponse("ruled")


PROBES = [
    Route("/see", see),
    Route("/change", change, methods=["POST"]),
    Route("/rule", rule, methods=["POST"]),
]


@pytest.fixture
def agent_settings(tmp_path: Path) -> Settings:
    """One static token a role, and one bound to node-a."""
    tokens = []
    for name, token in {**ROLES, "bound": BOUND}.items():
        path = tmp_path / f"{name}.secret"
        path.write_text(token)
        path.chmod(0o600)
        role = Role.INGEST if name == "bound" else Role(name)
        binding = NodeBinding("prod", "node-a") if name == "bound" else None
        tokens.append(StaticToken(f"the-{name}", str(path), (role,), binding))
    return Settings(listen=ListenSettings(hosts=("agent.example.org",)), access=AccessSettings(tokens=tuple(tokens)))


@pytest.fixture
def agent_routes() -> list[Route]:
    return PROBES


def log_in(running: RunningAgent) -> tuple[str, str]:
    """A session: its Cookie header and CSRF token."""
    link = msgspec.json.decode(running.request("POST", "/v1/login-links")[2])["url"]
    cookie = running.request("GET", link, token=None)[1]["set-cookie"].partition(";")[0]
    return cookie, running.request("GET", "/see", token=None, headers={"cookie": cookie})[2].decode()


DOORS = [
    ("GET", "/healthz", PUBLIC),
    ("GET", "/readyz", PUBLIC),
    ("GET", "/metrics", "read"),
    ("POST", "/v1/login-links", "read"),
    ("POST", "/logout", "read"),
    ("POST", "/v1/batch", "ingest"),
    ("GET", "/see", "read"),
    ("POST", "/change", "acknowledge"),
    ("POST", "/rule", "admin"),
]


def test_the_table_of_doors_is_complete() -> None:
    built_in = {(method, route.path) for route in doors.ROUTES for method in route.methods - {"HEAD"}}

    assert built_in - {("GET", "/login")} <= {(method, path) for method, path, _ in DOORS}


def test_every_door_refuses_who_has_no_right_and_opens_to_who_has(running: RunningAgent) -> None:
    granted = {
        "ingest": {"ingest"},
        "read": {"read"},
        "acknowledge": {"read", "acknowledge"},
        "approve": {"read", "acknowledge", "approve"},
        "admin": {permission.value for permission in Permission},
    }
    for method, path, right in DOORS:
        callers = {None: 401, "wrong-token-that-nobody-has-been-given": 401, BOUND: 200 if right == "ingest" else 403}
        callers |= {token: 200 if right in granted[role] else 403 for role, token in ROLES.items()}
        for token, expected in callers.items():
            status = running.request(method, path, b"" if method == "POST" else None, token=token)[0]
            # Whoever gets through meets the door's own answer: /v1/batch wants zstd, /logout leads on.
            passed = status in (200, 303, 415)
            if right == PUBLIC:
                assert passed, (method, path, token)
            elif expected == 200:
                assert passed, (method, path, token, status)
            else:
                assert status in (expected, 429 if expected == 401 else expected), (method, path, token, status)


def test_every_route_of_the_product_asks_for_a_right_or_is_meant_to_be_public() -> None:
    routes = discovered_routes()

    assert [route.path for route in routes if right_of(route.endpoint) is None] == []
    writes = [route for route in routes if (route.methods or set()) - {"GET", "HEAD", "OPTIONS"}]
    assert [route.path for route in writes if right_of(route.endpoint) in (PUBLIC, "read")] == []


def test_a_route_without_a_guard_stops_the_start(running: RunningAgent) -> None:
    async def naked(request: Request) -> Response:
        return PlainTextResponse("")

    with pytest.raises(FixConfiguration, match="/naked asks for no right"):
        build_app(Settings(), None, None, None, int, routes=[Route("/naked", naked)])
    with pytest.raises(FixConfiguration, match="there twice"):
        build_app(Settings(), None, None, None, int, routes=[Route("/see", see), Route("/see", see)])


def test_loopback_is_no_credential(running: RunningAgent) -> None:
    assert running.request("GET", "/see", token=None)[0] == 401
    assert running.send(make_batch(), token=None)[0] == 401


def test_health_says_one_word_to_strangers(running: RunningAgent) -> None:
    assert running.request("GET", "/healthz", token=None)[2] == b"ok\n"
    assert running.request("GET", "/readyz", token=None)[2] in (b"ok\n", b"not ready\n")
    assert running.request("GET", "/readyz", token=None, headers={"host": "10.1.2.3:8480"})[0] in (200, 503)


@pytest.mark.parametrize(("node", "status"), [("node-a", 200), ("node-b", 403)], ids=["its-own-node", "another-node"])
def test_a_token_bound_to_a_node_sends_that_nodes_batches_only(running: RunningAgent, node: str, status: int) -> None:
    assert running.send(make_batch(node=Subject("prod", SubjectKind.NODE, node)), token=BOUND)[0] == status


def test_a_token_bound_to_a_node_cannot_speak_of_anothers_gpu(running: RunningAgent) -> None:
    other, gpu = Subject("prod", SubjectKind.NODE, "node-b"), Subject("prod", SubjectKind.GPU, "theirs")
    assert running.send(make_batch(node=other, subjects=(other, gpu)), token=ROLES["ingest"])[0] == 200

    status, said = running.send(make_batch(subjects=(gpu,)), token=BOUND)

    assert status == 403
    assert "gpu theirs, which is in node node-b" in said["error"]["what"]
    assert running.metric('watchstander_ingest_refused_total{reason="misplaced"}') == 1


def test_a_login_link_becomes_a_cookie_once(running: RunningAgent) -> None:
    link = re.search(r"http://\S+(/login\?code=\S+)", "\n".join(running.said)).group(1)
    assert running.request("HEAD", link, token=None)[0] == 405

    status, headers, _ = running.request("GET", link, token=None)

    assert status == 200
    cookie = headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert running.request("GET", "/see", token=None, headers={"cookie": cookie.partition(";")[0]})[0] == 200
    assert running.request("GET", link, token=None)[0] == 401


def test_a_link_gives_the_rights_of_whoever_asked_for_it(running: RunningAgent) -> None:
    link = msgspec.json.decode(running.request("POST", "/v1/login-links", token=ROLES["read"])[2])["url"]
    cookie = running.request("GET", link, token=None)[1]["set-cookie"].partition(";")[0]
    csrf = running.request("GET", "/see", token=None, headers={"cookie": cookie})[2].decode()

    answer = running.request("POST", "/change", b"", token=None, headers={"cookie": cookie, "x-csrf-token": csrf})

    assert answer[0] == 403
    assert b"the-read may not acknowledge" in answer[2]


def test_a_write_with_the_cookie_needs_the_csrf_token(running: RunningAgent) -> None:
    cookie, csrf = log_in(running)
    form = {"content-type": "application/x-www-form-urlencoded"}

    def change_with(body: bytes = b"", **headers: str) -> int:
        given = {"cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return running.request("POST", "/change", body, token=None, headers=given)[0]

    assert change_with() == 403
    assert change_with(x_csrf_token="wrong") == 403
    assert change_with(x_csrf_token=csrf) == 200
    assert change_with(f"csrf_token={csrf}&what=it".encode(), content_type=form["content-type"]) == 200
    assert change_with(b"csrf_token=wrong", content_type=form["content-type"]) == 403
    assert change_with(x_csrf_token=csrf, origin="http://evil.example") == 403
    assert change_with(x_csrf_token=csrf, origin="null") == 403
    assert change_with(x_csrf_token=csrf, origin=f"http://127.0.0.1:{running.port}") == 200


def test_a_token_needs_no_csrf_token_and_its_holder_is_named(running: RunningAgent) -> None:
    assert running.request("POST", "/change", b"it", token=ROLES["approve"])[2] == b"the-approve changed it"


def test_logging_out_ends_the_session(running: RunningAgent) -> None:
    cookie, csrf = log_in(running)

    assert running.request("POST", "/logout", b"", token=None, headers={"cookie": cookie})[0] == 403
    headers = {"cookie": cookie, "x-csrf-token": csrf}
    assert running.request("POST", "/logout", b"", token=None, headers=headers)[0] == 303
    assert running.request("GET", "/see", token=None, headers={"cookie": cookie})[0] == 401


@pytest.mark.parametrize("cookie", [f"{COOKIE}=nobody", f"{COOKIE}=", f'{COOKIE}="\x01', "=;=;", "x" * 5000])
def test_a_cookie_that_is_no_session_opens_nothing(running: RunningAgent, cookie: str) -> None:
    assert running.request("GET", "/see", token=None, headers={"cookie": cookie})[0] in (400, 401)


@pytest.mark.parametrize("path", ["/see", "/v1/batch", "/login?code=x", "/nowhere"])
@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("evil.example:8480", 421), ("a b", 400)])
def test_a_foreign_host_name_gets_nowhere_even_with_the_token(
    running: RunningAgent, path: str, host: str, status: int
) -> None:
    assert running.request("GET", path, headers={"host": host})[0] == status


def test_a_host_name_from_the_settings_is_answered(running: RunningAgent) -> None:
    assert running.request("GET", "/see", headers={"host": "agent.example.org"})[0] == 200


def test_guessing_is_slowed_down_but_never_locks_out_the_rightful(running: RunningAgent) -> None:
    answers = [running.request("GET", "/see", token=f"guess-{n}")[:2] for n in range(15)]

    assert [status for status, _ in answers] == [401] * 10 + [429] * 5
    assert int(answers[-1][1]["retry-after"]) >= 1
    assert running.request("GET", "/see")[0] == 200
    assert running.request("GET", "/login?code=guess", token=None)[0] == 429
    assert running.send(make_batch(), token="guess")[0] == 429


def test_no_secret_is_ever_logged(running: RunningAgent, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        cookie, csrf = log_in(running)
        wrong = "wrong-token-of-somebody-else-entirely"
        link = msgspec.json.decode(running.request("POST", "/v1/login-links")[2])["url"]
        running.request("GET", "/login?code=some-code-that-was-used", token=None)
        for token in (running.token, wrong, ROLES["read"], None):
            for method, path, _ in DOORS:
                running.request(method, path, b"", token=token, headers={"x-csrf-token": csrf})
            running.send(make_batch(), token=token)
    secrets = [running.token, wrong, *ROLES.values(), cookie.partition("=")[2], csrf, link.partition("=")[2]]
    secrets.append("some-code-that-was-used")

    assert [secret for secret in secrets if secret in caplog.text] == []
    assert "a wrong credential from 127.0.0.1" in caplog.text


def test_answers_tell_a_browser_to_trust_nothing_else(running: RunningAgent) -> None:
    for method, path in (("GET", "/see"), ("GET", "/nowhere"), ("GET", "/login?code=x")):
        headers = running.request(method, path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_a_refusal_is_a_page_for_browsers_and_json_for_others(running: RunningAgent) -> None:
    page = running.request("GET", "/see", token=None, headers={"accept": "text/html"})
    line = running.request("GET", "/see", token=None)

    assert page[1]["content-type"].startswith("text/html")
    assert msgspec.json.decode(line[2])["error"]["what"] == "no valid credential"
