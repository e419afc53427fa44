"""`/plans` and `/plans/{id}`: what is to be done to the cluster, the card of one plan, and the forms for yes and no."""

from urllib.parse import parse_qs

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.access.authorise import Permission
from agent.access.cut import WITHHELD
from agent.access.guard import identity_of, requires
from agent.access.sight import OutOfReach
from agent.access.visible import targets
from agent.actions.actions import Actions
from agent.actions.approval import NOT_BEGUN, Conflict, NotAllowed
from agent.api.operation import now_ns_of
from agent.api.problem import Problem, problem_of
from agent.api.routes.plans import card_of, find_plan
from agent.cli.card import blast_words
from agent.web.pages.words import MOST_BYTES
from agent.web.render import View, page, respond, viewer_of, visible_of
from collectors.errors import GiveUp, WatchError
from policies.journal import OVER, PlanState

MOST_PLANS = 200
_ORDER = {state: place for place, state in enumerate((PlanState.AWAITING, PlanState.RUNNING, PlanState.READY))}


def plans_page(request: Request) -> View:
    """GET /plans"""
    visible = visible_of(request)
    journal = visible.store.journal
    every = journal.unfinished()
    mine = [entry for entry in every if visible.shows_plan(entry)]
    unfinished = sorted(mine, key=lambda entry: (_ORDER[entry.state], -entry.plan.made_ns))
    over = visible.plans(states=OVER, limit=MOST_PLANS)
    actions = request.app.state.actions
    pause = journal.paused()
    if pause is not None and visible.limited:
        pause = msgspec.structs.replace(pause, who="an administrator", reason=WITHHELD)
    shows = {
        "title": "Plans - Watchstander",
        "unfinished": unfinished[:MOST_PLANS],
        "over": over.items,
        "hidden": len(every) - len(mine) + over.hidden,
        "pause": pause,
        "why_not": actions.lead.leader() if isinstance(actions, Actions) and not visible.limited else "",
        "blast_words": _blast_words,
    }
    return View("plans.html", shows)


def plan_page(request: Request) -> View:
    """GET /plans/{id}"""
    visible = visible_of(request)
    entry = find_plan(visible, request.path_params["id"], request.url.path)
    shows = {
        "title": f"{entry.plan.id} - Watchstander",
        "entry": entry,
        "viewer": viewer_of(request, lambda right: visible.sight.may(right, targets(entry))),
        "card": card_of(visible, entry),
        "blast_words": _blast_words(entry.plan.blast),
        "waits": entry.state is PlanState.AWAITING,
        "stoppable": entry.state not in OVER,
        "begun": entry.state not in NOT_BEGUN,
    }
    return View("plan.html", shows)


def _blast_words(blast: object) -> str:
    names = ("nodes", "pods", "jobs", "ranks", "gpus", "names")
    return blast_words({name: getattr(blast, name) for name in names})


def _form(word: str) -> Route:
    @requires("approve", cut=True)
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if len(body) > MOST_BYTES:
            return _trouble(request, Problem(413, "the form is too large", request.url.path, "write less"))
        return await run_in_threadpool(_answer, request, body, word)

    return Route(f"/plans/{{id}}/{word}", endpoint, methods=["POST"], name=f"plan {word}")


def _answer(request: Request, body: bytes, word: str) -> Response:
    try:
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
        given = {name: values[0] for name, values in form.items()}
        visible = visible_of(request)
        entry = find_plan(visible, request.path_params["id"], request.url.path)
        visible.sight.must(Permission.APPROVE, targets(entry), entry.plan.id)
        actions = request.app.state.actions
        who, now_ns, note = identity_of(request), now_ns_of(request), given.get("note", "")
        if word == "approve":
            actions.approvals.approve(entry, given.get("digest", ""), who, now_ns, note)
        else:
            actions.approvals.reject(entry, who, now_ns, note)
    except Problem as problem:
        return _trouble(request, problem)
    except ValueError:
        return _trouble(request, Problem(400, "the form has too many fields", request.url.path, "load the page again"))
    except OutOfReach as error:
        return _trouble(request, problem_of(error, request.url.path))
    except Conflict as error:
        return _trouble(request, Problem(409, str(error), request.url.path, "load the plan's page again"))
    except NotAllowed as error:
        return _trouble(request, Problem(403, str(error), request.url.path, "ask somebody who may"))
    except GiveUp as error:
        return _trouble(request, Problem(400, str(error), request.url.path, "go back and change it"))
    except WatchError as error:
        return _trouble(request, problem_of(error, request.url.path))
    return RedirectResponse(f"/plans/{entry.plan.id}", status_code=303)


def _trouble(request: Request, problem: Problem) -> Response:
    return respond(request, View("problem.html", {"title": "Watchstander", "problem": problem.line}, problem.status))


ROUTES = [
    page("/plans", plans_page, cut=True),
    page("/plans/{id}", plan_page, cut=True),
    _form("approve"),
    _form("reject"),
]
