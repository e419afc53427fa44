"""Which version a store has, and bringing it up to ours. alembic is imported only when there is something to do."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from collectors.errors import FixConfiguration

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every migration in agent/store/migrations/versions, oldest first; a test holds the two together."""
HEAD = REVISIONS[-1]

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"
_POSTGRES_LOCK = 0x57617463685374  # any number that no other program uses: "WatchSt"


def version(connection: Connection, name: str) -> str | None:
    """The revision of the store that people call `name`; None for an empty one.

    FixConfiguration when a newer Watchstander wrote it, or another program.
    """
    tables = inspect(connection).get_table_names()
    if _VERSION_TABLE not in tables:
        if tables and connection.dialect.name == "sqlite":
            raise FixConfiguration(
                f"store {name} belongs to another program (it has a table {tables[0]}): name another"
            )
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalars().all()  # noqa: S608
    if not found:
        return None
    if len(found) > 1 or found[0] not in REVISIONS:
        raise FixConfiguration(
            f"store {name} was written by a newer Watchstander (revision {', '.join(found)}, this one knows {HEAD}):"
            " run that version, or name another store"
        )
    return str(found[0])


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Run the pending migrations up to `revision` in the connection's own transaction: all of them or none."""
    from alembic import command  # 48 MiB, for this only
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        # Two agents that start at once: the second waits, and then finds nothing to do.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_POSTGRES_LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
