"""Removes what has been kept long enough, in many small transactions, so that writers never wait long."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Table, delete, select

from agent.store.rows import Pruned, Retention
from agent.store.tables import readings
from agent.store.tables.attempts import ATTEMPTS
from agent.store.tables.base import delete_oldest, slices
from agent.store.tables.decisions import DECISIONS
from agent.store.tables.events import EVENTS
from agent.store.tables.features import FEATURES
from agent.store.tables.findings import FINDINGS
from agent.store.tables.incidents import INCIDENTS
from agent.store.tables.jobs import JOBS
from agent.store.tables.node_words import NODE_WORDS
from agent.store.tables.nodes import NODES
from agent.store.tables.plans import OVER_STATES, PLANS, TAKEN
from agent.store.tables.readings import CHUNKS
from agent.store.tables.words import FEEDBACK, WORDS
from detectors.model import IncidentState

DAY_NS = 86_400 * 1_000_000_000
BATCH = {CHUNKS.name: 200, EVENTS.name: 5_000}
"""Rows in one transaction, by table: about 50 ms of writing each."""
_BATCH = 500

Writing = Callable[[], AbstractContextManager[Connection]]


def prune(writing: Writing, now_ns: int, retention: Retention) -> Pruned:
    """Each use of `writing` is one transaction."""
    history_ns = now_ns - int(retention.history_days * DAY_NS)
    events = _delete(writing, EVENTS, "time_ns", now_ns - int(retention.events_days * DAY_NS))
    chunks = _delete(writing, CHUNKS, "end_ns", now_ns - int(retention.readings_days * DAY_NS))
    if chunks:
        with writing() as connection:
            readings.drop_unused_layouts(connection)
    incidents = findings = decisions = 0
    for gone in _old_incidents(writing, history_ns):
        incidents, findings, decisions = incidents + gone[0], findings + gone[1], decisions + gone[2]
    # What belongs to no incident. A finding of one that is still kept stays with it; so does an open one.
    alone = FINDINGS.c.incident_id.is_(None)
    findings += _delete(writing, FINDINGS, "cleared_ns", history_ns, alone)
    kept = select(INCIDENTS.c.id).where(INCIDENTS.c.id == DECISIONS.c.incident_id).exists()
    decisions += _delete(writing, DECISIONS, "decided_ns", history_ns, ~kept)
    _delete(writing, PLANS, "updated_ns", history_ns, PLANS.c.state.in_(OVER_STATES))
    _delete(writing, TAKEN, "time_ns", history_ns)
    _delete(writing, NODE_WORDS, "time_ns", history_ns)
    return Pruned(
        readings=chunks,
        events=events,
        findings=findings,
        incidents=incidents,
        decisions=decisions,
        nodes=_delete(writing, NODES, "last_seen_ns", history_ns),
        jobs=_delete(writing, JOBS, "last_seen_ns", history_ns),
        attempts=_delete(writing, ATTEMPTS, "updated_ns", history_ns),
    )


def _delete(writing: Writing, table: Table, time: str, before_ns: int, *where: object) -> int:
    total, more = 0, True
    while more:
        with writing() as connection:
            batch = BATCH.get(table.name, _BATCH)
            gone, more = delete_oldest(connection, table, table.c[time], before_ns, batch, *where)
        total += gone
    return total


def _old_incidents(writing: Writing, before_ns: int) -> Iterator[tuple[int, int, int]]:
    """Resolved ones with their findings and decisions; how many of each, batch by batch."""
    old = (
        select(INCIDENTS.c.id)
        .where(INCIDENTS.c.state == IncidentState.RESOLVED.value, INCIDENTS.c.updated_ns < before_ns)
        .order_by(INCIDENTS.c.updated_ns)
        .limit(_BATCH)
    )
    while True:
        with writing() as connection:
            ids = connection.execute(old).scalars().all()
            findings = decisions = 0
            for some in slices(ids):
                closed = FINDINGS.c.incident_id.in_(some), FINDINGS.c.cleared_ns.is_not(None)
                findings += connection.execute(delete(FINDINGS).where(*closed)).rowcount
                decisions += connection.execute(delete(DECISIONS).where(DECISIONS.c.incident_id.in_(some))).rowcount
                connection.execute(delete(FEATURES).where(FEATURES.c.id.in_(some)))
                for table in (WORDS, FEEDBACK):
                    connection.execute(delete(table).where(table.c.incident_id.in_(some)))
                connection.execute(delete(INCIDENTS).where(INCIDENTS.c.id.in_(some)))
        yield len(ids), findings, decisions
        if len(ids) < _BATCH:
            return
