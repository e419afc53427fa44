"""Incidents, by id, and people's acknowledgements of them.

The document holds the watch's own word on the state, the column what is in force: an acknowledgement is a person's
word, which the watch does not know of, so saving the incident as open again does not undo it. It ends when the incident
is resolved.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, case, func, or_, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import insert, nanoseconds, table_of, text, upsert
from agent.store.tables.findings import FINDINGS
from collectors.errors import GiveUp
from collectors.model import Origin
from detectors.model import Incident, IncidentState

ID_PREFIX = "INC-"
CANDIDATES = 5
"""How many incidents an ambiguous prefix names."""


class IncidentRow(SQLModel, table=True):
    """An incident as last stated, and who acknowledged it."""

    __tablename__ = "incidents"

    id: str = text(primary_key=True)
    state: str = text(index=True)
    cluster: str = text()
    origin: str = text()
    opened_ns: int = nanoseconds(index=True)
    updated_ns: int = nanoseconds(index=True)
    acknowledged_ns: int | None = nanoseconds(nullable=True)
    acknowledged_by: str | None = text(nullable=True)
    document: str = text()


INCIDENTS = table_of(IncidentRow)
_COLUMNS = (INCIDENTS.c.id, INCIDENTS.c.state, INCIDENTS.c.document)
_LOCKED = (  # made once: run for every step that ends
    select(*_COLUMNS)
    .where(INCIDENTS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(INCIDENTS.c.id)
    .with_for_update()
)


def save(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Insert or replace; an acknowledgement stays until the incident is resolved."""
    rows = [
        {
            "id": column_text(incident.id),
            "state": incident.state.value,
            "cluster": column_text(incident.subject.cluster),
            "origin": incident.origin.value,
            "opened_ns": incident.opened_ns,
            "updated_ns": incident.updated_ns,
            "document": documents.encode(incident),
        }
        for incident in incidents
    ]
    new = insert(connection, INCIDENTS).excluded
    was_resolved = INCIDENTS.c.state == IncidentState.RESOLVED.value
    stays = (new.state == IncidentState.OPEN.value) & INCIDENTS.c.acknowledged_ns.is_not(None) & ~was_resolved
    special = {
        "state": case((stays, IncidentState.ACKNOWLEDGED.value), else_=new.state),
        "acknowledged_ns": case((was_resolved, None), else_=INCIDENTS.c.acknowledged_ns),
        "acknowledged_by": case((was_resolved, None), else_=INCIDENTS.c.acknowledged_by),
    }
    upsert(connection, INCIDENTS, rows, special)


def acknowledge(connection: Connection, incident_id: str, who: str, now_ns: int) -> tuple[Incident, bool]:
    """A person's word that somebody looks after it; the incident, and whether that was news.

    GiveUp when there is no such incident or it is resolved.
    """
    wanted = column_text(incident_id)
    query = select(*_COLUMNS, INCIDENTS.c.acknowledged_ns).where(INCIDENTS.c.id == wanted).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise GiveUp(f"no incident {incident_id[:60]}; `watchstander incidents` lists them")
    incident = value_of(row)
    if incident.state is IncidentState.RESOLVED:
        raise GiveUp(f"incident {incident_id} is resolved already: there is nothing to acknowledge")
    snoozed = incident.state is IncidentState.SNOOZED
    if row.acknowledged_ns is not None and not snoozed:
        return incident, False
    state = IncidentState.ACKNOWLEDGED if snoozed or incident.state is IncidentState.OPEN else incident.state
    after = msgspec.structs.replace(incident, state=state, snoozed_until_ns=None)
    connection.execute(
        INCIDENTS.update()
        .where(INCIDENTS.c.id == wanted)
        .values(
            state=state.value,
            acknowledged_ns=now_ns,
            acknowledged_by=column_text(who),
            document=documents.encode(after) if snoozed else row.document,
        )
    )
    return after, True


def locked(connection: Connection, ids: Collection[str]) -> list[Incident]:
    """Incidents by their whole ids, kept from changing until the transaction ends; those that there are."""
    wanted = [column_text(id_) for id_ in ids]
    return [value_of(row) for row in connection.execute(_LOCKED, {"ids": wanted})]


