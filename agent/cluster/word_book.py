"""Keeps people's words on nodes in the store, in a thread of its own: who watches nodes never waits for a database."""

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

from collectors.errors import GiveUp, WatchError
from policies.cluster_view import Taken

_log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0


class Keeping(Protocol):
    """What it needs of `agent.store.store.Store`."""

    def keep_node_words(self, said: Sequence[Taken]) -> None:
        """Upsert them."""
        ...

    def node_words(self) -> list[Taken]:
        """The newest, oldest first."""
        ...


class WordBook:
    """Implements `policies.node_words.NodeWords`. Every agent that sees a word keeps it, whoever leads: what is kept is
    the newest of a kind about a node, so that two who saw the same change nothing."""

    def __init__(self, store: Keeping, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._waiting: dict[tuple[str, str], Taken] = {}
        """The newest of a kind about a node."""
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="words", daemon=True)
        self.problem = ""
        """Why words cannot be kept now; empty where they can."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def load(self) -> Iterable[Taken]:
        """See NodeWords."""
        return self._store.node_words()

    def keep(self, word: Taken) -> None:
        """See NodeWords."""
        with self._changed:
            self._put(word)
            self._changed.notify_all()

    def stop(self) -> None:
        """Keep what waits, once more where it has failed, and end."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _put(self, word: Taken) -> None:
        held = self._waiting.get((word.node, word.what))
        if held is None or held.time_ns <= word.time_ns:
            self._waiting[(word.node, word.what)] = word

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                if failures and not self._stop:
                    seconds = min(LONGEST_RETRY_SECONDS, self._retry_seconds * 2 ** min(failures - 1, 10))
                    self._changed.wait_for(lambda: self._stop, seconds)
                self._changed.wait_for(lambda: self._stop or self._waiting)
                stopping = self._stop
                said = list(self._waiting.values())
                self._waiting = {}
            failures = 0 if self._saved(said) else failures + 1
            if stopping:
                return

    def _saved(self, said: list[Taken]) -> bool:
        try:
            self._store.keep_node_words(said)
        except GiveUp as error:
            _log.error("words on %d nodes cannot be kept and are forgotten at a restart: %s", len(said), error)
        except WatchError as error:
            if str(error) != self.problem:
                _log.error("words on nodes cannot be kept now, %d wait: %s", len(said), error)
            self.problem = str(error)
            with self._changed:
                newer, self._waiting = self._waiting, {}
                for word in (*said, *newer.values()):
                    self._put(word)
            return False
        self.problem = ""
        return True
