"""Turns the drivers' errors into the three that callers know, each with one line: what, where, what to do.

The caller keeps its data on RetryLater: the transaction was rolled back whole, and saving again is harmless.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from collectors.errors import FixConfiguration, GiveUp, RetryLater, WatchError

_SQLITE_RETRY = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space or shorten the retention",
    sqlite3.SQLITE_BUSY: "another program holds it locked",
    sqlite3.SQLITE_LOCKED: "another connection holds it locked",
    sqlite3.SQLITE_IOERR: "reading or writing failed: look at the disk and at the kernel log",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_INTERRUPT: "it was interrupted",
}
_SQLITE_FIX = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a copy, or move it away and start with an empty store",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database, or damaged at its start: name another, or restore a copy",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only: give this user the right to write both",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: does its folder exist, and may this user write there?",
    sqlite3.SQLITE_PERM: "this user may not open the file",
    sqlite3.SQLITE_AUTH: "this user may not open the file",
    sqlite3.SQLITE_ERROR: "its tables are not those of this version: name another store, or restore a copy",
}
_POSTGRES_RETRY = {
    "08": "the connection was lost",
    "25P03": "the connection stood still in the middle of a transaction",
    "40": "another writer was in the way",
    "53": "the server ran out of disk, memory or connections",
    "55": "another transaction holds a lock",
    "57": "the server is stopping, starting or cancelled the statement",
    "58": "the server had a system error: look at its log",
}
_POSTGRES_FIX = {
    "28": "the server refuses the user or password",
    "3D": "there is no such database: create it, or name another in the URL",
    "42": "its tables are not those of this version, or the user may not use them",
    "25006": "the server is a read-only standby: name the primary in the URL",
    "XX001": "a table is damaged: restore a copy of the database",
    "XX002": "an index is damaged: REINDEX, or restore a copy of the database",
}
_REFUSED_AT_CONNECT = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")
"""How libpq words what a person must mend; connecting gives no code."""


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Run a block of statements on the store `name` (a path or a URL without its password)."""
    try:
        yield
    except WatchError:
        raise
    except (exc.SQLAlchemyError, sqlite3.Error, OverflowError) as error:
        raise explain(error, name) from error


def explain(error: Exception, name: str) -> WatchError:
    """The error to raise for one of the driver's."""
    cause = error.orig if isinstance(error, exc.StatementError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    said = f"store {name}: {{}} ({lines[0] if lines else type(cause).__name__})"
    if isinstance(cause, exc.TimeoutError):
        return RetryLater(f"store {name}: all its connections are busy; try again")
    if isinstance(cause, sqlite3.Error):
        return _explain_sqlite(cause, said)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        for code in (state, state[:2]):
            if code in _POSTGRES_RETRY:
                return RetryLater(said.format(_POSTGRES_RETRY[code]))
            if code in _POSTGRES_FIX:
                return FixConfiguration(said.format(_POSTGRES_FIX[code]))
    elif isinstance(error, exc.OperationalError | exc.InterfaceError):
        if any(words in str(cause) for words in _REFUSED_AT_CONNECT):
            return FixConfiguration(
                said.format("the server refuses the connection: mend the URL or the server's users")
            )
        return RetryLater(said.format("the server cannot be reached"))
    return GiveUp(said.format("the value cannot be stored"))


def _explain_sqlite(cause: sqlite3.Error, said: str) -> WatchError:
    # The lower byte is the kind of error; the rest says more than a caller can use.
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if code in _SQLITE_RETRY:
        return RetryLater(said.format(_SQLITE_RETRY[code]))
    if code in _SQLITE_FIX:
        return FixConfiguration(said.format(_SQLITE_FIX[code]))
    return GiveUp(said.format("the value cannot be stored"))
