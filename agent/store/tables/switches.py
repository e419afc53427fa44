"""Small facts of the agent as a whole, by name: whether actions are paused, which generation leads."""

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from agent.store.tables.base import nanoseconds, table_of, text, upsert


class SwitchRow(SQLModel, table=True):
    """One fact."""

    __tablename__ = "switches"

    name: str = text(primary_key=True)
    time_ns: int = nanoseconds()
    document: str = text()


SWITCHES = table_of(SwitchRow)


def read(connection: Connection, name: str, *, lock: bool = False) -> str | None:
    """Its document; None where it was never set. `lock`: for the rest of the transaction."""
    query = select(SWITCHES.c.document).where(SWITCHES.c.name == name)
    document = connection.execute(query.with_for_update() if lock else query).scalar()
    return str(document) if document is not None else None


def write(connection: Connection, name: str, time_ns: int, document: str) -> None:
    """Set it."""
    upsert(connection, SWITCHES, [{"name": name, "time_ns": time_ns, "document": document}])
