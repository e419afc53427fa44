"""What tells one incident from another, as columns: kind, subject, node, job. For base rates and similar incidents."""

from collections.abc import Sequence

from sqlalchemy import Connection, Index, case, func, select
from sqlmodel import SQLModel

from agent.store.documents import column_text, decode
from agent.store.rows import KindCount, Occurrences, RuleOnly
from agent.store.tables.base import nanoseconds, table_of, text, upsert
from agent.store.tables.decisions import DECISIONS
from agent.store.tables.incidents import INCIDENTS, value_of
from agent.store.tables.words import FEEDBACK
from collectors.model import Origin
from detectors.model import Incident

MOST_SCANNED = 50_000
"""Incidents looked at for one figure: a store that holds more in a month says so by its newest."""


class FeatureRow(SQLModel, table=True):
    """One incident's features as last stated."""

    __tablename__ = "incident_features"
    __table_args__ = (
        Index(None, "cluster", "kind", "opened_ns"),
        Index(None, "opened_ns"),
    )

    id: str = text(primary_key=True)
    cluster: str = text()
    origin: str = text()
    kind: str = text()
    subject_kind: str = text()
    subject_id: str = text()
    node: str = text()
    """By name; empty where unknown, as is `job`."""
    job: str = text()
    opened_ns: int = nanoseconds()
    findings: int = nanoseconds()
    """How many it holds; 0: it was merged into another incident, with which it counts."""


FEATURES = table_of(FeatureRow)


def row_of(incident: Incident) -> dict[str, object]:
    """The features of one incident."""
    return {
        "id": column_text(incident.id),
        "cluster": column_text(incident.subject.cluster),
        "origin": incident.origin.value,
        "kind": incident.kind.value,
        "subject_kind": incident.subject.kind.value,
        "subject_id": column_text(incident.subject.id),
        "node": column_text(incident.names.get("node", "")),
        "job": column_text(incident.names.get("job", "")),
        "opened_ns": incident.opened_ns,
        "findings": len(incident.findings),
    }


def save(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Insert or replace."""
    upsert(connection, FEATURES, [row_of(incident) for incident in incidents])


def occurrences(connection: Connection, incident: Incident, since_ns: int) -> Occurrences:
    """How often this kind was seen on this subject and elsewhere since then, up to and with this incident.

    What was merged into another incident counts with that one.
    """
    subject = FEATURES.c.subject_id
    counted = (
        select(subject)
        .where(
            FEATURES.c.cluster == column_text(incident.subject.cluster),
            FEATURES.c.kind == incident.kind.value,
            FEATURES.c.opened_ns >= since_ns,
            FEATURES.c.opened_ns <= incident.opened_ns,
            FEATURES.c.origin == incident.origin.value,
            FEATURES.c.subject_kind == incident.subject.kind.value,
            FEATURES.c.findings > 0,
        )
        .order_by(FEATURES.c.opened_ns.desc())
        .limit(MOST_SCANNED)
        .subquery()
    )
    query = select(counted.c.subject_id, func.count().label("times")).group_by(counted.c.subject_id)
    times = {row.subject_id: row.times for row in connection.execute(query)}
    here = times.pop(column_text(incident.subject.id), 0)
    return Occurrences(here=here, elsewhere=tuple(sorted(times.values(), reverse=True)))


def similar(connection: Connection, incident: Incident, limit: int) -> list[Incident]:
    """Earlier incidents of the same kind, the nearest first: same subject, then same node, then same job, then newest.

    Only where something is shared besides the kind.
    """
    same_subject = (FEATURES.c.subject_id == column_text(incident.subject.id)) & (
        FEATURES.c.subject_kind == incident.subject.kind.value
    )
    node, job = column_text(incident.names.get("node", "")), column_text(incident.names.get("job", ""))
    same_node = (FEATURES.c.node == node) & (FEATURES.c.node != "")
    same_job = (FEATURES.c.job == job) & (FEATURES.c.job != "")
    nearness = case((same_subject, 3), (same_node, 2), (same_job, 1), else_=0)
    query = (
        select(INCIDENTS.c.id, INCIDENTS.c.state, INCIDENTS.c.document)
        .join(FEATURES, FEATURES.c.id == INCIDENTS.c.id)
        .where(
            FEATURES.c.cluster == column_text(incident.subject.cluster),
            FEATURES.c.kind == incident.kind.value,
            FEATURES.c.opened_ns <= incident.opened_ns,
            FEATURES.c.origin == incident.origin.value,
            FEATURES.c.id != column_text(incident.id),
            nearness > 0,
        )
        .order_by(nearness.desc(), FEATURES.c.opened_ns.desc(), FEATURES.c.id)
        .limit(limit)
    )
    return [value_of(row) for row in connection.execute(query)]


def judged(connection: Connection, since_ns: int, cluster: str | None) -> list[KindCount]:
    """How many live incidents of each kind, rule and judgement opened since then.

    An incident that several people judged counts by the newest word; the rule is that of its newest decision. What
    was merged into another counts with that one.
    """
    newest = (
        select(FEEDBACK.c.incident_id, func.max(FEEDBACK.c.time_ns).label("time_ns"))
        .group_by(FEEDBACK.c.incident_id)
        .subquery()
    )
    said = (
        select(FEEDBACK.c.incident_id, func.min(FEEDBACK.c.judgement).label("judgement"))
        .join(
            newest,
            (newest.c.incident_id == FEEDBACK.c.incident_id) & (newest.c.time_ns == FEEDBACK.c.time_ns),
        )
        .group_by(FEEDBACK.c.incident_id)
        .subquery()
    )
    query = (
        select(FEATURES.c.id, FEATURES.c.kind, said.c.judgement)
        .join(said, said.c.incident_id == FEATURES.c.id, isouter=True)
        .where(
            FEATURES.c.opened_ns >= since_ns,
            FEATURES.c.origin == Origin.LIVE.value,
            FEATURES.c.findings > 0,
        )
    )
    if cluster is not None:
        query = query.where(FEATURES.c.cluster == column_text(cluster))
    rows = connection.execute(query.order_by(FEATURES.c.opened_ns.desc()).limit(MOST_SCANNED)).all()
    rules = _rules(connection, since_ns)
    counts: dict[tuple[str, str, str | None], int] = {}
    for row in rows:
        key = row.kind, rules.get(row.id, ""), row.judgement
        counts[key] = counts.get(key, 0) + 1
    return [KindCount(*key, count) for key, count in sorted(counts.items(), key=str)]


def _rules(connection: Connection, since_ns: int) -> dict[str, str]:
    """The rule of each incident's newest decision."""
    query = (
        select(DECISIONS.c.incident_id, DECISIONS.c.document)
        .where(DECISIONS.c.decided_ns >= since_ns)
        .order_by(DECISIONS.c.decided_ns, DECISIONS.c.id)
    )
    rules: dict[str, str] = {}
    for row in connection.execute(query):
        rules[row.incident_id] = decode(row.document, RuleOnly, f"a decision about {row.incident_id}").rule
    return rules
