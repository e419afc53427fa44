"""Nodes that have sent something. What is not live has rows of its own."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, case, select
from sqlmodel import Field, SQLModel

from agent.store.documents import column_text
from agent.store.rows import NodeSeen
from agent.store.tables.base import insert, nanoseconds, table_of, text, upsert
from collectors.model import Origin


class NodeRow(SQLModel, table=True):
    """A node as last seen."""

    __tablename__ = "nodes"

    origin: str = text(primary_key=True)
    cluster: str = text(primary_key=True)
    id: str = text(primary_key=True)
    name: str = text()
    first_seen_ns: int = nanoseconds()
    last_seen_ns: int = nanoseconds(index=True)
    driver: str = text()
    gpus: int = Field(sa_column=Column(BigInteger, nullable=False))


NODES = table_of(NodeRow)


def save(connection: Connection, nodes: Sequence[NodeSeen]) -> None:
    """Insert or update; what is known is not overwritten by what is not."""
    new = insert(connection, NODES).excluded
    special = {
        "first_seen_ns": case(
            (new.first_seen_ns < NODES.c.first_seen_ns, new.first_seen_ns), else_=NODES.c.first_seen_ns
        ),
        "last_seen_ns": case((new.last_seen_ns > NODES.c.last_seen_ns, new.last_seen_ns), else_=NODES.c.last_seen_ns),
        "driver": case((new.driver == "", NODES.c.driver), else_=new.driver),
    }
    rows = [
        {
            "origin": node.origin.value,
            "cluster": column_text(node.cluster),
            "id": column_text(node.id),
            "name": column_text(node.name),
            "first_seen_ns": node.first_seen_ns,
            "last_seen_ns": node.last_seen_ns,
            "driver": column_text(node.driver),
            "gpus": node.gpus,
        }
        for node in nodes
    ]
    upsert(connection, NODES, rows, special)


def listed(connection: Connection, cluster: str | None) -> list[NodeSeen]:
    """By cluster and name."""
    query = select(NODES).order_by(NODES.c.cluster, NODES.c.name, NODES.c.id, NODES.c.origin)
    if cluster is not None:
        query = query.where(NODES.c.cluster == column_text(cluster))
    found = []
    for row in connection.execute(query).mappings():
        values = dict(row)
        found.append(NodeSeen(**values | {"origin": Origin(values["origin"])}))
    return found
