"""The store's connections: one that writes, under a lock, and a few that read and never wait for it.

Threads that want to write at the same moment share a transaction: whoever gets the lock does what all of them wait
for, and commits once. Each one's work stands or falls alone; none hears "done" before that commit.
"""

import logging
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from agent.store import connect
from agent.store.failures import explained
from agent.store.lock import FileLock
from agent.store.tables import words
from agent.store.tables.audit import AUDIT
from collectors.errors import GiveUp, RetryLater

T = TypeVar("T")
logger = logging.getLogger(__name__)

_ATTEMPTS = 20
"""A writer that finds that another has appended to the audit tries again so often."""
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.1
"""Before it does, at most, doubling: tried again at once it loses again to whoever writes without a pause."""
_OF_THE_DATABASE = (SQLAlchemyError, sqlite3.Error, OverflowError)
"""What `explained` makes our own errors of: after one of these nothing is known of the transaction."""
MOST_TOGETHER = 16
"""Works in one transaction: the first of them waits for the last."""
_VACUUM_PAGES = 1_000
"""Pages given back to the file system in one step: 4 MB."""


class _Waiting(Generic[T]):
    """A thread's work, and what came of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Database:
    """What `agent.store.store.Store` stands on. Safe for threads."""

    def __init__(self, where: connect.Place, busy_seconds: float, lock: FileLock | None) -> None:
        self.name = where.name
        """What people call it: a path, or a URL without its password."""
        self._path = where.path
        self._lock = lock
        self._writer, self._readers = connect.engines(where, busy_seconds)
        self._writing_lock = threading.Lock()
        self._line: deque[_Waiting[Any]] = deque()
        self._closed = False
        self._pause = time.sleep

    def close(self) -> None:
        """Close all connections and let go of the lock; a second time does nothing."""
        with self._writing_lock:
            self._closed = True
            self._writer.dispose()
        self._readers.dispose()
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with: for what else lies in this package."""
        self._check_open()
        with explained(self.name), self._readers.connect() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that is committed when this returns; what it raises undoes all that it wrote.

        It may be called several times: anew when another writer has appended to the audit meanwhile, or when a
        transaction that it shared came to nothing.
        """
        mine = _Waiting(work)
        self._line.append(mine)
        with self._writing_lock:
            if not mine.done:
                self._work_off(mine)
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]  # what the work returned

    def _work_off(self, mine: _Waiting[Any]) -> None:
        """Everything in line up to this thread's own work, and what came behind it; the lock is held."""
        group: list[_Waiting[Any]] = []
        while self._line and len(group) < MOST_TOGETHER:
            group.append(self._line.popleft())
        if mine not in group:  # a long line: what was taken goes first, then this
            if mine in self._line:
                self._line.remove(mine)
            group.append(mine)
        if len(group) == 1 or not self._together(group):
            for one in group:
                self._alone(one)

    def _together(self, group: list[_Waiting[Any]]) -> bool:
        """All in one transaction, each behind a savepoint; whether it was committed. Where it was not, nothing of it
        was written, and nobody has been told anything."""
        try:
            self._check_open()
            with self._writer.begin() as connection:
                for one in group:
                    connection.exec_driver_sql("SAVEPOINT one")
                    try:
                        one.result, one.error = one.work(connection), None
                    except _OF_THE_DATABASE:
                        raise
                    except Exception as error:  # noqa: BLE001 - handed to the thread whose work it is
                        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
                        one.result, one.error = None, error
                    connection.exec_driver_sql("RELEASE SAVEPOINT one")
        except (*_OF_THE_DATABASE, GiveUp) as error:
            logger.debug("a transaction shared by %d came to nothing: %s", len(group), error)
            return False
        for one in group:
            one.done = True
        return True

    def _alone(self, one: _Waiting[Any]) -> None:
        """In a transaction of its own; done anew when another writer has appended to the audit meanwhile."""
        one.result, one.error = None, None
        try:
            one.result = self._until_first(one.work)
        except Exception as error:  # noqa: BLE001 - handed to the thread whose work it is
            one.error = error
        one.done = True

    def _until_first(self, work: Callable[[Connection], T]) -> T:
        for attempt in range(_ATTEMPTS):
            if attempt:
                longest = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2**attempt)
                self._pause(random.uniform(0, longest))  # noqa: S311 - so that two that lost do not meet again
            with explained(self.name):
                try:
                    self._check_open()
                    with self._writer.begin() as connection:
                        return work(connection)
                except IntegrityError as error:
                    if AUDIT.name not in str(error.orig) and words.WORDS.name not in str(error.orig):
                        raise
                    logger.debug("another writer was faster: %s", error.orig)
        raise RetryLater(f"store {self.name}: other writers were faster {_ATTEMPTS} times in a row; try again")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One of its own, not repeated: for housekeeping."""
        with explained(self.name), self._writing_lock:
            self._check_open()
            with self._writer.begin() as connection:
                yield connection

    def _vacuum(self) -> None:
        free = 1
        while free:
            with self._bare_writer() as connection:
                # As a script: this pragma frees a page per step, and `execute` takes a single one.
                connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        with self._bare_writer() as connection:
            # The log is emptied into the file, or, where a reader still needs it, at the next pruning.
            (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
            connection.execute("PRAGMA busy_timeout = 100")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout = {patience}")

    @contextmanager
    def _bare_writer(self) -> Iterator[Any]:
        """SQLite's own connection outside any transaction: what its housekeeping asks for."""
        with explained(self.name), self._writing_lock:
            self._check_open()
            with closing(self._writer.raw_connection()) as connection:
                yield connection.driver_connection

    def _check_open(self) -> None:
        if self._closed:
            raise GiveUp(f"store {self.name} is closed")
