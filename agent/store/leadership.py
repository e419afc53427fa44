"""Who leads, as the store knows it: the fence before all that a watch has saved where several agents share a database.

The newest generation of the lease stands in a row. An agent that takes the lead raises it before it reads where the
last one left off; every save that a leader makes looks at it in its own transaction and holds it from changing until
the commit. So once a leader has taken over, no older one's save can still come in.
"""

import msgspec
from sqlalchemy import Connection

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables import switches
from collectors.errors import GiveUp


class NotLeading(GiveUp):
    """Another agent has taken the lead: nothing of this transaction was written, and it never will be."""


class Leadership(msgspec.Struct, frozen=True):
    """Who took the lead last."""

    generation: int
    agent: str
    """Name of its data folder: the same before and after a restart."""


NOBODY = Leadership(0, "")


def newest(connection: Connection, lease: str) -> Leadership:
    """As it stands; generation 0 where nobody ever led. `lease`: by which agents of one cluster take turns; the agents
    of another cluster, where they share the database, have another."""
    return _decoded(switches.read(connection, _name(lease)), lease)


def take(connection: Connection, lease: str, generation: int, agent: str, now_ns: int) -> Leadership:
    """Raise it to `generation`; who led before. NotLeading where another has a newer one, or the same one."""
    name = _name(lease)
    switches.write_new(connection, name, now_ns, documents.encode(NOBODY))  # there must be a row to hold
    before = _decoded(switches.read(connection, name, lock=True), lease)
    if before.generation > generation or (before.generation == generation and before.agent != agent):
        raise _over(generation, before)
    document = documents.encode(Leadership(generation, agent))
    switches.write(connection, name, now_ns, document)
    return before


def check(connection: Connection, lease: str, generation: int) -> None:
    """NotLeading where a newer generation leads. From here to the end of the transaction none can begin."""
    held = _decoded(switches.read(connection, _name(lease), share=True), lease)
    if held.generation > generation:
        raise _over(generation, held)


def _over(generation: int, by: Leadership) -> NotLeading:
    return NotLeading(
        f"not the leader any more: generation {generation} is over, agent {by.agent} leads under {by.generation}"
    )


def _name(lease: str) -> str:
    return column_text(f"leadership {lease}")


def _decoded(document: str | None, lease: str) -> Leadership:
    return documents.decode(document, Leadership, f"leadership {lease}") if document is not None else NOBODY
