"""Findings, by id."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, or_, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import insert, nanoseconds, slices, table_of, text, upsert
from detectors.model import Finding, FindingKind

LONGEST_ALIKE_NS = 7 * 86_400 * 1_000_000_000
"""A cleared finding that had held for longer than a week does not count among peers."""


class FindingRow(SQLModel, table=True):
    """A finding as last stated."""

    __tablename__ = "findings"

    id: str = text(primary_key=True)
    cluster: str = text()
    opened_ns: int = nanoseconds(index=True)
    cleared_ns: int | None = nanoseconds(nullable=True, index=True)
    incident_id: str | None = text(nullable=True, index=True)
    """The incident that it was last seen in: it is kept as long as that is."""
    document: str = text()


FINDINGS = table_of(FindingRow)


def save(connection: Connection, findings: Sequence[Finding], incident_of: Mapping[str, str]) -> None:
    """Insert or replace; `incident_of` names the incident of those findings that belong to one."""
    rows = [
        {
            "id": column_text(finding.id),
            "cluster": column_text(finding.subject.cluster),
            "opened_ns": finding.opened_ns,
            "cleared_ns": finding.cleared_ns,
            "incident_id": incident_of.get(column_text(finding.id)),
            "document": _document(finding),
        }
        for finding in findings
    ]
    # A change that does not name the incident leaves it as it was.
    known = func.coalesce(insert(connection, FINDINGS).excluded.incident_id, FINDINGS.c.incident_id)
    upsert(connection, FINDINGS, rows, {"incident_id": known})


def link(connection: Connection, incident_of: Mapping[str, str]) -> None:
    """Note the incident of findings that were saved before."""
    by_incident: dict[str, list[str]] = {}
    for finding, incident in incident_of.items():
        by_incident.setdefault(incident, []).append(finding)
    for incident, ids in by_incident.items():
        for some in slices(ids):
            # Only where it differs: a growing incident names the same findings at every change.
            differs = or_(FINDINGS.c.incident_id.is_(None), FINDINGS.c.incident_id != incident)
            connection.execute(FINDINGS.update().where(FINDINGS.c.id.in_(some), differs).values(incident_id=incident))


def by_ids(connection: Connection, ids: Sequence[str]) -> list[Finding]:
    """Those that are known, in the order asked for."""
    found: dict[str, Finding] = {}
    wanted = [column_text(id_) for id_ in ids]
    for some in slices(wanted):
        query = select(FINDINGS.c.id, FINDINGS.c.document).where(FINDINGS.c.id.in_(some))
        found.update({row.id: _value(row.id, row.document) for row in connection.execute(query)})
    return [found[id_] for id_ in wanted if id_ in found]


def between(connection: Connection, since_ns: int, until_ns: int, cluster: str | None) -> list[Finding]:
    """Those that were open at some moment from `since_ns` until before `until_ns`, oldest first."""
    query = (
        select(FINDINGS.c.id, FINDINGS.c.document)
        .where(FINDINGS.c.opened_ns < until_ns)
        .where(or_(FINDINGS.c.cleared_ns.is_(None), FINDINGS.c.cleared_ns >= since_ns))
        .order_by(FINDINGS.c.opened_ns, FINDINGS.c.id)
    )
    if cluster is not None:
        query = query.where(FINDINGS.c.cluster == column_text(cluster))
    return [_value(row.id, row.document) for row in connection.execute(query)]


def alike(
    connection: Connection, kind: FindingKind, cluster: str, since_ns: int, until_ns: int, limit: int
) -> list[Finding]:
    """Findings of one kind that were open at some moment of the stretch, the latest first, at most `limit`.

    Of those that had cleared before, only what opened within LONGEST_ALIKE_NS before it is looked at.
    """
    recent = FINDINGS.c.opened_ns >= since_ns - LONGEST_ALIKE_NS
    query = (
        select(FINDINGS.c.id, FINDINGS.c.document)
        .where(
            FINDINGS.c.opened_ns < until_ns,
            or_(FINDINGS.c.cleared_ns.is_(None), recent & (FINDINGS.c.cleared_ns >= since_ns)),
            FINDINGS.c.cluster == column_text(cluster),
            # spares reading what is of other kinds; a text cannot hold an unescaped quote
            FINDINGS.c.document.contains(f'"kind":"{kind.value}"', autoescape=True),
        )
        .order_by(FINDINGS.c.opened_ns.desc(), FINDINGS.c.id)
        .limit(limit)
    )
    found = [_value(row.id, row.document) for row in connection.execute(query)]
    return [finding for finding in found if finding.kind is kind]


def still_open(connection: Connection) -> list[Finding]:
    """Those that have not cleared, oldest first."""
    query = (
        select(FINDINGS.c.id, FINDINGS.c.document)
        .where(FINDINGS.c.cleared_ns.is_(None))
        .order_by(FINDINGS.c.opened_ns, FINDINGS.c.id)
    )
    return [_value(row.id, row.document) for row in connection.execute(query)]


def _document(finding: Finding) -> str:
    floats = [number for item in finding.evidence for number in (item.value, item.expected)]
    return documents.encode(finding, [finding.confidence, *floats])


def _value(id_: str, document: str) -> Finding:
    return documents.decode(document, Finding, f"finding {id_}")
