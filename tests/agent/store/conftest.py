"""Every store test runs on SQLite and on a real PostgreSQL, each test on a database of its own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from migrated_stores import migrated
from own_postgres import PostgresServer, postgres_server

from agent.store.store import Store, open_store

__all__ = ["postgres_server"]

SQLITE = pytest.param("sqlite", id="sqlite")
# One group: with xdist one worker runs them all, and one server starts.
POSTGRES = pytest.param(
    "postgresql", id="postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")]
)


@pytest.fixture(params=[SQLITE, POSTGRES])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database; with an empty store of our version in it already for a test that asks for `store`."""
    opened = "store" in request.fixturenames
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        yield migrated(path) if opened else f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.make_migrated_database() if opened else server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """For what only SQLite has."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Open, at our version, empty."""
    store = open_store(store_url, busy_seconds=0.2)
    yield store
    store.close()


@pytest.fixture
def execute(store_url: str) -> Callable[[str], list[Any]]:
    """Run one statement on the store's database, behind the store's back; the rows it gives."""

    def run(statement: str) -> list[Any]:
        import sqlite3

        if store_url.startswith("sqlite"):
            # closed also where the statement fails: Python 3.13 warns of a connection that is not
            with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as connection, connection:
                return connection.execute(statement).fetchall()
        with psycopg.connect(store_url) as postgres:
            cursor = postgres.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return run
