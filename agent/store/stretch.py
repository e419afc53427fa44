"""A stretch of readings as it is kept: whole chunks, for whoever wants all metrics of many subjects."""

from collections.abc import Collection

from agent.store.chunks import ReadingsChunk
from agent.store.store import Store
from agent.store.tables import readings
from collectors.model import Subject


def chunks_between(store: Store, subjects: Collection[Subject], since_ns: int, until_ns: int) -> list[ReadingsChunk]:
    """All readings of these subjects that are kept of a stretch of time; a chunk may reach beyond either end.

    Raises as the store's own methods.
    """
    with store.reading() as connection:
        return list(readings.chunks_of(connection, subjects, since_ns, until_ns))
