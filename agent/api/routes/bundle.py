"""Everything around one incident as one file, to be played elsewhere. docs/bundle.md describes it."""

import tempfile
import threading
from typing import IO, Annotated

import msgspec
from msgspec import Meta

from agent.access.visible_nodes import inventory_of
from agent.api.as_live import as_live_of
from agent.api.nearby import in_causal_order
from agent.api.operation import Call, file_operation
from agent.api.problem import Problem
from agent.bundle.make import Asked, gather, write
from agent.bundle.reach import AFTER_SECONDS, BEFORE_SECONDS, MOST_AFTER_SECONDS, MOST_BEFORE_SECONDS
from collectors.errors import RetryLater
from detectors.model import Incident

MEDIA_TYPE = "application/zip"
_ONE_AT_A_TIME = threading.Lock()
"""Gathering reads the whole ingest log: ten people at once must not hold up the watch."""


class BundleQuery(msgspec.Struct, frozen=True):
    """How much of what was before and after, and whether names are replaced."""

    before: Annotated[float, Meta(ge=0, le=MOST_BEFORE_SECONDS, description="Seconds of history")] = BEFORE_SECONDS
    after: Annotated[float, Meta(ge=0, le=MOST_AFTER_SECONDS, description="Seconds after the last word")] = (
        AFTER_SECONDS
    )
    rename: bool = False


def bundle(call: Call[BundleQuery]) -> tuple[IO[bytes], str]:
    """GET /v1/incidents/{id}/bundle"""
    wanted = call.path["id"]
    incident = call.store.incident(wanted)
    if incident is None:
        raise Problem(404, f"no such incident: {wanted[:60]}", call.request.url.path, "GET /v1/incidents lists them")
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise RetryLater("another bundle is being gathered")
    try:
        return _made(call, incident), f"{incident.id}.zip"
    finally:
        _ONE_AT_A_TIME.release()


def _made(call: Call[BundleQuery], incident: Incident) -> IO[bytes]:
    query, state = call.query, call.request.app.state
    findings = in_causal_order(incident, call.store.findings(incident.findings))
    decisions = call.store.decisions(incident.id)
    live = incident.origin in as_live_of(call.request)
    asked = Asked(incident, findings, decisions, call.now_ns, query.before, query.after, query.rename, live)
    inventory, log = inventory_of(state.watches, incident.origin, incident.subject.cluster), state.ingest_log
    try:
        file = tempfile.TemporaryFile(dir=log.folder if log is not None else None)  # noqa: SIM115 - sent later
    except OSError as error:
        raise RetryLater(f"no room for a bundle: {error.strerror}") from None
    try:
        write(file, asked, gather(asked, call.store, log, inventory), call.store)
    except OSError as error:
        file.close()
        raise RetryLater(f"the bundle could not be written: {error.strerror}") from None
    except BaseException:
        file.close()
        raise
    return file


ROUTES = [
    file_operation(
        "/v1/incidents/{id}/bundle",
        bundle,
        query=BundleQuery,
        media_type=MEDIA_TYPE,
        summary="Everything around one incident as one file that `watchstander replay` plays to the same incident",
        right="read",
        errors=(404,),
    )
]
