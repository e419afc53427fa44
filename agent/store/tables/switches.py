"""Small facts of the agent as a whole, by name: whether actions are paused, which generation leads."""

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from agent.store.tables.base import insert_new, nanoseconds, table_of, text, upsert


class SwitchRow(SQLModel, table=True):
    """One fact."""

    __tablename__ = "switches"

    name: str = text(primary_key=True)
    time_ns: int = nanoseconds()
    document: str = text()


SWITCHES = table_of(SwitchRow)


def read(connection: Connection, name: str, *, lock: bool = False, share: bool = False) -> str | None:
    """Its document; None where it was never set. `lock`: for the rest of the transaction; `share`: the same, but
    several may hold it so at once, and only who would change it waits."""
    query = select(SWITCHES.c.document).where(SWITCHES.c.name == name)
    document = connection.execute(query.with_for_update(read=share) if lock or share else query).scalar()
    return str(document) if document is not None else None


def write(connection: Connection, name: str, time_ns: int, document: str) -> None:
    """Set it."""
    upsert(connection, SWITCHES, [{"name": name, "time_ns": time_ns, "document": document}])


def write_new(connection: Connection, name: str, time_ns: int, document: str) -> None:
    """Set it where it was never set."""
    row = {"name": name, "time_ns": time_ns, "document": document}
    connection.execute(insert_new(connection.dialect.name, SWITCHES), row)
