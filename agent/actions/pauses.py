"""The pause of all actions (G20), as the store has it, asked for at most twice a second."""

import threading
from collections.abc import Callable

from agent.store.journal import Pause, StoreJournal
from collectors.errors import WatchError

FRESH_SECONDS = 0.5


class Pauses:
    """Safe for threads."""

    def __init__(self, journal: StoreJournal, timer: Callable[[], float]) -> None:
        """`timer` gives seconds that only measure."""
        self._journal = journal
        self._timer = timer
        self._lock = threading.Lock()
        self._until = -1.0
        self._why = ""

    def why(self) -> str:
        """Who has paused all actions, and why; empty where nobody has. A store that cannot be asked pauses them."""
        with self._lock:
            if self._timer() < self._until:
                return self._why
            try:
                self._why = _words(self._journal.paused())
            except WatchError as error:
                self._why = f"whether actions are paused cannot be read: {error}"
            self._until = self._timer() + FRESH_SECONDS
            return self._why

    def changed(self) -> None:
        """Read it anew when next asked."""
        with self._lock:
            self._until = -1.0


def _words(pause: Pause | None) -> str:
    return f"paused by {pause.who}: {pause.reason}" if pause is not None else ""
