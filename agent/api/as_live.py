"""The origins that this agent takes for live, for routes and pages: these go by the clock of now."""

from starlette.requests import Request

from collectors.model import LIVE_ONLY, Origin


def as_live_of(request: Request) -> frozenset[Origin]:
    """`live`, and on a test cluster `test` too (`watch.test_as_live`)."""
    spaces = request.app.state.watches
    return LIVE_ONLY if spaces is None else frozenset(spaces.as_live)
