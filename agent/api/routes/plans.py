"""Plans: the list, the card of one, yes and no to it; and the pause of all actions."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.access.authorise import Permission
from agent.access.cut import WITHHELD
from agent.access.guard import identity_of
from agent.access.visible import Visible, targets
from agent.actions.actions import Actions
from agent.actions.approval import LONGEST_NOTE, Conflict, NotAllowed
from agent.api.operation import LATEST_NS, ApiRoute, Call, NoQuery, operation
from agent.api.plan_shapes import CardShape, PlanShape
from agent.api.problem import Problem
from policies.journal import PlanEntry, PlanState

Note = Annotated[str, Meta(max_length=LONGEST_NOTE, description="Your own words; kept, and shown to others")]


class PlansQuery(msgspec.Struct, frozen=True):
    """Which plans; all of them where nothing is said."""

    state: tuple[PlanState, ...] = ()
    incident: Annotated[str, Meta(max_length=100, description="Whole id of an incident")] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="At most so many, newest first")] = 100
    before: Annotated[int, Meta(ge=0, le=LATEST_NS, description="`next_before` of the page before")] | None = None


class Plans(msgspec.Struct, frozen=True):
    """A page of plans, newest first."""

    plans: list[PlanShape]
    next_before: int | None
    """`before` of the next page; null on the last."""
    hidden: int
    """How many you may not read, on whatever page: those for a node, or about what you may not read whole."""


class Changed(msgspec.Struct, frozen=True):
    """The plan as it now stands."""

    plan: PlanShape


class ApproveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Yes to what was shown."""

    digest: Annotated[str, Meta(min_length=8, max_length=64, description="`digest` of the plan that you were shown")]
    note: Note = ""


class NoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word without more to it."""

    note: Note = ""


class PauseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_NOTE, description="Shown to everybody")]


class ActionsState(msgspec.Struct, frozen=True):
    """Whether anything can act now, and who leads."""

    acts: bool
    """Whether this agent watches a cluster that it could act on."""
    leads: bool
    generation: int
    """Of its lease while it leads, else 0."""
    why_not: str
    """Why it does not lead; empty where it does."""
    paused: bool
    paused_by: str
    reason: str
    paused_ns: int
    problems: list[str]
    """What keeps plans from being carried out, one line each."""


def actions_of(call: Call[Any]) -> Actions:
    """The agent's own; Problem 503 where it has none (an API without an agent behind it)."""
    actions = call.request.app.state.actions
    if not isinstance(actions, Actions):
        raise Problem(503, "this agent carries nothing out", call.request.url.path, "ask the agent itself")
    return actions


def find_plan(visible: Visible, wanted: str, where: str) -> PlanEntry:
    """By the id of a plan, or of an incident: its plan that is not over, else its newest. Problem 404, 400; 404 also
    where it may not be read: nobody can tell which."""
    entry = visible.plan(wanted)
    if entry is not None:
        return entry
    seen = visible.incident(wanted)
    incident = seen.incident if seen is not None else None
    plans = visible.plans(incident=incident.id).items if incident is not None else []
    order = (PlanState.AWAITING, PlanState.RUNNING, PlanState.READY)
    for state in order:
        held = [one for one in plans if one.state is state]
        if held:
            return held[0]
    if plans:
        return plans[0]
    what = f"incident {incident.id} has no plan" if incident is not None else f"no such plan or incident: {wanted[:60]}"
    raise Problem(404, what, where, "GET /v1/plans lists them")


def found(call: Call[NoQuery]) -> PlanEntry:
    """The plan that the path names."""
    return find_plan(call.visible, call.path["id"], call.request.url.path)


def mine(call: Call[NoQuery]) -> PlanEntry:
    """The same, to be approved or rejected: the role is asked for in every namespace of what it changes."""
    entry = found(call)
    call.visible.sight.must(Permission.APPROVE, targets(entry), entry.plan.id)
    return entry


def card_of(visible: Visible, entry: PlanEntry) -> CardShape:
    """Everything about a plan."""
    seen = visible.by_id(entry.plan.incident)
    if seen is None:  # it is no longer in the store: whoever is limited is shown no such plan
        return CardShape.of(entry, None, [], visible.store.decisions(entry.plan.incident))
    return CardShape.of(entry, seen.incident, seen.findings, visible.decisions(seen))


def list_plans(call: Call[PlansQuery]) -> Plans:
    """GET /v1/plans"""
    query = call.query
    page = call.visible.plans(
        states=query.state or None, incident=query.incident, limit=query.limit, before_ns=query.before
    )
    return Plans([PlanShape.of(entry) for entry in page.items], page.next_before, page.hidden)


