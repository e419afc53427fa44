"""Whether the view and the API server can be trusted now (G18): four questions, each with its bound.

Lists complete? Each watch heard of lately (the API server sends a bookmark every minute or two)? The API server there
and quick? Nodes well, or has a large part of them gone away at once, which is a broken network or control plane
rather than so many broken nodes?
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.inventory.kube_api import KubeApi
from agent.inventory.watcher import Watcher
from agent.settings import ClusterSettings
from collectors.errors import FixConfiguration, RetryLater

PROBE_PATH = "/api/v1/namespaces"
"""One small object, read through to etcd, which the agent may list anyway."""
FEWEST = 3
"""Nodes that must have gone away before their share counts: of two nodes one is half."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """How the API server took the last probe."""

    time_ns: int
    seconds: float
    problem: str = ""


class Probe:
    """Asks the API server for something small, again and again, in the thread that calls `run`."""

    def __init__(self, api: KubeApi, settings: ClusterSettings, clock: Callable[[], int]) -> None:
        """`clock` gives Unix ns."""
        self._api = api
        self._settings = settings
        self._clock = clock
        self.last: Answer | None = None

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while True:
            self.ask()
            if stop.wait(self._settings.probe_seconds):
                return

    def ask(self) -> Answer:
        """One look."""
        began = time.monotonic()
        problem = ""
        try:
            self._api.get(PROBE_PATH, {"limit": "1"}, 2 * self._settings.slow_seconds + 1)
        except (RetryLater, FixConfiguration) as error:
            problem = str(error)
        self.last = Answer(self._clock(), time.monotonic() - began, problem)
        return self.last


class Health:
    """Puts the words together. `watchers` and `probe` are set by the feed."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self.watchers: dict[str, Watcher] = {}  # type: ignore[type-arg]  # of whatever kind
        self.probe: Probe | None = None

    def problem(self, now_ns: int, nodes: int, not_ready_since: Iterable[int], owners_waiting: int = 0) -> str:
        """One line; empty where all is well. `not_ready_since`: Unix ns, of each node that is not ready."""
        return self._lists(now_ns, owners_waiting) or self._server(now_ns) or self._away(now_ns, nodes, not_ready_since)

    def _lists(self, now_ns: int, owners_waiting: int) -> str:
        for name, watcher in self.watchers.items():
            if not watcher.complete:
                return f"{name} are not listed yet{f': {watcher.problem}' if watcher.problem else ''}"
            if watcher.problem:
                return f"{name}: {watcher.problem}"
            silent = (now_ns - watcher.heard_ns) / _NS
            if silent > self._settings.watch_silent_seconds:
                return (
                    f"the watch of {name} has said nothing for {silent:.0f} s, at most "
                    f"{self._settings.watch_silent_seconds:g} s are allowed"
                )
        return f"owners of {owners_waiting} jobs are still being asked for" if owners_waiting else ""

    def _server(self, now_ns: int) -> str:
        if self.probe is None:
            return ""
        last = self.probe.last
        if last is None:
            return "the API server has not been asked how it is yet"
        if last.problem:
            return f"the API server does not answer: {last.problem}"
        if last.seconds > self._settings.slow_seconds:
            return (
                f"the API server took {last.seconds:.1f} s for one small answer, at most "
                f"{self._settings.slow_seconds:g} s are allowed"
            )
        old = (now_ns - last.time_ns) / _NS
        longest = 3 * self._settings.probe_seconds + self._settings.slow_seconds
        return f"the API server was last asked how it is {old:.0f} s ago" if old > longest else ""

    def _away(self, now_ns: int, nodes: int, not_ready_since: Iterable[int]) -> str:
        within = self._settings.not_ready_seconds * _NS
        away = sum(now_ns - since_ns <= within for since_ns in not_ready_since)
        if nodes and away >= FEWEST and away / nodes > self._settings.not_ready_share:
            return (
                f"{away} of {nodes} nodes became not ready within {self._settings.not_ready_seconds:g} s, "
                f"at most {self._settings.not_ready_share:.0%} are taken for broken nodes"
            )
        return ""
