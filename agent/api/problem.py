"""Errors of the API: `{"error": {"what", "where", "do"}}`, one clear line in three parts, and their status."""

import msgspec
from starlette.responses import Response

from agent.access.sight import OutOfReach
from collectors.errors import FixConfiguration, RetryLater, WatchError

RETRY_SECONDS = 5
OUT_OF_REACH = "ask somebody who holds the role in all of them; docs/access.md says what belongs to whom"


class ErrorLine(msgspec.Struct, frozen=True):
    """What is wrong, where, and what to do about it."""

    what: str
    where: str
    do: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer of 400 and above."""

    error: ErrorLine


class Problem(Exception):  # noqa: N818 - it is the answer, not a fault of ours
    """Raised by a handler: becomes an error answer."""

    def __init__(self, status: int, what: str, where: str, do: str) -> None:
        super().__init__(what)
        self.status = status
        self.line = ErrorLine(what, where, do)


def problem_of(error: WatchError, path: str) -> Problem:
    """How an error of ours looks from outside."""
    if isinstance(error, OutOfReach):
        return Problem(403, str(error), path, OUT_OF_REACH)
    if isinstance(error, RetryLater):
        return Problem(503, str(error), path, "try again in a few seconds")
    if isinstance(error, FixConfiguration):
        return Problem(500, str(error), path, "mend the agent's configuration")
    return Problem(400, str(error), path, "change the request; /v1/openapi.json describes it")


def answer(problem: Problem) -> Response:
    """The error answer."""
    headers = {"cache-control": "no-store"}
    if problem.status == 503:
        headers["retry-after"] = str(RETRY_SECONDS)
    return Response(
        msgspec.json.encode(ErrorBody(problem.line)),
        status_code=problem.status,
        media_type="application/json",
        headers=headers,
    )
