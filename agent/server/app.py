"""The ASGI application: ingest by the short way, everything else through Starlette.

Route modules are found, not listed: each file in `agent/api/routes` and `agent/web/pages` has

    ROUTES: list[starlette.routing.Route]

whose endpoints bear `@requires("read")` (or another right) or `@public` of `agent.access.guard`; the app refuses to
start with one that bears neither. Inside an endpoint

    request.app.state.store      the store (agent.store.store.Store), synchronous: use a thread
    request.app.state.watches    agent.server.spaces.Spaces: get(origin, cluster)
    request.app.state.access     agent.access.access.Access
    request.app.state.settings   agent.settings.Settings
    request.app.state.clock      () -> Unix ns
    request.app.state.health     () -> list of reasons why the agent is not ready
    request.app.state.remarks    () -> list of what somebody should mend though it is ready
    request.app.state.policy     agent.server.policy_file.PolicyFile, the policy in force
    request.app.state.metrics    agent.server.metrics.Metrics
    request.app.state.actions    agent.actions.actions.Actions: plans, approval, pause
    request.app.state.ingest_log agent.ingest.log.IngestLog, to read; None where none is at hand
    request.state.identity       who is calling (agent.access.authorise.Identity)
    request.state.csrf_token     for forms
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from types import ModuleType
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.access.access import Access
from agent.access.guard import right_of
from agent.ingest.log import IngestLog
from agent.server import doors
from agent.server.metrics import Metrics
from agent.server.policy_file import PolicyFile
from agent.server.spaces import Spaces
from agent.settings import Settings
from collectors.errors import FixConfiguration

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

INGEST_PATH = "/v1/batch"
ROUTE_PACKAGES = ("agent.api.routes", "agent.web.pages")

_CONTENT_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", _CONTENT_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def build_app(
    settings: Settings,
    store: Any,
    watches: Spaces,
    access: Access,
    clock: Callable[[], int],
    *,
    ingest: ASGI | None = None,
    health: Callable[[], list[str]] = list,
    remarks: Callable[[], list[str]] = list,
    policy: PolicyFile | None = None,
    metrics: Metrics | None = None,
    actions: Any = None,
    routes: list[Route] | None = None,
    log: IngestLog | None = None,
) -> ASGI:
    """The whole application; FixConfiguration where a route is unguarded. `routes` replaces the discovered ones."""
    found = [*doors.ROUTES, *(discovered_routes() if routes is None else routes)]
    _check(found)
    starlette = Starlette(routes=found, exception_handlers={HTTPException: _http_error})
    state = starlette.state
    state.settings, state.store, state.watches, state.access = settings, store, watches, access
    state.remarks, state.policy = remarks, policy or PolicyFile()
    state.actions = actions
    state.ingest_log = log
    state.clock, state.health, state.metrics = clock, health, metrics if metrics is not None else Metrics()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await starlette(scope, receive, send)
            return
        path: str = scope["path"]
        refused = None if path in doors.OPEN_PATHS else _wrong_host(access, scope)
        if refused is not None:
            await _refuse(send, *refused)
        elif path == INGEST_PATH and ingest is not None:
            await ingest(scope, receive, send)
        else:
            await starlette(scope, receive, _with_security_headers(send))

    return app


def discovered_routes() -> list[Route]:
    """ROUTES of every module in ROUTE_PACKAGES, in the order of their names."""
    return [route for module in _route_modules() for route in module.ROUTES]


def _route_modules() -> Iterator[ModuleType]:
    for package_name in ROUTE_PACKAGES:
        package = importlib.import_module(package_name)
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            if not info.name.startswith("_"):
                yield importlib.import_module(f"{package_name}.{info.name}")


def _check(routes: list[Route]) -> None:
    taken: set[tuple[str, str]] = set()
    for route in routes:
        if right_of(route.endpoint) is None:
            raise FixConfiguration(f"route {route.path} asks for no right; give its endpoint @requires(...) or @public")
        for method in route.methods or {"GET"}:
            if (method, route.path) in taken:
                raise FixConfiguration(f"route {method} {route.path} is there twice; remove one")
            taken.add((method, route.path))


def _wrong_host(access: Access, scope: Scope) -> tuple[int, str] | None:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
    server = scope.get("server")
    return access.hosts.refusal(host, server[0] if server else "")


async def _refuse(send: Send, status: int, reason: str) -> None:
    line = {"what": reason, "where": "Host", "do": "add the name to listen.hosts in the agent's settings"}
    body = msgspec.json.encode({"error": line})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_security_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", ())}
            more = [header for header in SECURITY_HEADERS if header[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = error.detail if isinstance(error, HTTPException) else "internal error"
    line = {"what": what, "where": request.url.path[:200], "do": "see /v1/openapi.json for what there is"}
    headers = dict(error.headers) if isinstance(error, HTTPException) and error.headers else None
    return Response(msgspec.json.encode({"error": line}), status, headers, media_type="application/json")
