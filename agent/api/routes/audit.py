"""The audit log, and whether its chain holds."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.access.visible_audit import audit
from agent.api.operation import LATEST_NS, Call, operation
from agent.api.shapes import AuditShape


class AuditQuery(msgspec.Struct, frozen=True):
    """A page of the log."""

    after: Annotated[int, Meta(ge=0, le=LATEST_NS, description="Only entries after this sequence number")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    order: Literal["oldest", "newest"] = "oldest"


class Audit(msgspec.Struct, frozen=True):
    """Entries in the order that was asked for."""

    entries: list[AuditShape]
    looked_to: int
    """Sequence number of the last entry that was looked at, shown or not: `after` of the next page, oldest first."""
    hidden: int
    """Entries that were passed over because you may not read them; hashes are then empty."""


class VerifyQuery(msgspec.Struct, frozen=True):
    """A hash that was published outside, to be looked for."""

    head: Annotated[str, Meta(max_length=64, pattern="^([0-9a-f]{64})?$", description="64 hex digits")] = ""
    sequence: Annotated[int, Meta(ge=1, le=LATEST_NS, description="Of its entry, where that is known")] | None = None


class Verified(msgspec.Struct, frozen=True):
    """Whether every entry's hash holds and chains to the one before, and the published hash stands among them."""

    holds: bool
    broken_at: int | None
    """Sequence number of the first entry that does not hold."""
    head: str
    """Hash of the newest entry, to compare with the one published outside; empty where the log is."""
    sequence: int
    """Of the newest entry: how many there have been."""
    first: int
    """Of the oldest entry that is kept."""
    head_problem: str
    """Why the hash that was asked about does not stand in this chain: it was rewritten, or its end cut off."""
    head_at: int | None
    """Sequence number of the entry that bears the hash that was asked about."""


def entries(call: Call[AuditQuery]) -> Audit:
    """GET /v1/audit"""
    query = call.query
    page = audit(call.visible, after_sequence=query.after, limit=query.limit, newest_first=query.order == "newest")
    return Audit([AuditShape.of(entry) for entry in page.entries], page.looked_to, page.hidden)


def verify(call: Call[VerifyQuery]) -> Verified:
    """GET /v1/audit/verify"""
    found = call.store.audit_log.check(call.query.head, call.query.sequence)
    return Verified(
        holds=found.holds,
        broken_at=found.broken_at,
        head=found.head,
        sequence=found.sequence,
        first=found.first,
        head_problem=found.head_problem,
        head_at=found.head_at,
    )


ROUTES = [
    operation(
        "GET",
        "/v1/audit",
        entries,
        query=AuditQuery,
        answer=Audit,
        summary="The append-only audit log",
        right="read",
        cut=True,
    ),
    operation(
        "GET",
        "/v1/audit/verify",
        verify,
        query=VerifyQuery,
        answer=Verified,
        summary="Check the audit's hash chain from its first entry to its last",
        right="read",
    ),
]
