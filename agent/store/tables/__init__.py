"""One file per table group: its columns, and every statement that reads or writes them.

Each group keeps the whole value as a JSON document, and beside it the columns that queries need. Times are Unix
nanoseconds in BIGINT: exact and ordered. Enums are their values as text: no native types, so that a new member needs no
migration.
"""

from agent.store.tables import (
    attempts,
    audit,
    decisions,
    events,
    features,
    findings,
    incidents,
    jobs,
    node_words,
    nodes,
    plans,
    readings,
    switches,
    words,
)

__all__ = [
    "attempts",
    "audit",
    "decisions",
    "events",
    "features",
    "findings",
    "incidents",
    "jobs",
    "node_words",
    "nodes",
    "plans",
    "readings",
    "switches",
    "words",
]