def one_plan(call: Call[NoQuery]) -> CardShape:
    """GET /v1/plans/{id}"""
    return card_of(call.visible, found(call))


def approve(call: Call[NoQuery]) -> Changed:
    """POST /v1/plans/{id}/approve"""
    body: ApproveBody = call.body
    who = identity_of(call.request)
    return Changed(
        PlanShape.of(actions_of(call).approvals.approve(mine(call), body.digest, who, call.now_ns, body.note))
    )


def reject(call: Call[NoQuery]) -> Changed:
    """POST /v1/plans/{id}/reject"""
    body: NoteBody = call.body
    who = identity_of(call.request)
    return Changed(PlanShape.of(actions_of(call).approvals.reject(mine(call), who, call.now_ns, body.note)))


def state(call: Call[NoQuery]) -> ActionsState:
    """GET /v1/actions"""
    actions = actions_of(call)
    pause = actions.journal.paused()
    why_not = actions.lead.leader()
    told = ActionsState(
        acts=actions.acts,
        leads=not why_not,
        generation=actions.lead.generation() or 0,
        why_not=why_not,
        paused=pause is not None,
        paused_by=pause.who if pause else "",
        reason=pause.reason if pause else "",
        paused_ns=pause.time_ns if pause else 0,
        problems=actions.problems(),
    )
    if not call.visible.limited:
        return told
    # people's words and what keeps plans back name nodes and pods of anybody
    return msgspec.structs.replace(
        told,
        why_not=WITHHELD if told.why_not else "",
        paused_by=WITHHELD if told.paused else "",
        reason=WITHHELD if told.paused else "",
        problems=[WITHHELD for _ in told.problems],
    )


def pause(call: Call[NoQuery]) -> ActionsState:
    """POST /v1/actions/pause"""
    body: PauseBody = call.body
    actions = actions_of(call)
    actions.journal.pause(identity_of(call.request).name, body.reason, call.now_ns)
    actions.pauses.changed()
    return state(call)


def resume(call: Call[NoQuery]) -> ActionsState:
    """POST /v1/actions/resume"""
    body: NoteBody = call.body
    actions = actions_of(call)
    if not actions.journal.resume(identity_of(call.request).name, call.now_ns, body.note):
        raise Problem(409, "actions are not paused", call.request.url.path, "GET /v1/actions says how they stand")
    actions.pauses.changed()
    return state(call)


def _word(
    path: str,
    handler: Callable[[Call[NoQuery]], Any],
    answer: type[Any],
    summary: str,
    right: str,
    body: type[msgspec.Struct],
    *,
    cut: bool = False,
) -> ApiRoute:
    def speak(call: Call[NoQuery]) -> Any:
        try:
            return handler(call)
        except Conflict as error:
            raise Problem(409, str(error), call.request.url.path, "GET the plan to see how it stands") from None
        except NotAllowed as error:
            raise Problem(403, str(error), call.request.url.path, "docs/approval.md says who may") from None

    return operation(
        "POST",
        path,
        speak,
        query=NoQuery,
        answer=answer,
        summary=summary,
        right=right,
        errors=(404, 409),
        body=body,
        cut=cut,
    )


ROUTES = [
    operation(
        "GET",
        "/v1/plans",
        list_plans,
        query=PlansQuery,
        answer=Plans,
        summary="Plans: what is to be done to the cluster, and how far it is; newest first",
        right="read",
        cut=True,
    ),
    operation(
        "GET",
        "/v1/plans/{id}",
        one_plan,
        query=NoQuery,
        answer=CardShape,
        summary="One plan with why, whom it touches, evidence, guards and undo; the id of an incident finds its plan",
        right="read",
        errors=(404,),
        cut=True,
    ),
    _word(
        "/v1/plans/{id}/approve", approve, Changed, "Yes to the plan of this digest", "approve", ApproveBody, cut=True
    ),
    _word("/v1/plans/{id}/reject", reject, Changed, "No to a plan; one under way stops", "approve", NoteBody, cut=True),
    operation(
        "GET",
        "/v1/actions",
        state,
        query=NoQuery,
        answer=ActionsState,
        summary="Whether anything can act now: who leads, and whether all actions are paused",
        right="read",
        cut=True,
    ),
    _word("/v1/actions/pause", pause, ActionsState, "Nothing acts until `resume`; audited", "admin", PauseBody),
    _word("/v1/actions/resume", resume, ActionsState, "Actions go on; audited", "admin", NoteBody),
]
