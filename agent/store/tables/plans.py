"""The journal of plans, and the steps that were carried out.

A plan's row holds the whole entry as a document; `version` and `generation` stand beside it because every write is an
UPDATE that names both. The row of a step that was carried out outlives its plan's next making: guards on rates and
cool-downs count these rows.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Index, bindparam, func, select, update
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import insert_new, nanoseconds, table_of, text
from policies.cluster_view import Taken
from policies.journal import OVER, PlanEntry, PlanState

OVER_STATES = tuple(sorted(state.value for state in OVER))
MOST_PLANS = 1_000
"""Listed at once."""


class PlanRow(SQLModel, table=True):
    """A plan as it stands."""

    __tablename__ = "plans"
    __table_args__ = (Index(None, "state", "made_ns"),)

    id: str = text(primary_key=True)
    incident_id: str = text(index=True)
    state: str = text()
    version: int = nanoseconds()
    generation: int = nanoseconds()
    made_ns: int = nanoseconds(index=True)
    updated_ns: int = nanoseconds(index=True)
    document: str = text()


class TakenRow(SQLModel, table=True):
    """A step that was carried out."""

    __tablename__ = "steps_taken"

    time_ns: int = nanoseconds(primary_key=True)
    plan_id: str = text(primary_key=True)
    step: int = nanoseconds(primary_key=True)
    document: str = text()


PLANS = table_of(PlanRow)
TAKEN = table_of(TakenRow)
_DOCUMENT = (PLANS.c.id, PLANS.c.document)

# Made once: building a statement costs as much as running it, and these are run for every step of every plan.
_GET = select(*_DOCUMENT).where(PLANS.c.id == bindparam("wanted"))
_REPLACE = update(PLANS).where(
    PLANS.c.id == bindparam("wanted"),
    PLANS.c.version == bindparam("held"),
    PLANS.c.generation <= bindparam("claim"),
)


def get(connection: Connection, plan_id: str) -> PlanEntry | None:
    """By its whole id."""
    row = connection.execute(_GET, {"wanted": column_text(plan_id)}).one_or_none()
    return _value(row.id, row.document) if row is not None else None


def add(connection: Connection, entry: PlanEntry) -> bool:
    """Insert it; False where a plan of that id is there already."""
    return connection.execute(_add(connection.dialect.name), _row(entry)).first() is not None


def replace(connection: Connection, entry: PlanEntry, *, version: int) -> bool:
    """Put `entry` in the place of the one of `version`; False where another stands there, or one that was claimed
    under a newer generation."""
    row = _row(entry)
    values = {**row, "wanted": row["id"], "held": version, "claim": entry.generation}
    return bool(connection.execute(_REPLACE, values).rowcount == 1)


def unfinished(connection: Connection) -> list[PlanEntry]:
    """All that are not over, oldest first."""
    open_states = [state.value for state in PlanState if state not in OVER]
    query = select(*_DOCUMENT).where(PLANS.c.state.in_(open_states)).order_by(PLANS.c.made_ns, PLANS.c.id)
    return [_value(row.id, row.document) for row in connection.execute(query)]


def newest(
    connection: Connection,
    *,
    states: Collection[PlanState] | None = None,
    incident: str | None = None,
    limit: int = 100,
    before_ns: int | None = None,
) -> list[PlanEntry]:
    """Newest first by the time at which they were made."""
    query = select(*_DOCUMENT)
    if states is not None:
        query = query.where(PLANS.c.state.in_([state.value for state in states]))
    if incident is not None:
        query = query.where(PLANS.c.incident_id == column_text(incident))
    if before_ns is not None:
        query = query.where(PLANS.c.made_ns < before_ns)
    query = query.order_by(PLANS.c.made_ns.desc(), PLANS.c.id).limit(min(limit, MOST_PLANS))
    return [_value(row.id, row.document) for row in connection.execute(query)]


def highest_generation(connection: Connection) -> int:
    """Of all plans; 0 where there is none."""
    return int(connection.execute(select(func.max(PLANS.c.generation))).scalar() or 0)


def by_prefix(connection: Connection, id_or_prefix: str, limit: int = 6) -> list[PlanEntry]:
    """Those whose id begins so, in any case, with or without `PLN-`; at most `limit`."""
    wanted = column_text(id_or_prefix.strip().upper()).removeprefix("PLN-")
    if not wanted.isalnum():
        return []
    query = select(*_DOCUMENT).where(PLANS.c.id.startswith(f"PLN-{wanted}", autoescape=True))
    return [_value(row.id, row.document) for row in connection.execute(query.order_by(PLANS.c.id).limit(limit))]


def note_taken(connection: Connection, plan_id: str, steps: Sequence[tuple[int, Taken]]) -> None:
    """Keep that steps were carried out."""
    rows = [
        {
            "time_ns": taken.time_ns,
            "plan_id": column_text(plan_id),
            "step": index,
            "document": documents.encode(taken),
        }
        for index, taken in steps
    ]
    if rows:
        connection.execute(insert_new(connection.dialect.name, TAKEN), rows)


def taken(connection: Connection, since_ns: int) -> list[Taken]:
    """What was carried out since then, the oldest first."""
    query = select(TAKEN.c.plan_id, TAKEN.c.document).where(TAKEN.c.time_ns >= since_ns)
    rows = connection.execute(query.order_by(TAKEN.c.time_ns, TAKEN.c.plan_id, TAKEN.c.step))
    return [documents.decode(row.document, Taken, f"a step of plan {row.plan_id}") for row in rows]


@cache
def _add(dialect: str) -> ReturningInsert[Any]:
    return insert_new(dialect, PLANS).returning(PLANS.c.id)


def _row(entry: PlanEntry) -> dict[str, object]:
    return {
        "id": column_text(entry.plan.id),
        "incident_id": column_text(entry.plan.incident),
        "state": entry.state.value,
        "version": entry.version,
        "generation": entry.generation,
        "made_ns": entry.plan.made_ns,
        "updated_ns": entry.updated_ns,
        "document": documents.encode(entry),
    }


def _value(id_: str, document: str) -> PlanEntry:
    return documents.decode(document, PlanEntry, f"plan {id_}")
