"""How pages become HTML: jinja2, escaped always; hostile text made plain before it is escaped.

A page is a plain function of a request that returns a template's name and what it shows; it runs in a thread, since
store calls are synchronous.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agent.access.authorise import Permission
from agent.access.guard import csrf_token_of, identity_of, requires
from agent.access.visible import Visible
from agent.api.as_live import as_live_of
from agent.api.operation import now_ns_of
from agent.api.problem import Problem, problem_of
from agent.api.words import ago, duration, figure, plain, utc
from agent.web.assets import asset_url
from collectors.errors import WatchError
from collectors.model import Origin

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = {"cache-control": "no-store"}
"""Beside those that agent.server.app gives every answer, the content security policy among them."""


@dataclass(frozen=True, slots=True)
class View:
    """What a page function gives: a template and what it shows."""

    template: str
    shows: dict[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is looking, for the templates."""

    name: str
    may_acknowledge: bool
    may_change: bool
    """Merge and split: what changes the watch's own mind."""
    csrf_token: str = field(repr=False)
    may_approve: bool = False
    """Say yes or no to plans."""


def visible_of(request: Request) -> Visible:
    """The store as whoever is looking may see it: pages read nothing beside it."""
    return Visible(request.app.state.store, identity_of(request))


def viewer_of(request: Request, may: Callable[[Permission], bool]) -> Viewer:
    """Who is looking. `may`: whether they hold a right over what the page shows, where the page knows better than that
    they hold it somewhere."""
    return Viewer(
        identity_of(request).name,
        may(Permission.ACKNOWLEDGE),
        may(Permission.ADMIN),
        csrf_token_of(request),
        may(Permission.APPROVE),
    )


def page(path: str, build: Callable[[Request], View], *, right: str = "read", cut: bool = False) -> Route:
    """The route of one page. `cut`: it reads through `visible_of`; else readers of single namespaces are refused."""

    @requires(right, cut=cut)
    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(_answer, request, build)
        except Problem as problem:
            return _trouble(request, problem)
        except WatchError as error:
            return _trouble(request, problem_of(error, request.url.path))

    return Route(path, endpoint, methods=["GET"], name=f"page {path}")


def _answer(request: Request, build: Callable[[Request], View]) -> Response:
    return respond(request, build(request))


def _trouble(request: Request, problem: Problem) -> Response:
    return respond(request, View("problem.html", {"problem": problem.line}, problem.status))


def respond(request: Request, view: View) -> Response:
    """The HTML of a view."""
    viewer = viewer_of(request, identity_of(request).may)
    now_ns = now_ns_of(request)
    always = {"viewer": viewer, "now_ns": now_ns, "here": request.url.path, "as_live": as_live_of(request)}
    text = environment().get_template(view.template).render(always | view.shows)
    return HTMLResponse(text, status_code=view.status, headers=HEADERS)


@cache
def environment() -> Environment:
    """The one jinja2 environment. `finalize` makes every printed text plain, so that no template can forget it."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "figure": figure,
        "utc": utc,
        "duration": duration,
        "clock": _clock,
        "words": _words,
        "prose": prose,
    }
    made.globals |= {"asset": asset_url, "when": when, "live": Origin.LIVE}
    return made


def _plain(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def when(time_ns: int, now_ns: int | None) -> Markup:
    """`<time>` in UTC, with its age where `now_ns` is given."""
    age = f" <span class=age>{escape(ago(time_ns, now_ns))}</span>" if now_ns is not None else ""
    machine = datetime.fromtimestamp(time_ns // 10**9, UTC).isoformat()
    return Markup(f'<time datetime="{machine}">{escape(utc(time_ns))}</time>{age}')  # noqa: S704 - parts are escaped


_CODE = re.compile(r"`([^`]{1,200})`")


def prose(text: str) -> Markup:
    """Our own sentences, with what stands in backquotes as `<code>`; everything in them is escaped first."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(plain(text)))))  # noqa: S704 - escaped in this line


def _clock(time_ns: int, fine: bool = True) -> str:
    """`03:12:10.250`, where the day is clear; without the fraction unless `fine`."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return f"{moment:%H:%M:%S}" + (f".{time_ns // 10**6 % 1000:03d}" if fine else "")


def _words(name: str) -> str:
    """`gpu_lost` as `gpu lost`."""
    return name.replace("_", " ")
