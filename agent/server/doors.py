"""The agent's own routes: login and logout, health, readiness, metrics."""

import html

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.access.access import Access
from agent.access.authorise import Permission, Refused, authorise
from agent.access.guard import address_of, identity_of, public, refuse, requires
from agent.access.sessions import COOKIE

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes come from the kubelet, under any host name and without a credential; the answers say one word."""


@public
async def healthz(request: Request) -> Response:
    """Whether the process answers at all."""
    return PlainTextResponse("ok\n")


@public
async def readyz(request: Request) -> Response:
    """Whether the agent is fit for work. Reasons, and what else should be mended, go to those who may read, as lines
    below the word."""
    access: Access = request.app.state.access
    problems: list[str] = request.app.state.health()
    text = "not ready\n" if problems else "ok\n"
    said = [*problems, *request.app.state.remarks()]
    if said and "authorization" in request.headers:
        caller = await access.caller(request.headers, address_of(request))
        if not isinstance(caller, Refused) and not isinstance(authorise(caller[0], Permission.READ), Refused):
            text += "".join(f"{problem}\n" for problem in said)
    return PlainTextResponse(text, status_code=503 if problems else 200, headers={"cache-control": "no-store"})


@requires("read")
async def metrics(request: Request) -> Response:
    """Own health as Prometheus text."""
    return PlainTextResponse(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@requires("read", cut=True)
async def make_login_link(request: Request) -> Response:
    """A link that logs a browser in with the caller's own rights, once."""
    access: Access = request.app.state.access
    code = access.sessions.make_code(identity_of(request))
    return Response(
        msgspec.json.encode({"url": f"/login?code={code}"}),
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


@public
async def login(request: Request) -> Response:
    """Turn a one-time code into a session cookie.

    The answer is a page that leads on, not a redirect: a browser that came from elsewhere (a chat, a mail) would not
    send a SameSite=Strict cookie along a redirect.
    """
    access: Access = request.app.state.access
    if request.method != "GET":
        return Response(status_code=405, headers={"allow": "GET"})
    came = access.redeem(request.query_params.get("code", ""), address_of(request))
    if isinstance(came, Refused):
        return refuse(request, came)
    name = html.escape(came.identity.name)
    answer = HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Watchstander</title>'
        f'<meta http-equiv="refresh" content="0; url=/"><p>Logged in as {name}. <a href="/">Go on</a></p></html>',
        headers={"cache-control": "no-store"},
    )
    answer.set_cookie(
        COOKIE,
        came.id,
        max_age=max(1, int((came.expires_ns - request.app.state.clock()) / 1e9)),
        path="/",
        secure=access.secure_cookies,
        httponly=True,
        samesite="strict",
    )
    return answer


@requires("read", cut=True)
async def logout(request: Request) -> Response:
    """End the session; the cookie is worth nothing from here on."""
    access: Access = request.app.state.access
    session = access.by_cookie(request.headers.get("cookie"))
    if session is not None:
        access.sessions.end(session.id)
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE, path="/", secure=access.secure_cookies, httponly=True, samesite="strict")
    return answer


ROUTES = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
    Route("/login", login, methods=["GET"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/v1/login-links", make_login_link, methods=["POST"]),
]
