"""`/audit`: the append-only log, newest first, and on request whether its chain holds."""

from starlette.requests import Request

from agent.access.sight import OutOfReach
from agent.access.visible_audit import audit, audit_before, incident_of
from agent.api.problem import Problem
from agent.api.words import audit_line
from agent.web.render import View, page, visible_of

PAGE = 100


def audit_page(request: Request) -> View:
    """GET /audit?before=SEQUENCE&verify=1"""
    visible = visible_of(request)
    before = request.query_params.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 18):
        raise Problem(400, "before is no sequence number", "/audit", "leave it out for the newest entries")
    found = audit_before(visible, int(before), PAGE) if before else audit(visible, limit=PAGE, newest_first=True)
    verified = "verify" in request.query_params
    if verified and visible.limited:
        raise OutOfReach("the chain holds all entries, and you may read some of them only")
    shows = {
        "title": "Audit - Watchstander",
        "entries": [(entry, audit_line(entry.detail), incident_of(entry)) for entry in found.entries],
        "hidden": found.hidden,
        "limited": visible.limited,
        "older": found.looked_to if found.looked_to > 1 and (found.entries or found.hidden) else None,
        "verified": verified,
        "broken_at": visible.store.verify_audit() if verified else None,
        "paged": bool(before),
    }
    return View("audit.html", shows)


ROUTES = [page("/audit", audit_page, cut=True)]
