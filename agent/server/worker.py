"""The thread that feeds the watches: batches and the passing of time, in one line, in the order of the ingest log.

A tick at T sees exactly the batches stamped before T, live as well as when the log is played again after a restart,
because time only ever comes down the line behind the batches stamped before it.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.ingest.commit import Entry
from agent.ingest.dedupe import Seen, run_of
from agent.ingest.log import Record
from agent.server.checkpoint import Checkpoint
from agent.server.history import History
from agent.server.keeper import Keeper, Mark
from agent.server.sightings import Sightings
from agent.server.spaces import Spaces, name_of
from agent.server.tally import Tally
from agent.watch import TICK_S, Changes
from collectors.errors import GiveUp
from collectors.model import Batch

_log = logging.getLogger(__name__)

_NANOSECONDS = 1_000_000_000
OVERLAP_SECONDS = 10
"""Two ticks: whatever came before has been looked at."""
GAP_SECONDS = 10
"""Half of what makes a silent GPU a finding."""
_LAST_LOOK_NS = (TICK_S + 1) * _NANOSECONDS
_KEPT_AFTER_SECONDS = 60
"""A stretch of readings is handed to the keeper at most so long after its end."""
_BATCH_BYTES = 2048
_EVENT_BYTES = 1024
"""What a batch and an event weigh in memory beside their readings, about."""


@dataclass(slots=True)
class WorkerCounts:
    """Written by the worker thread only."""

    batches: int = 0
    ticks_seconds: float = 0.0
    """Time spent in the watches."""
    slowest_seconds: float = 0.0
    """The longest single stay in the watches since the start."""
    looks: int = 0
    errors: int = 0
    """Faults of ours that one batch or tick ran into; the log has them."""
    replayed: int = 0
    """Batches worked through again after the restart."""


@dataclass(frozen=True, slots=True)
class _Anew:
    """Let go of the live watches: another agent has watched since they began."""

    under: int | None
    """The generation that this agent leads under from now on; None: it stands by."""


class Worker:
    """Owns the spaces."""

    def __init__(
        self,
        spaces: Spaces,
        keeper: Keeper,
        clock: Callable[[], int],
        timer: Callable[[], float],
        *,
        history: History,
        sightings_seconds: float = 30.0,
    ) -> None:
        """`clock` gives Unix ns, `timer` seconds that only measure."""
        self._spaces = spaces
        self._keeper = keeper
        self._clock = clock
        self._timer = timer
        self._history = history
        self._sightings = Sightings()
        self._sightings_ns = int(sightings_seconds * _NANOSECONDS)
        self._next_sightings_ns = 0
        self._line: queue.SimpleQueue[Sequence[Entry] | int | _Anew | None] = queue.SimpleQueue()
        self._put_bytes = 0
        self._done_bytes = 0
        self._position = 0
        self._recent: deque[tuple[int, int]] = deque()
        """Live batches of the last seconds: received_ns and position."""
        self._replaying: tuple[Iterable[Record], Callable[[bytes], Batch], Checkpoint] = ((), _nothing, Checkpoint())
        self.warming = True
        """Still working through the ingest log."""
        self._looked_ns = 0
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self.counts = WorkerCounts()
        self.tally = Tally()

    # From the event loop

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Batches that are on disk, in the order of the log."""
        self._put_bytes += sum(weight(entry.batch) for entry in entries)
        self._line.put(entries)

    def pass_time(self, settled_ns: int) -> None:
        """No batch stamped before this will come any more."""
        self._line.put(settled_ns)

    def begin_anew(self, under: int | None) -> None:
        """Another agent watches now, or has watched for a while: let go of the live watches, and of what they found
        and is not stored. The next batch begins anew from the store; `under`: the generation that it is saved under,
        None where this agent stands by."""
        self._line.put(_Anew(under))

    @property
    def backlog_bytes(self) -> int:
        """What waits in line, about."""
        return self._put_bytes - self._done_bytes

    def lag_seconds(self) -> float:
        """How far the live watches are behind the agent's clock."""
        return max(0, self._clock() - self._looked_ns) / _NANOSECONDS if self._looked_ns else 0.0

    def start(self, records: Iterable[Record], decode: Callable[[bytes], Batch], checkpoint: Checkpoint) -> None:
        """Work through what the ingest log holds, then work off the line.

        What came after the checkpoint goes through the live watches again with the times at which it came; what they
        say up to the checkpoint's tick is stored already and dropped. What is not live has no state to begin from and
        is played from its beginning, as far as the log reaches; storing it twice changes nothing. Readings that lay
        in memory are gathered again.
        """
        self._replaying = (records, decode, checkpoint)
        self._thread.start()

    def stop(self) -> None:
        """Work off what is in line, hand everything to the keeper, end the thread."""
        self._line.put(None)
        if self._thread.is_alive():
            self._thread.join()

    # In the thread

    def _run(self) -> None:
        self._step(lambda: self._replay(*self._replaying))
        self.warming = False
        while True:
            item = self._line.get()
            if item is None:
                self._step(self._finish)
                return
            if isinstance(item, _Anew):
                self._step(lambda: self._begin_anew(item.under))  # noqa: B023 - run at once
                continue
            if isinstance(item, int):
                self._step(lambda: self._pass_time(item))  # noqa: B023 - run at once
                continue
            for entry in item:
                self._step(lambda: self._work_off(entry))  # noqa: B023 - run at once
                self._done_bytes += weight(entry.batch)
                self._position = entry.end

    def _step(self, step: Callable[[], None]) -> None:
        """The body of this thread's outermost loops: one bad batch must not stop the watch."""
        try:
            step()
        except Exception:  # noqa: BLE001
            self.counts.errors += 1
            _log.exception("the watch failed on one step and goes on with the next")

    def _replay(self, records: Iterable[Record], decode: Callable[[bytes], Batch], checkpoint: Checkpoint) -> None:
        seen = Seen()
        for record in records:
            try:
                batch = decode(record.body)
            except GiveUp as error:
                _log.error("ingest log: a batch that was taken in once cannot be read any more: %s", error)
                continue
            # A flush that failed halfway may have left a record that its sender then sent again.
            if seen.add(run_of(batch), batch.sequence):
                self._step(lambda: self._again(batch, record, checkpoint))  # noqa: B023 - run at once
            self._position = record.end
        now_ns = self._clock()
        for space in self._spaces.live():
            if now_ns - space.now_ns > GAP_SECONDS * _NANOSECONDS:
                _log.info("nobody listened to %s for %.0f s", space.key[1], (now_ns - space.now_ns) / _NANOSECONDS)
                # A watch that ran on through the gap would take our own absence for the silence of every node. It
                # looks at what it has, no more, and one that begins with what was open then takes its place.
                changes = self._timed(lambda space=space: space.advance(space.now_ns + _LAST_LOOK_NS))  # type: ignore[misc]
                self.tally.note(changes)
                self._keeper.keep(changes)
                self._keeper.flush()
                self._spaces.renew(space)

    def _again(self, batch: Batch, record: Record, checkpoint: Checkpoint) -> None:
        if batch.origin not in self._spaces.as_live:
            self.counts.replayed += 1
            self._receive(batch, record.received_ns)
            return
        stored_ns = checkpoint.ticked_ns.get(name_of((batch.origin, batch.node.cluster)), 0)
        kept_ns = max(0, stored_ns - _KEPT_AFTER_SECONDS * _NANOSECONDS)
        if record.position < checkpoint.position:
            self._keeper.keep(chunks=self._history.add(batch, kept_ns))
            return
        self.counts.replayed += 1
        self._recent.append((record.received_ns, record.position))
        space = self._spaces.space_for(batch)
        if stored_ns > space.now_ns:
            self._timed(lambda: space.advance(min(record.received_ns, stored_ns)))
        self._receive(batch, record.received_ns, kept_ns)

    def _work_off(self, entry: Entry) -> None:
        self.counts.batches += 1
        if entry.batch.origin in self._spaces.as_live:
            self._recent.append((entry.received_ns, entry.start))
        self._receive(entry.batch, entry.received_ns)

    def _receive(self, batch: Batch, received_ns: int, kept_ns: int = 0) -> None:
        space = self._spaces.space_for(batch)
        changes = self._timed(lambda: space.receive(batch, received_ns))
        self._sightings.see(batch, space.now_ns)
        chunks = self._history.add(batch, kept_ns)
        if space.ended:
            chunks += self._history.take_all(*space.key)
            self._keep_sightings()
        self.tally.note(changes)
        if changes or chunks:
            self._keeper.keep(changes, chunks=chunks, mark=None if space.live else self._mark())

    def _pass_time(self, now_ns: int) -> None:
        changes = Changes()
        for space in self._spaces.live():
            changes.add(self._timed(lambda space=space: space.advance(now_ns)))  # type: ignore[misc]
        self._looked_ns = now_ns
        self.tally.note(changes)
        if now_ns >= self._next_sightings_ns:
            self._next_sightings_ns = now_ns + self._sightings_ns
            self._keep_sightings()
            self._keeper.keep(chunks=self._history.take_before(now_ns))
        self._keeper.keep(changes, mark=self._mark())

    def _begin_anew(self, under: int | None) -> None:
        self._keeper.stand_by()
        for space in list(self._spaces.live()):
            self._keeper.keep(chunks=self._history.take_all(*space.key))
            self._spaces.drop(space)
        self._keep_sightings()
        self._recent.clear()
        self._keeper.keep(mark=self._mark())
        self._keeper.flush()
        if under is not None:
            self._keeper.lead(under)

    def _keep_sightings(self) -> None:
        nodes, jobs = self._sightings.take()
        self._keeper.keep(nodes=nodes, jobs=jobs)

    def _finish(self) -> None:
        self._keep_sightings()
        self._keeper.keep(chunks=self._history.take_all(), mark=self._mark())

    def _mark(self) -> Mark:
        """What the newest batches said may not have been looked at: a restart begins with them."""
        ticked_ns = {name_of(space.key): space.now_ns for space in self._spaces.live()}
        safe_ns = min(ticked_ns.values(), default=0) - OVERLAP_SECONDS * _NANOSECONDS
        while self._recent and self._recent[0][0] < safe_ns:
            self._recent.popleft()
        return Mark(self._recent[0][1] if self._recent else self._position, ticked_ns)

    def _timed(self, look: Callable[[], Changes]) -> Changes:
        began = self._timer()
        try:
            return look()
        finally:
            took = self._timer() - began
            self.counts.looks += 1
            self.counts.ticks_seconds += took
            self.counts.slowest_seconds = max(self.counts.slowest_seconds, took)


def _nothing(body: bytes) -> Batch:
    raise GiveUp(f"{len(body)} bytes, and no decoder was given")


def weight(batch: Batch) -> int:
    """Bytes that a decoded batch takes in memory, about."""
    return _BATCH_BYTES + _EVENT_BYTES * len(batch.events) + sum(len(table.data) for table in batch.tables)
