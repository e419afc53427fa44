"""From a URL to two engines: one connection that writes, and a few that read."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from collectors.errors import FixConfiguration

READERS = 4
"""Connections that read at once; one more waits for its turn."""
_POSTGRES_CONNECT_SECONDS = 5
_POSTGRES_SILENCE_MILLISECONDS = 30_000
"""After so long without an acknowledgement from the network a connection counts as dead."""
_POSTGRES_IDLE_MILLISECONDS = 10_000
"""A writer that stands still in the middle of a transaction (paused, or its machine lost) loses it after so long: what
it holds, who leads among it, would keep the next leader out for as long as it stands still."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store lies."""

    url: URL
    name: str
    """For people: the path, or the URL without its password."""
    path: Path | None
    """SQLite only."""


def place(url: str) -> Place:
    """Understand a store's URL. FixConfiguration when it is none of ours; the message never shows a password."""
    example = "write sqlite:///path/to/file or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise FixConfiguration(f"the store's URL is not a URL; {example}") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.host:
            raise FixConfiguration(f"the store's URL names no file; {example} (an absolute path takes four slashes)")
        path = Path(parsed.database).expanduser().absolute()
        return Place(URL.create("sqlite+pysqlite", database=str(path)), str(path), path)
    if backend in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
        return Place(parsed, parsed.set(drivername="postgresql").render_as_string(hide_password=True), None)
    raise FixConfiguration(f"the store cannot be kept in {backend}; {example}")


def make_file(path: Path) -> None:
    """An empty file that only its owner may read, before SQLite makes one that all may read."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise FixConfiguration(
            f"store {path}: cannot be made ({error.strerror}): name another place, or give this user the right to write"
        ) from error


def engines(where: Place, busy_seconds: float) -> tuple[Engine, Engine]:
    """The writing engine, of one connection, and the reading one. Nothing is connected yet."""
    if where.path is not None:
        writer = _sqlite(where.url, busy_seconds, pool_size=1, writes=True)
        return writer, _sqlite(where.url, busy_seconds, pool_size=READERS, writes=False)
    return _postgres(where.url, busy_seconds, pool_size=1), _postgres(where.url, busy_seconds, pool_size=READERS)


def _sqlite(url: URL, busy_seconds: float, *, pool_size: int, writes: bool) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
    )

    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # Python's own implicit transactions begin too late (at the first write) and do not cover reads.
        connection.isolation_level = None
        # SQLite can tell neither a file that is missing nor a damaged one before the first statement.
        if writes:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table is made
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit is on the disk when it returns: 18 % slower than NORMAL, and a power cut loses no audit entry.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        else:
            connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -16384")

    event.listen(engine, "connect", connected)
    # IMMEDIATE: a writer that reads first must not find at its first write that another has written since.
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN"))
    return engine


def _postgres(url: URL, busy_seconds: float, *, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=True,  # the server may have been restarted since
        connect_args={
            "connect_timeout": _POSTGRES_CONNECT_SECONDS,
            "tcp_user_timeout": _POSTGRES_SILENCE_MILLISECONDS,
            "application_name": "watchstander",
        },
    )

    def connected(connection: Any, _entry: ConnectionPoolEntry) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(busy_seconds * 1000)}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {_POSTGRES_IDLE_MILLISECONDS}")
        connection.commit()

    event.listen(engine, "connect", connected)
    return engine
