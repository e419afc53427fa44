"""What people say about an incident: in hand, snoozed, over, the same as another, several in one, right or wrong."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.access.authorise import Permission
from agent.access.guard import identity_of
from agent.api.incident_shapes import FeedbackShape
from agent.api.operation import LATEST_NS, ApiRoute, Call, NoQuery, operation
from agent.api.problem import Problem
from agent.api.routes.incidents import found, shape_of
from agent.api.shapes import IncidentShape
from agent.incidents.desk import LONGEST_NOTE, Conflict, Desk
from agent.store.rows import Judgement
from detectors.model import Incident

Note = Annotated[str, Meta(max_length=LONGEST_NOTE, description="Your own words; kept, and shown to others")]


class Changed(msgspec.Struct, frozen=True):
    """The incident as it now stands."""

    incident: IncidentShape


class BothChanged(msgspec.Struct, frozen=True):
    """Two incidents as they now stand: the one that was named first."""

    incident: IncidentShape
    other: IncidentShape


class Judged(msgspec.Struct, frozen=True):
    """What is kept of a judgement."""

    feedback: FeedbackShape


class NoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word without more to it."""

    note: Note = ""


class SnoozeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Until when."""

    until_ns: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Unix ns, by the agent's clock")]
    note: Note = ""


class MergeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With which one."""

    into: Annotated[str, Meta(min_length=1, max_length=200, description="Id of the incident that takes the findings")]
    note: Note = ""


class SplitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which findings go."""

    findings: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(min_length=1, max_length=200)]
    note: Note = ""


class FeedbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What you think of it."""

    judgement: Judgement
    note: Note = ""


def desk_of(call: Call[NoQuery]) -> Desk:
    """Where words come in."""
    return Desk(call.store, call.request.app.state.watches)


def who(call: Call[NoQuery]) -> str:
    """Who speaks, as the guard has proved it."""
    return identity_of(call.request).name


def mine(call: Call[NoQuery], permission: Permission = Permission.ACKNOWLEDGE) -> Incident:
    """The incident that the path names, to be changed: the role is asked for in every namespace that it concerns."""
    return call.visible.must(permission, found(call))


def shown(call: Call[NoQuery], after: Incident) -> IncidentShape:
    """What became of it, as the speaker may see it."""
    seen = call.visible.of(after)
    if seen is None:
        raise Problem(404, f"no such incident: {after.id}", call.request.url.path, "GET /v1/incidents lists them")
    return shape_of(seen)


def acknowledge(call: Call[NoQuery]) -> Changed:
    """POST /v1/incidents/{id}/acknowledge"""
    return Changed(shown(call, desk_of(call).acknowledge(mine(call), who(call), call.now_ns)))


def snooze(call: Call[NoQuery]) -> Changed:
    """POST /v1/incidents/{id}/snooze"""
    body: SnoozeBody = call.body
    after = desk_of(call).snooze(mine(call), who(call), body.until_ns, call.now_ns, body.note)
    return Changed(shown(call, after))


def resolve(call: Call[NoQuery]) -> Changed:
    """POST /v1/incidents/{id}/resolve"""
    body: NoteBody = call.body
    return Changed(shown(call, desk_of(call).resolve(mine(call), who(call), call.now_ns, body.note)))


def merge(call: Call[NoQuery]) -> BothChanged:
    """POST /v1/incidents/{id}/merge"""
    body: MergeBody = call.body
    incident, other = mine(call, Permission.ADMIN), call.visible.incident(body.into)
    if other is None:
        raise Problem(
            404, f"no such incident: {body.into[:60]}", "`into` of the JSON body", "GET /v1/incidents lists them"
        )
    into = call.visible.must(Permission.ADMIN, other)
    gone, kept = desk_of(call).merge(incident, into, who(call), call.now_ns, body.note)
    return BothChanged(shown(call, gone), shown(call, kept))


def split(call: Call[NoQuery]) -> BothChanged:
    """POST /v1/incidents/{id}/split"""
    body: SplitBody = call.body
    incident = mine(call, Permission.ADMIN)
    stays, new = desk_of(call).split(incident, body.findings, who(call), call.now_ns, body.note)
    return BothChanged(shown(call, stays), shown(call, new))


def feedback(call: Call[NoQuery]) -> Judged:
    """POST /v1/incidents/{id}/feedback"""
    body: FeedbackBody = call.body
    kept = desk_of(call).judge(mine(call), body.judgement, who(call), call.now_ns, body.note)
    return Judged(FeedbackShape.of(kept))


def _word(
    name: str,
    handler: Callable[[Call[NoQuery]], Any],
    answer: type[Any],
    summary: str,
    right: str,
    body: type[msgspec.Struct] | None = None,
) -> ApiRoute:
    def speak(call: Call[NoQuery]) -> Any:
        try:
            return handler(call)
        except Conflict as error:
            raise Problem(409, str(error), call.request.url.path, "GET the incident to see how it stands") from None

    path = f"/v1/incidents/{{id}}/{name}"
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
        cut=True,
    )


ROUTES = [
    _word("acknowledge", acknowledge, Changed, "Say that a person has it in hand; ends a snooze", "acknowledge"),
    _word("snooze", snooze, Changed, "Nothing more about it until a time to come", "acknowledge", SnoozeBody),
    _word("resolve", resolve, Changed, "Say that it is over, whatever its findings say", "acknowledge", NoteBody),
    _word("feedback", feedback, Judged, "Say whether it was right: for `quality`", "acknowledge", FeedbackBody),
    _word(
        "merge", merge, BothChanged, "Two incidents have one cause: its findings move to the other", "admin", MergeBody
    ),
    _word(
        "split", split, BothChanged, "Some findings have another cause: they become a new incident", "admin", SplitBody
    ),
]
