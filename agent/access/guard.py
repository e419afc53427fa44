"""The guard at every route: `@requires("read")`, or a deliberate `@public`. The app refuses to start without either.

    @requires("acknowledge")
    async def endpoint(request: Request) -> Response:
        who = identity_of(request).name

A token or a session cookie proves who is calling. What the cookie writes (any method but GET, HEAD and OPTIONS) must
bring the session's CSRF token, as header `x-csrf-token` or as form field `csrf_token`, and no foreign Origin.
"""

import functools
import html
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agent.access.access import Access
from agent.access.authorise import CUT, Identity, Permission, Refused, Target, authorise
from agent.access.sessions import Session

_log = logging.getLogger(__name__)

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_MOST_BYTES = 64 * 1024
_RIGHT = "watchstander_right"
_IS_CUT = "watchstander_cut"
PUBLIC = "public"

Endpoint = Callable[[Request], Any]
E = TypeVar("E", bound=Endpoint)


def requires(
    right: str, *, target: Callable[[Request], Target] | None = None, cut: bool = False
) -> Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]:
    """Let a request through to the endpoint (async, or plain and run in a thread) if its sender holds `right`.

    `right` is a value of Permission. `target` says what lies behind the door, where the path or query tells. `cut`: the
    endpoint itself shows and changes only what its caller may (`agent.access.visible`). Without either, identities
    limited to namespaces stay outside. Sets `request.state.identity` and `request.state.csrf_token`
    (empty for tokens).
    """
    permission = Permission(right)

    def wrap(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            refused = await _refusal(request, permission, (lambda _: CUT) if cut else target)
            if refused is not None:
                return refuse(request, refused)
            if inspect.iscoroutinefunction(endpoint):
                answer = await endpoint(request)
            else:
                answer = await run_in_threadpool(endpoint, request)
            assert isinstance(answer, Response)  # noqa: S101 - for mypy; Starlette would fail on anything else
            return answer

        setattr(guarded, _RIGHT, permission.value)
        setattr(guarded, _IS_CUT, cut)
        return guarded

    return wrap


def public(endpoint: E) -> E:
    """Mark an endpoint that anybody may call: it tells nothing that is worth a credential."""
    setattr(endpoint, _RIGHT, PUBLIC)
    return endpoint


def right_of(endpoint: Any) -> str | None:
    """What a route's endpoint asks for: a Permission's value, PUBLIC, or None where nobody has said."""
    right = getattr(endpoint, _RIGHT, None)
    return right if isinstance(right, str) else None


def is_cut(endpoint: Any) -> bool:
    """Whether a route's endpoint cuts what it shows to the namespaces of its caller; others refuse such a caller."""
    return getattr(endpoint, _IS_CUT, False) is True


def identity_of(request: Request) -> Identity:
    """Who is calling, inside a guarded endpoint."""
    identity = request.state.identity
    if not isinstance(identity, Identity):
        raise TypeError("identity_of is for endpoints behind @requires")
    return identity


def csrf_token_of(request: Request) -> str:
    """What forms of this session must bring along; empty for token callers."""
    return str(request.state.csrf_token)


def address_of(request: Request) -> str:
    """Where the connection came from."""
    return request.client.host if request.client else "unknown"


async def _refusal(
    request: Request, permission: Permission, target: Callable[[Request], Target] | None
) -> Refused | None:
    access: Access = request.app.state.access
    caller = await access.caller(request.headers, address_of(request))
    if isinstance(caller, Refused):
        return caller
    identity, session = caller
    if session is not None and request.method not in _SAFE_METHODS:
        refused = await _forged(request, session)
        if refused is not None:
            return refused
    said = authorise(identity, permission, target(request) if target is not None else None)
    if isinstance(said, Refused):
        _log.warning("refused %s %.100r: %s", request.method, request.url.path, said.reason)
        return said
    request.state.identity = identity
    request.state.csrf_token = session.csrf_token if session is not None else ""
    return None


async def _forged(request: Request, session: Session) -> Refused | None:
    """Why a write with a cookie may not be the person's own doing; None where it is."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return Refused("the request comes from a page of another site", 403, "use the agent's own page")
    given = request.headers.get(CSRF_HEADER) or await _form_field(request, CSRF_FIELD)
    if not session.csrf_matches(given):
        return Refused("the CSRF token is missing or wrong", 403, "load the page again and repeat")
    return None


async def _form_field(request: Request, name: str) -> str:
    """A field of a URL-encoded form; empty where there is none. The endpoint can still read the body."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > _FORM_MOST_BYTES:
        return ""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=100)
    return fields.get(name, [""])[0]


def refuse(request: Request, refused: Refused) -> Response:
    """The answer to a refused request: a line of JSON, or a small page for a browser."""
    headers = {"cache-control": "no-store"}
    if refused.status == 401:
        headers["www-authenticate"] = "Bearer"
    if refused.retry_after_seconds:
        headers["retry-after"] = str(refused.retry_after_seconds)
    if "text/html" in request.headers.get("accept", ""):
        text = f"<!doctype html><title>Watchstander</title><p>{html.escape(refused.reason)}.</p>"
        text += f"<p>What to do: {html.escape(refused.do)}.</p>"
        return HTMLResponse(text, status_code=refused.status, headers=headers)
    line = {"what": refused.reason, "where": request.url.path[:200], "do": refused.do}
    return Response(msgspec.json.encode({"error": line}), refused.status, headers, media_type="application/json")
