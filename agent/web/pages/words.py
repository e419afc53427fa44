"""What people say on an incident's page: plain forms, each behind the session's CSRF token; back to the page."""

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.access.authorise import Permission
from agent.access.guard import identity_of, requires
from agent.access.sight import OutOfReach
from agent.api.operation import now_ns_of
from agent.api.problem import Problem, problem_of
from agent.incidents.desk import Conflict, Desk
from agent.store.rows import Judgement
from agent.web.render import View, respond, visible_of
from collectors.errors import GiveUp, WatchError
from detectors.model import Incident

Form = dict[str, list[str]]
Speak = Callable[[Desk, Incident, str, int, Form], object]
MOST_FIELDS = 300
"""A form may list every finding of an incident."""
MOST_BYTES = 64 * 1024


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _snooze(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
    seconds = _one(form, "seconds")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        raise GiveUp("choose for how long to snooze")
    return desk.snooze(incident, who, now_ns + int(seconds) * 10**9, now_ns, _one(form, "note"))


def _resolve(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
    return desk.resolve(incident, who, now_ns, _one(form, "note"))


def _feedback(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
    given = _one(form, "judgement")
    if given not in set(Judgement):
        raise GiveUp("say true, false or duplicate")
    return desk.judge(incident, Judgement(given), who, now_ns, _one(form, "note"))


def _split(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
    return desk.split(incident, form.get("finding", []), who, now_ns, _one(form, "note"))


def _merge(request: Request) -> Speak:
    def speak(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
        wanted = _one(form, "into").strip()
        visible = visible_of(request)
        into = visible.incident(wanted)
        if into is None:
            raise GiveUp(f"no such incident: {wanted[:60]}")
        return desk.merge(incident, visible.must(Permission.ADMIN, into), who, now_ns, _one(form, "note"))

    return speak


def _acknowledge(desk: Desk, incident: Incident, who: str, now_ns: int, form: Form) -> object:
    return desk.acknowledge(incident, who, now_ns)


def _route(word: str, right: str, speak_of: Callable[[Request], Speak]) -> Route:
    @requires(right, cut=True)
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if len(body) > MOST_BYTES:
            return _trouble(request, Problem(413, "the form is too large", request.url.path, "write less"))
        return await run_in_threadpool(_answer, request, body, speak_of(request), Permission(right))

    return Route(f"/incidents/{{id}}/{word}", endpoint, methods=["POST"], name=f"word {word}")


def _answer(request: Request, body: bytes, speak: Speak, permission: Permission) -> Response:
    store = request.app.state.store
    try:
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
        visible = visible_of(request)
        seen = visible.incident(request.path_params["id"])
        if seen is None:
            return RedirectResponse("/", status_code=303)
        incident = visible.must(permission, seen)
        desk = Desk(store, request.app.state.watches)
        speak(desk, incident, identity_of(request).name, now_ns_of(request), form)
    except ValueError:
        return _trouble(request, Problem(400, "the form has too many fields", request.url.path, "load the page again"))
    except OutOfReach as error:
        return _trouble(request, problem_of(error, request.url.path))
    except Conflict as error:
        return _trouble(request, Problem(409, str(error), request.url.path, "load the incident's page again"))
    except GiveUp as error:
        return _trouble(request, Problem(400, str(error), request.url.path, "go back and change it"))
    except WatchError as error:
        return _trouble(request, problem_of(error, request.url.path))
    return RedirectResponse(f"/incidents/{incident.id}", status_code=303)


def _trouble(request: Request, problem: Problem) -> Response:
    return respond(request, View("problem.html", {"title": "Watchstander", "problem": problem.line}, problem.status))


ROUTES = [
    _route("acknowledge", "acknowledge", lambda request: _acknowledge),
    _route("snooze", "acknowledge", lambda request: _snooze),
    _route("resolve", "acknowledge", lambda request: _resolve),
    _route("feedback", "acknowledge", lambda request: _feedback),
    _route("merge", "admin", _merge),
    _route("split", "admin", lambda request: _split),
]
