"""Events: the largest table by rows, written by Core inserts only (the ORM would take half a core at 5,000/s).

The primary key begins with the time: events arrive, are asked for and are deleted in its order. The digest behind it
covers everything else, so that an event that comes again (a collector's spool, a replayed log) changes nothing.
"""

import hashlib
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, Index, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import binary, insert, nanoseconds, table_of, text
from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind

_DIGEST_BYTES = 16
"""128 bits: a chance of 1e-20 that two of a billion events of one instant collide."""


class EventRow(SQLModel, table=True):
    """One event."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "cluster", "subject_kind", "subject_id", "time_ns"),
        {"sqlite_with_rowid": False},  # rows lie in the order of the primary key: one tree, not two
    )

    time_ns: int = nanoseconds(primary_key=True)
    digest: bytes = binary(primary_key=True)
    cluster: str = text()
    subject_kind: str = text()
    subject_id: str = text()
    kind: str = text()
    source: str = text()
    document: str = text()
    """Values, attributes and line."""


EVENTS = table_of(EventRow)


class _Rest(msgspec.Struct, omit_defaults=True):
    """What has no column of its own."""

    values: dict[str, float] = {}
    attributes: dict[str, str] = {}
    line: str = ""


def save(connection: Connection, events: Sequence[Event]) -> None:
    """Insert those that are not there yet."""
    if events:
        connection.execute(insert(connection, EVENTS).on_conflict_do_nothing(), [_row(event) for event in events])


def between(
    connection: Connection,
    *,
    since_ns: int,
    until_ns: int,
    subject: Subject | None,
    cluster: str | None,
    kinds: Collection[EventKind] | None,
    limit: int,
) -> list[Event]:
    """From `since_ns` until before `until_ns`, oldest first."""
    query = (
        select(EVENTS)
        .where(EVENTS.c.time_ns >= since_ns, EVENTS.c.time_ns < until_ns)
        .order_by(EVENTS.c.time_ns, EVENTS.c.digest)
        .limit(limit)
    )
    if subject is not None:
        query = query.where(
            EVENTS.c.cluster == column_text(subject.cluster),
            EVENTS.c.subject_kind == subject.kind.value,
            EVENTS.c.subject_id == column_text(subject.id),
        )
    if cluster is not None:
        query = query.where(EVENTS.c.cluster == column_text(cluster))
    if kinds is not None:
        query = query.where(EVENTS.c.kind.in_([EventKind(kind).value for kind in kinds]))
    found = []
    for row in connection.execute(query):
        rest = documents.decode(row.document, _Rest, f"event of {row.subject_id} at {row.time_ns}")
        found.append(
            Event(
                kind=EventKind(row.kind),
                subject=Subject(row.cluster, SubjectKind(row.subject_kind), row.subject_id),
                time_ns=row.time_ns,
                source=EventSource(row.source),
                values=rest.values,
                attributes=rest.attributes,
                line=rest.line,
            )
        )
    return found


def _row(event: Event) -> dict[str, object]:
    document = documents.encode(_Rest(event.values, event.attributes, event.line), event.values.values())
    subject = event.subject
    words = (
        column_text(subject.cluster),
        subject.kind.value,
        column_text(subject.id),
        event.kind.value,
        event.source.value,
        document,
    )
    # Lengths first: no two different events may give the same bytes.
    told = "".join(f"{len(word)}:{word}" for word in words).encode()
    return {
        "time_ns": event.time_ns,
        "digest": hashlib.blake2b(told, digest_size=_DIGEST_BYTES).digest(),
        "cluster": words[0],
        "subject_kind": words[1],
        "subject_id": words[2],
        "kind": words[3],
        "source": words[4],
        "document": document,
    }
