"""The audit log, and whether its chain holds."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.api.operation import LATEST_NS, Call, NoQuery, operation
from agent.api.shapes import AuditShape


class AuditQuery(msgspec.Struct, frozen=True):
    """A page of the log."""

    after: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Only entries after this sequence number")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    order: Literal["oldest", "newest"] = "oldest"


class Audit(msgspec.Struct, frozen=True):
    """Entries in the order that was asked for."""

    entries: list[AuditShape]


class Verified(msgspec.Struct, frozen=True):
    """Whether every entry's hash holds and chains to the one before."""

    holds: bool
    broken_at: int | None
    """Sequence number of the first entry that does not hold."""
    head: str
    """Hash of the newest entry, to compare with the one published outside; empty where the log is."""


def entries(call: Call[AuditQuery]) -> Audit:
    """GET /v1/audit"""
    query = call.query
    found = call.store.audit(after_sequence=query.after, limit=query.limit, newest_first=query.order == "newest")
    return Audit([AuditShape.of(entry) for entry in found])


def verify(call: Call[NoQuery]) -> Verified:
    """GET /v1/audit/verify"""
    broken = call.store.verify_audit()
    newest = call.store.audit(limit=1, newest_first=True)
    return Verified(holds=broken is None, broken_at=broken, head=newest[0].hash if newest else "")


ROUTES = [
    operation(
        "GET", "/v1/audit", entries, query=AuditQuery, answer=Audit, summary="The append-only audit log", right="read"
    ),
    operation(
        "GET",
        "/v1/audit/verify",
        verify,
        query=NoQuery,
        answer=Verified,
        summary="Check the audit's hash chain from its first entry to its last",
        right="read",
    ),
]
