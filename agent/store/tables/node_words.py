"""What people said on nodes by their hands: an uncordon of ours, a cordon of theirs. One row a node and kind."""

from collections.abc import Sequence

from sqlalchemy import Connection, case, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import insert, nanoseconds, table_of, text, upsert
from policies.cluster_view import Taken


class NodeWordRow(SQLModel, table=True):
    """The newest word of one kind on one node."""

    __tablename__ = "node_words"

    node: str = text(primary_key=True)
    what: str = text(primary_key=True)
    time_ns: int = nanoseconds(index=True)
    document: str = text()


NODE_WORDS = table_of(NodeWordRow)


def save(connection: Connection, words: Sequence[Taken]) -> None:
    """Insert or update; an older word takes no newer one's place."""
    rows = [
        {
            "node": column_text(word.node),
            "what": column_text(word.what),
            "time_ns": word.time_ns,
            "document": documents.encode(word),
        }
        for word in sorted(words, key=lambda word: word.time_ns)
    ]
    new = insert(connection, NODE_WORDS).excluded
    newer = new.time_ns > NODE_WORDS.c.time_ns
    special = {name: case((newer, new[name]), else_=NODE_WORDS.c[name]) for name in ("time_ns", "document")}
    upsert(connection, NODE_WORDS, rows, special)


def newest(connection: Connection, limit: int) -> list[Taken]:
    """Oldest first."""
    query = select(NODE_WORDS.c.node, NODE_WORDS.c.document).order_by(NODE_WORDS.c.time_ns.desc()).limit(limit)
    rows = connection.execute(query).all()
    return [documents.decode(row.document, Taken, f"a word on node {row.node}") for row in reversed(rows)]
