"""`/audit`: the append-only log, newest first, and on request whether its chain holds."""

import msgspec
from starlette.requests import Request

from agent.api.problem import Problem
from agent.api.words import audit_line
from agent.store.store import Store
from agent.web.render import View, page
from policies.model import AuditEntry

PAGE = 100


class _About(msgspec.Struct):
    incident: str = ""


def incident_of(entry: AuditEntry) -> str:
    """The incident that an entry belongs to; empty where it tells none."""
    if entry.about.startswith("INC-"):
        return entry.about
    try:
        return msgspec.json.decode(entry.detail, type=_About).incident
    except (msgspec.MsgspecError, RecursionError):
        return ""


def audit_page(request: Request) -> View:
    """GET /audit?before=SEQUENCE&verify=1"""
    store: Store = request.app.state.store
    before = request.query_params.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 18):
        raise Problem(400, "before is no sequence number", "/audit", "leave it out for the newest entries")
    if before:
        upto = int(before)
        entries = store.audit(after_sequence=max(0, upto - PAGE - 1), limit=max(1, min(PAGE, upto - 1)))
        entries = [entry for entry in reversed(entries) if entry.sequence < upto]
    else:
        entries = store.audit(limit=PAGE, newest_first=True)
    verified = "verify" in request.query_params
    shows = {
        "title": "Audit - Watchstander",
        "entries": [(entry, audit_line(entry.detail), incident_of(entry)) for entry in entries],
        "older": entries[-1].sequence if entries and entries[-1].sequence > 1 else None,
        "verified": verified,
        "broken_at": store.verify_audit() if verified else None,
        "paged": bool(before),
    }
    return View("audit.html", shows)


ROUTES = [page("/audit", audit_page)]
