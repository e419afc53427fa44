"""What readers of single namespaces are asked about: to whom incidents belong, and all that an id's beginning fits.

Beside the store's face, which is long enough. Every function raises as the store's own methods.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlalchemy import select

from agent.store import documents
from agent.store.documents import column_text
from agent.store.store import Store
from agent.store.tables import incidents, plans
from agent.store.tables.incidents import INCIDENTS
from collectors.model import Origin
from detectors.model import Incident, IncidentState
from policies.journal import PlanEntry

MOST_LOOKED_THROUGH = 20_000
"""Incidents, the newest: enough for years, and read within half a second."""
MOST_FITTING = 5_000
"""Incidents or plans that the beginning of an id may fit."""


class _Belongs(msgspec.Struct):
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Belongs:
    """To whom an incident belongs."""

    id: str
    opened_ns: int
    namespaces: tuple[str, ...]


def owners(
    store: Store, *, states: Collection[IncidentState] | None, cluster: str | None, origin: Origin | None
) -> list[Belongs]:
    """Of the newest MOST_LOOKED_THROUGH incidents of these sorts, newest first as `Store.incidents` has them."""
    query = select(INCIDENTS.c.id, INCIDENTS.c.opened_ns, INCIDENTS.c.document)
    if states is not None:
        query = query.where(INCIDENTS.c.state.in_([IncidentState(state).value for state in states]))
    if cluster is not None:
        query = query.where(INCIDENTS.c.cluster == column_text(cluster))
    if origin is not None:
        query = query.where(INCIDENTS.c.origin == Origin(origin).value)
    query = query.order_by(INCIDENTS.c.opened_ns.desc(), INCIDENTS.c.id.desc()).limit(MOST_LOOKED_THROUGH)
    with store.reading() as connection:
        return [
            Belongs(
                row.id,
                row.opened_ns,
                documents.decode(row.document, _Belongs, f"incident {row.id}").namespaces,
            )
            for row in connection.execute(query)
        ]


def incidents_by_id(store: Store, ids: Collection[str]) -> dict[str, Incident]:
    """Those that there are, by their whole ids."""
    query = select(INCIDENTS.c.id, INCIDENTS.c.state, INCIDENTS.c.document)
    wanted, found = list(ids), {}
    with store.reading() as connection:
        for start in range(0, len(wanted), 500):
            some = [column_text(id_) for id_ in wanted[start : start + 500]]
            for row in connection.execute(query.where(INCIDENTS.c.id.in_(some))):
                found[row.id] = incidents.value_of(row)
    return found


def incidents_fitting(store: Store, id_or_prefix: str) -> list[Incident]:
    """All incidents whose id is this or begins so, as `Store.incident` reads it, by id; a whole id fits one."""
    with store.reading() as connection:
        return incidents.fitting(connection, id_or_prefix, MOST_FITTING)


def plans_fitting(store: Store, id_or_prefix: str) -> list[PlanEntry]:
    """All plans whose id begins so."""
    with store.reading() as connection:
        return plans.by_prefix(connection, id_or_prefix, MOST_FITTING)
