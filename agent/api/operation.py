"""One operation of the API: its query, its answer, its right and its words, stated once.

A handler is a plain function of a `Call`; the route parses and checks the query, runs the handler in a thread (store
calls are synchronous), encodes what it returns, and turns errors into error answers. `agent.api.openapi` describes
the same statements, so the two cannot part.

    ROUTES = [operation("GET", "/v1/things", things, query=ThingsQuery, answer=Things, summary="...", right="read")]
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar, get_origin

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from agent.access.guard import identity_of, requires
from agent.access.visible import Visible
from agent.api.problem import Problem, answer, problem_of
from agent.store.store import Store
from collectors.errors import WatchError

Q = TypeVar("Q", bound=msgspec.Struct)
MOST_BODY_BYTES = 64 * 1024
"""A person's word is short; 200 ids of findings fit."""
PIECE_BYTES = 256 * 1024
LATEST_NS = 2**63 - 1
"""What int64 holds: a time beyond it is refused before the store has to."""


class NoQuery(msgspec.Struct, frozen=True):
    """An operation without query parameters."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Q]):
    """What a handler is given."""

    store: Store
    query: Q
    path: Mapping[str, str]
    """Path parameters."""
    request: Request
    """For what is rarer: the caller's identity."""
    body: Any = None
    """The body as the operation's own struct, where it has one."""

    @property
    def now_ns(self) -> int:
        """The agent's clock, Unix ns."""
        return now_ns_of(self.request)

    @property
    def visible(self) -> Visible:
        """The store as the caller may see it."""
        return Visible(self.store, identity_of(self.request))


def now_ns_of(request: Request) -> int:
    """The agent's clock, Unix ns."""
    clock: Callable[[], int] = request.app.state.clock
    return clock()


@dataclass(frozen=True, slots=True)
class Operation:
    """What the OpenAPI document says about a route."""

    method: str
    path: str
    summary: str
    right: str
    query: type[msgspec.Struct]
    answer: type[Any]
    errors: tuple[int, ...]
    body: type[msgspec.Struct] | None = None
    cut: bool = False
    """Whether it shows and changes only what its caller may read, so that readers of single namespaces get in."""
    media_type: str = "application/json"
    """Of the answer; anything but JSON is described as bytes."""


class ApiRoute(Route):
    """A route that knows its operation."""

    operation: Operation


def operation(
    method: str,
    path: str,
    handler: Callable[[Call[Q]], Any],
    *,
    query: type[Q],
    answer: type[Any],
    summary: str,
    right: str,
    errors: tuple[int, ...] = (),
    body: type[msgspec.Struct] | None = None,
    cut: bool = False,
) -> ApiRoute:
    """The route of one operation. `right` is what the caller must hold (agent.access). `body`: the JSON it is sent.

    `cut`: the handler reads through `Call.visible` and nothing else; without it, readers of single namespaces are
    refused.
    """

    @requires(right, cut=cut)
    async def endpoint(request: Request) -> Response:
        try:
            asked = read_query(request, query)
            told = await read_body(request, body) if body is not None else None
            call = Call(request.app.state.store, asked, request.path_params, request, told)
            result = await run_in_threadpool(handler, call)
        except Problem as problem:
            return _problem(problem)
        except WatchError as error:
            return _problem(problem_of(error, request.url.path))
        return Response(
            msgspec.json.encode(result), media_type="application/json", headers={"cache-control": "no-store"}
        )

    route = ApiRoute(path, endpoint, methods=[method])
    route.operation = Operation(method, path, summary, right, query, answer, (400, *errors), body, cut)
    return route


def file_operation(
    path: str,
    handler: Callable[[Call[Q]], tuple[IO[bytes], str]],
    *,
    query: type[Q],
    media_type: str,
    summary: str,
    right: str,
    errors: tuple[int, ...] = (),
) -> ApiRoute:
    """A GET whose answer is a file: the handler gives one that is open at its beginning, and its name.

    It is sent piece by piece with its length before it, so that a download that is cut shows, and closed at the end.
    """

    @requires(right)
    async def endpoint(request: Request) -> Response:
        try:
            call = Call(request.app.state.store, read_query(request, query), request.path_params, request)
            file, name = await run_in_threadpool(handler, call)
        except Problem as problem:
            return answer(problem)
        except WatchError as error:
            return answer(problem_of(error, request.url.path))
        size = file.seek(0, 2)
        file.seek(0)
        headers = {
            "cache-control": "no-store",
            "content-length": str(size),
            "content-disposition": f'attachment; filename="{name}"',
        }
        return StreamingResponse(_pieces(file), media_type=media_type, headers=headers)

    route = ApiRoute(path, endpoint, methods=["GET"])
    route.operation = Operation("GET", path, summary, right, query, bytes, (400, *errors), media_type=media_type)
    return route


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


_problem = answer
"""`answer` under a name that `operation`'s own parameter does not hide."""


def read_query(request: Request, shape: type[Q]) -> Q:
    """The query parameters as a struct; Problem 400 names the one that is wrong.

    A tuple field takes its parameter several times or once with commas; every other field takes it once.
    """
    fields = {field.name: field for field in msgspec.structs.fields(shape)}
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        field = fields.get(name)
        if field is None:
            known = ", ".join(fields) or "none"
            raise _bad(name, "no such query parameter", f"known here: {known}")
        if get_origin(field.type) is tuple:
            given[name] = [part for value in values for part in value.split(",") if part]
        elif len(values) > 1:
            raise _bad(name, "given more than once", "give it once")
        else:
            given[name] = values[0]
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$.")
        name = at.rstrip("`").partition("[")[0]
        if not at:  # a required field that is absent: "Object missing required field `x`"
            name = what.rpartition("field `")[2].rstrip("`")
        raise _bad(name, what, "/v1/openapi.json describes it") from None


async def read_body(request: Request, shape: type[Any]) -> Any:
    """The JSON body as a struct; Problem 400 names the field that is wrong, 413 a body that is too large."""
    length = request.headers.get("content-length", "")
    if length and (not length.isdigit() or int(length) > MOST_BODY_BYTES):
        raise _too_large(request)
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MOST_BODY_BYTES:
            raise _too_large(request)
    try:
        return msgspec.json.decode(raw or b"{}", type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Problem(400, str(error)[:300], "the JSON body", "/v1/openapi.json describes it") from None


def _too_large(request: Request) -> Problem:
    return Problem(413, f"a body of more than {MOST_BODY_BYTES} bytes", request.url.path, "send less")


def _bad(name: str, what: str, do: str) -> Problem:
    return Problem(400, what, f"query parameter {name[:60]}", do)
