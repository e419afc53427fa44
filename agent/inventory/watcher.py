"""List, then watch, for one kind of object, for ever: the loop that keeps up with a Kubernetes API server.

list (pages) -> watch from where the list stood -> on an end or a cut go on from the last version told, also once an API
server that was away is back -> on 410 or anything that cannot be trusted list anew. What a new list has not is gone.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from agent.inventory.kube_api import Gone, KubeApi
from agent.inventory.objects import Budget, Namespace, Node, Page, Pod, Status, Told
from collectors.errors import FixConfiguration, RetryLater

_log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
MOST_RESUMES = 6
"""Attempts in vain to go on where it stood, about half a minute; then it lists anew. A database that was put back to an
older state never reaches the version that was told."""
SILENCE_SECONDS = 30.0
"""A watch is given up so long after the server should have ended it."""

Object = TypeVar("Object", Node, Pod, Budget, Namespace)


@dataclass(slots=True)
class WatcherCounts:
    """Written by the watcher's thread only."""

    lists: int = 0
    watches: int = 0
    told: int = 0
    """Changes taken in."""
    refused: int = 0
    """Objects and lines that were not what they should be."""
    failures: int = 0
    """Attempts that ended in an error, in a row."""


@dataclass(slots=True)
class Watcher(Generic[Object]):
    """Keeps up with one path, `/api/v1/nodes` say. `run` belongs to one thread."""

    api: KubeApi
    path: str
    kind: type[Object]
    put: Callable[[list[Object]], None]
    """Objects that are there, new or changed."""
    drop: Callable[[str, str], None]
    """UID of an object that is gone, and why."""
    page: int = 500
    watch_seconds: float = 240.0
    jitter: Callable[[], float] = random.random
    clock: Callable[[], int] = time.time_ns
    """Unix ns; only for `heard_ns`."""
    counts: WatcherCounts = field(default_factory=WatcherCounts)
    problem: str = ""
    """Why it does not keep up now, in one line; empty while it does."""
    complete: bool = False
    """Whether it has been listed whole, once at least."""
    heard_ns: int = 0
    """When the API server last said something here (a bookmark too), by `clock`."""
    _uids: set[str] = field(default_factory=set)
    _at: str = ""
    """The last version told; empty: list anew."""

    def run(self, stop: threading.Event) -> None:
        """List and watch until told to stop; waits longer after each failure in a row, a minute at most."""
        version = ""
        while not stop.is_set():
            try:
                if not version:
                    version = self.list()
                else:
                    version = self.watch(version)
                    stop.wait(FIRST_WAIT_SECONDS * self.jitter())  # a server that ends each watch at once
                self.counts.failures, self.problem = 0, ""
            except Gone:
                version = ""
            except (RetryLater, FixConfiguration) as error:
                if stop.is_set():
                    return  # cut by our own hand
                self.counts.failures += 1
                if str(error) != self.problem:
                    self.problem = str(error)
                    _log.warning("inventory: %s", error)
                version = self._at if self.counts.failures <= MOST_RESUMES else ""
                stop.wait(self._patience())

    def list(self) -> str:
        """Read all pages; returns the version at which they stood. What is no longer there is dropped."""
        seen: set[str] = set()
        token = self._at = ""
        while True:
            query = {"limit": str(self.page)} | ({"continue": token} if token else {})
            body = self.api.get(self.path, query)
            try:
                page = msgspec.json.decode(body, type=Page)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise RetryLater(f"{self.api.url}{self.path}: not a list ({error}); tried again by itself") from None
            objects = [read for raw in page.items or () if (read := self._read(raw)) is not None]
            seen.update(read.metadata.uid for read in objects)
            self.put(objects)
            token = page.metadata.continue_
            if not token:
                break
        for uid in self._uids - seen:
            self.drop(uid, "no longer in the cluster")
        self._uids = seen
        self.counts.lists += 1
        self.complete, self.heard_ns = True, self.clock()
        if not page.metadata.resource_version:
            raise RetryLater(
                f"{self.api.url}{self.path}: a list without a version to watch from; tried again by itself"
            )
        return page.metadata.resource_version

    def watch(self, version: str) -> str:
        """Take in changes until the stream ends or is cut; returns the version to go on from. Gone: list anew."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(self.watch_seconds)),
        }
        self.counts.watches += 1
        self._at = version
        for line in self.api.lines(self.path, query, self.watch_seconds + SILENCE_SECONDS):
            self.heard_ns = self.clock()
            if not line:
                self.counts.failures, self.problem = 0, ""
                continue
            try:
                told = msgspec.json.decode(line, type=Told)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                self.counts.refused += 1
                continue
            if told.type == "ERROR":
                self._refused_by_server(told.object)
            read = self._read(told.object)
            if read is None:
                continue
            version = self._at = read.metadata.resource_version or version
            if told.type in ("ADDED", "MODIFIED"):
                self._uids.add(read.metadata.uid)
                self.put([read])
            elif told.type == "DELETED":
                self._uids.discard(read.metadata.uid)
                self.drop(read.metadata.uid, "deleted")
            elif told.type != "BOOKMARK":
                self.counts.refused += 1
                continue
            self.counts.told += told.type != "BOOKMARK"
        return version

    def _refused_by_server(self, raw: msgspec.Raw) -> None:
        try:
            status = msgspec.json.decode(raw, type=Status)
        except (msgspec.DecodeError, RecursionError):
            status = Status()
        where = f"{self.api.url}{self.path}: {status.code} {status.reason or 'error'} in the watch"
        self._at = ""
        if status.code == 410:
            raise Gone(f"{where}; listed anew")
        raise RetryLater(f"{where}; listed anew")

    def _read(self, raw: msgspec.Raw) -> Object | None:
        try:
            return msgspec.json.decode(raw, type=self.kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.counts.refused += 1
            return None

    def _patience(self) -> float:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(self.counts.failures - 1, 10))
        return longest * (0.5 + 0.5 * self.jitter())
