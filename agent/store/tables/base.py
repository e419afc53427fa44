"""What all tables share: naming, columns, insert-or-update on both back ends, deletion in batches."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, LargeBinary, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

T = TypeVar("T")

IN_LIST = 500
"""Most values in one IN list: far below every driver's limit."""

# Set before the first table: migrations can then name what they drop, on both back ends.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def nanoseconds(*, primary_key: bool = False, nullable: bool = False, index: bool = False) -> Any:
    """A BIGINT column."""
    return Field(
        sa_column=Column(BigInteger, primary_key=primary_key, nullable=nullable, index=index, autoincrement=False)
    )


def text(*, primary_key: bool = False, nullable: bool = False, index: bool = False, unique: bool = False) -> Any:
    """A TEXT column."""
    return Field(sa_column=Column(Text, primary_key=primary_key, nullable=nullable, index=index, unique=unique or None))


def binary(*, primary_key: bool = False) -> Any:
    """A BLOB or BYTEA column."""
    return Field(sa_column=Column(LargeBinary, primary_key=primary_key, nullable=False))


def table_of(model: type[SQLModel]) -> Table:
    """The table behind a model."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # made by SQLModel's metaclass
    return table


def insert(connection: Connection, table: Table) -> postgresql.Insert:
    """The back end's own INSERT, which knows ON CONFLICT; both have the same methods."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)  # type: ignore[return-value]  # the same methods, no common base class


@cache
def insert_new(dialect: str, table: Table) -> postgresql.Insert:
    """INSERT that leaves a row alone whose key is there; made once for each table, run with rows as parameters."""
    own = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return own.on_conflict_do_nothing()  # type: ignore[return-value]  # as above


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, object]],
    special: Mapping[str, ColumnElement[Any]] | None = None,
) -> None:
    """Insert rows, or update those whose primary key is there; `special` says how a column is updated, if not plainly.

    A primary key that comes twice in `rows` counts with its last row.
    """
    if not rows:
        return
    key = [column.name for column in table.primary_key.columns]
    latest = {tuple(row[name] for name in key): row for row in rows}
    statement = insert(connection, table)
    update = {name: statement.excluded[name] for name in rows[0] if name not in key} | dict(special or {})
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=update), [dict(row) for row in latest.values()]
    )


def slices(values: Sequence[T], size: int = IN_LIST) -> Iterator[Sequence[T]]:
    """`values` in pieces that fit into an IN list."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def delete_oldest(
    connection: Connection, table: Table, time: ColumnElement[int], before_ns: int, batch: int, *where: Any
) -> tuple[int, bool]:
    """Delete some `batch` rows with `time` before `before_ns`, oldest first; how many, and whether more are due.

    Rows of one instant go together, so a batch may be larger.
    """
    due = select(time).where(time < before_ns, *where).order_by(time)
    bound = connection.execute(due.offset(batch - 1).limit(1)).scalar()
    last = before_ns - 1 if bound is None else bound
    gone = connection.execute(delete(table).where(time <= last, *where)).rowcount
    return gone, bound is not None
