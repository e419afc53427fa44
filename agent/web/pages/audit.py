"""`/audit`: the append-only log, newest first, and on request whether its chain holds."""

from starlette.requests import Request

from agent.api.problem import Problem
from agent.store.store import Store
from agent.web.render import View, page

PAGE = 100


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
        "entries": entries,
        "older": entries[-1].sequence if entries and entries[-1].sequence > 1 else None,
        "verified": verified,
        "broken_at": store.verify_audit() if verified else None,
        "paged": bool(before),
    }
    return View("audit.html", shows)


ROUTES = [page("/audit", audit_page)]