def awake(connection: Connection, now_ns: int) -> list[Incident]:
    """Those that were snoozed until now or before."""
    query = select(*_COLUMNS).where(INCIDENTS.c.state == IncidentState.SNOOZED.value).order_by(INCIDENTS.c.id)
    snoozed = [value_of(row) for row in connection.execute(query)]
    return [incident for incident in snoozed if now_ns >= (incident.snoozed_until_ns or 0)]


def lately_resolved(connection: Connection, cluster: str, origin: Origin, limit: int) -> list[Incident]:
    """What may come back, the latest first; and, however old, what was resolved while a finding of it still holds."""
    resolved = (INCIDENTS.c.state == IncidentState.RESOLVED.value) & (INCIDENTS.c.cluster == column_text(cluster))
    query = (
        select(*_COLUMNS)
        .where(resolved & (INCIDENTS.c.origin == origin.value))
        .order_by(INCIDENTS.c.updated_ns.desc(), INCIDENTS.c.id)
        .limit(limit)
    )
    holding = select(FINDINGS.c.incident_id).where(FINDINGS.c.cleared_ns.is_(None), FINDINGS.c.incident_id.is_not(None))
    still = select(*_COLUMNS).where(resolved & (INCIDENTS.c.origin == origin.value) & INCIDENTS.c.id.in_(holding))
    found = {row.id: value_of(row) for one in (query, still) for row in connection.execute(one)}
    return list(found.values())


def newest(
    connection: Connection,
    *,
    states: Collection[IncidentState] | None,
    cluster: str | None,
    origin: Origin | None,
    limit: int,
    before_ns: int | None,
) -> list[Incident]:
    """Newest first by when they opened, those before `before_ns`."""
    query = select(*_COLUMNS).order_by(INCIDENTS.c.opened_ns.desc(), INCIDENTS.c.id.desc()).limit(limit)
    if states is not None:
        query = query.where(INCIDENTS.c.state.in_([IncidentState(state).value for state in states]))
    if cluster is not None:
        query = query.where(INCIDENTS.c.cluster == column_text(cluster))
    if origin is not None:
        query = query.where(INCIDENTS.c.origin == Origin(origin).value)
    if before_ns is not None:
        query = query.where(INCIDENTS.c.opened_ns < before_ns)
    return [value_of(row) for row in connection.execute(query)]


def still_open(connection: Connection) -> list[Incident]:
    """All that are not resolved, oldest first."""
    query = (
        select(*_COLUMNS)
        .where(INCIDENTS.c.state != IncidentState.RESOLVED.value)
        .order_by(INCIDENTS.c.opened_ns, INCIDENTS.c.id)
    )
    return [value_of(row) for row in connection.execute(query)]


def by_prefix(connection: Connection, id_or_prefix: str) -> Incident | None:
    """By its id, or by a beginning of it that no other has, in any case and with or without `INC-`."""
    return only_one(id_or_prefix, fitting(connection, id_or_prefix, CANDIDATES + 1))


def fitting(connection: Connection, id_or_prefix: str, limit: int) -> list[Incident]:
    """The one of this id, else all whose id begins so, by id; at most `limit`."""
    wanted = column_text(id_or_prefix)
    row = connection.execute(select(*_COLUMNS).where(INCIDENTS.c.id == wanted)).one_or_none()
    if row is not None:
        return [value_of(row)]
    wanted = wanted.lower()
    if not wanted.removeprefix(ID_PREFIX.lower()):
        return []
    starts = [
        func.lower(func.substr(INCIDENTS.c.id, 1, len(start))) == start
        for start in (wanted, ID_PREFIX.lower() + wanted)
    ]
    query = select(*_COLUMNS).where(or_(*starts)).order_by(INCIDENTS.c.id).limit(limit)
    return [value_of(row) for row in connection.execute(query)]


def only_one(asked: str, found: Sequence[Incident]) -> Incident | None:
    """The only one that fits; GiveUp names the candidates where several do."""
    if len(found) > 1:
        names = ", ".join(one.id for one in found[:CANDIDATES]) + (", ..." if len(found) > CANDIDATES else "")
        raise GiveUp(f"{asked[:60]} is the beginning of more than one incident: {names}; give more of it")
    return found[0] if found else None


def value_of(row: Row[*tuple[Any, ...]]) -> Incident:
    """The incident of a row with `id`, `state` and `document`: the column has the last word on the state."""
    incident = documents.decode(row.document, Incident, f"incident {row.id}")
    return msgspec.structs.replace(incident, state=IncidentState(row.state))
