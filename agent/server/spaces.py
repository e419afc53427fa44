"""One watch per (origin, cluster). Live, replay and test share nothing but the store.

A live space goes by the agent's clock. What is not live goes by the times in its own batches, so that a replay gives
the same findings whenever and however fast it is played. On a test cluster a test is taken for live.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agent.watch import Changes
from collectors.model import LIVE_ONLY, Batch, EventKind, Origin

Key = tuple[Origin, str]
"""Origin and cluster."""


def name_of(key: Key) -> str:
    """What the checkpoint calls a space: the cluster, of what is not live with its origin on a line below."""
    origin, cluster = key
    return cluster if origin is Origin.LIVE else f"{cluster}\n{origin.value}"


class Watching(Protocol):
    """What a space needs of `agent.watch.Watch`."""

    def receive(self, batch: Batch, received_ns: int) -> None:
        """Take in one batch."""
        ...

    def tick(self, now_ns: int) -> Changes:
        """Look at everything received up to now."""
        ...

    def advance(self, now_ns: int) -> Changes:
        """Run all ticks that are due before `now_ns`."""
        ...


@dataclass(slots=True)
class Space:
    """One watch, and where its clock stands."""

    key: Key
    watch: Watching
    live: bool
    """Whether it goes by the agent's clock."""
    now_ns: int = 0
    """Up to here it has looked, by its own clock, Unix ns."""
    heard_ns: int = 0
    """When the agent last had a batch for it, by the agent's clock, Unix ns."""
    speaking: set[str] = field(default_factory=set)
    """Not live: spools that have begun and not said goodbye."""
    ended: bool = False
    """Not live: all have said goodbye. The next batch begins anew."""

    def advance(self, now_ns: int) -> Changes:
        """Run the ticks that are due; time never runs backwards."""
        self.now_ns = max(self.now_ns, now_ns)
        return self.watch.advance(self.now_ns)

    def receive(self, batch: Batch, received_ns: int) -> Changes:
        """Take in a batch at its time; the ticks due before it come first."""
        self.heard_ns = received_ns
        at_ns = received_ns if self.live else batch.sent_ns
        changes = self.advance(at_ns)
        self.watch.receive(batch, self.now_ns)
        if not self.live:
            self.speaking.add(batch.spool_id)
            if any(event.kind is EventKind.COLLECTOR_GOODBYE for event in batch.events):
                self.speaking.discard(batch.spool_id)
                self.ended = not self.speaking
                # The grid may end before the last batch does: without a last look it would never be looked at.
                changes.add(self.advance(self.now_ns))
                if self.ended:
                    changes.add(self.watch.tick(self.now_ns))
        return changes


class Spaces:
    """All watches of this agent. Belongs to the worker thread; other threads may look up, not change."""

    def __init__(
        self,
        make_watch: Callable[[Origin, str], Watching],
        *,
        most: int = 64,
        as_live: frozenset[Origin] = LIVE_ONLY,
    ) -> None:
        """`make_watch` is given origin and cluster; `as_live`: origins that go by the agent's clock."""
        self.as_live = as_live
        self._make_watch = make_watch
        self._most = most
        self._spaces: dict[Key, Space] = {}

    def __len__(self) -> int:
        return len(self._spaces)

    def all(self) -> list[Space]:
        """Every space, the oldest first."""
        return list(self._spaces.values())

    def live(self) -> Iterable[Space]:
        """The live ones."""
        return (space for space in self.all() if space.live)

    def get(self, origin: Origin, cluster: str) -> Watching | None:
        """The watch over a cluster; None where nobody has sent anything."""
        space = self._spaces.get((origin, cluster))
        return space.watch if space is not None else None

    def full_for(self, origin: Origin, cluster: str) -> bool:
        """Whether a batch would need a space that there is no room for. For the event loop, before it takes it in."""
        return (origin, cluster) not in self._spaces and len(self._spaces) >= self._most and not self._has_ended()

    def space_for(self, batch: Batch) -> Space:
        """The space of a batch, made where there is none.

        Never refuses: the batch is acknowledged. `full_for` has kept out what would be too many, a few under way aside.
        """
        key = (batch.origin, batch.node.cluster)
        space = self._spaces.get(key)
        if space is None or space.ended:
            if len(self._spaces) >= self._most:
                ended = next((other.key for other in self.all() if other.ended), None)
                if ended is not None:
                    del self._spaces[ended]
            space = self._spaces[key] = Space(key, self._make_watch(*key), key[0] in self.as_live)
        return space

    def drop(self, space: Space) -> None:
        """Forget a watch; the next batch makes another."""
        self._spaces.pop(space.key, None)

    def renew(self, space: Space) -> None:
        """A fresh watch in place of a space's own, at the same time."""
        space.watch = self._make_watch(*space.key)

    def _has_ended(self) -> bool:
        return any(space.ended for space in self.all())
