"""The append-only audit, chained by hashes.

Two writers cannot fork it: `sequence` and `previous_hash` are unique, so that of two entries that follow the same one
the second is refused (IntegrityError), and its writer reads the chain's end anew.
"""

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from agent.store import chain
from agent.store.documents import column_text
from agent.store.tables.base import nanoseconds, table_of, text
from policies.model import AuditEntry

_PAGE = 1_000
"""Entries held at once while verifying."""


class AuditRow(SQLModel, table=True):
    """One entry; never updated, never deleted."""

    __tablename__ = "audit"

    sequence: int = nanoseconds(primary_key=True)
    time_ns: int = nanoseconds()
    actor: str = text()
    what: str = text()
    about: str = text(index=True)
    detail: str = text()
    previous_hash: str = text(unique=True)
    hash: str = text(unique=True)


AUDIT = table_of(AuditRow)


def append(connection: Connection, *, time_ns: int, actor: str, what: str, about: str, detail: str) -> AuditEntry:
    """One more entry behind the last. IntegrityError when another writer was faster."""
    last = newest_first(connection, 1)
    entry = chain.next_entry(
        last[0] if last else None,
        time_ns=time_ns,
        actor=column_text(actor),
        what=column_text(what),
        about=column_text(about),
        detail=column_text(detail),
    )
    columns = ("sequence", "time_ns", "actor", "what", "about", "detail", "previous_hash", "hash")
    connection.execute(AUDIT.insert().values({name: getattr(entry, name) for name in columns}))
    return entry


def newest_first(connection: Connection, limit: int, after_sequence: int = 0) -> list[AuditEntry]:
    """The last entries, the newest first."""
    return _entries(connection, after_sequence, limit, descending=True)


def in_order(connection: Connection, limit: int, after_sequence: int = 0) -> list[AuditEntry]:
    """The entries behind `after_sequence`, the oldest first."""
    return _entries(connection, after_sequence, limit, descending=False)


def first_broken(connection: Connection) -> int | None:
    """Sequence of the first entry that is not what was written; of a missing one, its own. None: all are whole."""
    last: AuditEntry | None = None
    while page := in_order(connection, _PAGE, last.sequence if last else -(1 << 62)):
        for entry in page:
            if not chain.follows(last, entry):
                return last.sequence + 1 if last else 1
            last = entry
    return None


def _entries(connection: Connection, after_sequence: int, limit: int, *, descending: bool) -> list[AuditEntry]:
    order = AUDIT.c.sequence.desc() if descending else AUDIT.c.sequence
    query = select(AUDIT).where(AUDIT.c.sequence > after_sequence).order_by(order).limit(limit)
    return [AuditEntry(**row) for row in connection.execute(query).mappings()]
