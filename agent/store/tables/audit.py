"""The append-only audit, chained by hashes.

Two writers cannot fork it: `sequence` and `previous_hash` are unique, so that of two entries that follow the same one
the second is refused (IntegrityError), and its writer reads the chain's end anew.
"""

from sqlalchemy import Connection, func, select
from sqlmodel import SQLModel

from agent.store import chain
from agent.store.documents import column_text
from agent.store.tables.base import nanoseconds, table_of, text
from policies.model import AuditEntry

_PAGE = 1_000
"""Entries held at once while verifying."""


class AuditRow(SQLModel, table=True):
    """One entry; never updated, deleted only behind a checkpoint."""

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
_COLUMNS = ("sequence", "time_ns", "actor", "what", "about", "detail", "previous_hash", "hash")
# Made once: every change of a plan runs both.
_LAST = select(AUDIT.c.sequence, AUDIT.c.hash).order_by(AUDIT.c.sequence.desc()).limit(1)
_INSERT = AUDIT.insert()


def append(connection: Connection, *, time_ns: int, actor: str, what: str, about: str, detail: str) -> AuditEntry:
    """One more entry behind the last. IntegrityError when another writer was faster."""
    last = connection.execute(_LAST).one_or_none()
    entry = chain.entry_behind(
        (last.sequence, last.hash) if last is not None else None,
        time_ns=time_ns,
        actor=column_text(actor),
        what=column_text(what),
        about=column_text(about),
        detail=column_text(detail),
    )
    connection.execute(_INSERT, {name: getattr(entry, name) for name in _COLUMNS})
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
    cut = chain.checkpoint_of(checkpoints(connection))
    while page := in_order(connection, _PAGE, last.sequence if last else -(1 << 62)):
        for entry in page:
            if not (chain.follows(last, entry) if last is not None else chain.begins(entry, cut)):
                return last.sequence + 1 if last else cut[0] + 1 if cut else 1
            last = entry
    return None


def checkpoints(connection: Connection) -> list[AuditEntry]:
    """The entries that say where the log was cut."""
    query = select(AUDIT).where(AUDIT.c.about == "audit", AUDIT.c.what == "checkpoint").order_by(AUDIT.c.sequence)
    return [AuditEntry(**row) for row in connection.execute(query).mappings()]


def by_hash(connection: Connection, hash_: str) -> AuditEntry | None:
    """The entry that bears a hash."""
    row = connection.execute(select(AUDIT).where(AUDIT.c.hash == column_text(hash_))).mappings().one_or_none()
    return AuditEntry(**row) if row is not None else None


def last_before(connection: Connection, before_ns: int) -> AuditEntry | None:
    """The last entry of the stretch at the beginning of the log in which every entry is older than that; the newest
    entry of all is never it."""
    younger = select(func.min(AUDIT.c.sequence)).where(AUDIT.c.time_ns >= before_ns)
    first = connection.execute(younger).scalar()
    newest = connection.execute(select(func.max(AUDIT.c.sequence))).scalar() or 0
    bound = min(first if first is not None else newest, newest)
    query = select(AUDIT).where(AUDIT.c.sequence < bound).order_by(AUDIT.c.sequence.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return AuditEntry(**row) if row is not None else None


def _entries(connection: Connection, after_sequence: int, limit: int, *, descending: bool) -> list[AuditEntry]:
    order = AUDIT.c.sequence.desc() if descending else AUDIT.c.sequence
    query = select(AUDIT).where(AUDIT.c.sequence > after_sequence).order_by(order).limit(limit)
    return [AuditEntry(**row) for row in connection.execute(query).mappings()]
