"""Decisions, by id."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import nanoseconds, slices, table_of, text, upsert
from policies.model import Decision


class DecisionRow(SQLModel, table=True):
    """A decision as last made."""

    __tablename__ = "decisions"

    id: str = text(primary_key=True)
    incident_id: str = text(index=True)
    decided_ns: int = nanoseconds(index=True)
    document: str = text()


DECISIONS = table_of(DecisionRow)


def save(connection: Connection, decisions: Sequence[Decision]) -> list[Decision]:
    """Insert or replace; those of them that belong in the audit, because they are new or say something else now."""
    before = {decision.id: decision for decision in _by_ids(connection, [decision.id for decision in decisions])}
    changed = []
    for decision in decisions:
        if decision.id not in before or _word(before[decision.id]) != _word(decision):
            changed.append(decision)
        before[decision.id] = decision
    rows = [
        {
            "id": column_text(decision.id),
            "incident_id": column_text(decision.incident),
            "decided_ns": decision.decided_ns,
            "document": documents.encode(decision),
        }
        for decision in decisions
    ]
    upsert(connection, DECISIONS, rows)
    return changed


def of_incident(connection: Connection, incident_id: str) -> list[Decision]:
    """Oldest first."""
    query = (
        select(DECISIONS.c.id, DECISIONS.c.document)
        .where(DECISIONS.c.incident_id == column_text(incident_id))
        .order_by(DECISIONS.c.decided_ns, DECISIONS.c.id)
    )
    return [_value(row.id, row.document) for row in connection.execute(query)]


def _by_ids(connection: Connection, ids: Sequence[str]) -> list[Decision]:
    found = []
    for some in slices([column_text(id_) for id_ in ids]):
        query = select(DECISIONS.c.id, DECISIONS.c.document).where(DECISIONS.c.id.in_(some))
        found += [_value(row.id, row.document) for row in connection.execute(query)]
    return found


def _word(decision: Decision) -> object:
    """What a decision says, without the figures that differ at every look."""
    return (
        decision.mode,
        decision.verdict,
        decision.rule,
        decision.plan.digest if decision.plan is not None else "",
        frozenset((action.kind, action.target) for action in decision.actions),
        frozenset((guard.guard, guard.allows) for guard in decision.guards),
    )


def _value(id_: str, document: str) -> Decision:
    return documents.decode(document, Decision, f"decision {id_}")
