"""Group commit: many batches, one flush to disk, then all of their answers.

Lives on the event loop; only the write and the flush run in a thread of their own. A batch waits for its group at most
`window_seconds`, and for the flush that is under way. What is handed to `on_commit` is durable, in the order of the
log, and stamped with times that never run backwards.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from agent.ingest.log import IngestLog, record_bytes
from collectors.errors import RetryLater
from collectors.model import Batch

LONGEST_WINDOW_SECONDS = 0.2
"""A collector is promised its answer this soon after receipt, the flush itself aside (design: How data flows, 2)."""


@dataclass(slots=True, eq=False)
class Entry:
    """One batch on its way into the log."""

    received_ns: int
    batch: Batch
    body: bytes
    done: asyncio.Future[None] = field(repr=False)
    end: int = 0
    """Position after its record, once committed."""

    @property
    def start(self) -> int:
        """Position of its record, once committed."""
        return self.end - record_bytes(self.body)


class GroupCommit:
    """The one writer of an ingest log, seen from the event loop."""

    def __init__(
        self,
        log: IngestLog,
        clock: Callable[[], int],
        on_commit: Callable[[Sequence[Entry]], None],
        *,
        window_seconds: float = 0.02,
    ) -> None:
        """`clock` gives Unix ns. `on_commit` is called on the loop, before the answers go out, and must not block."""
        self._log = log
        self._clock = clock
        self._on_commit = on_commit
        self._window = min(window_seconds, LONGEST_WINDOW_SECONDS)
        self._gathering: list[Entry] = []
        self._writing: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest-log")
        self._last_ns = log.last_received_ns
        self.groups = 0
        self.seconds = 0.0
        """Time spent in write and flush."""

    def submit(self, batch: Batch, body: bytes) -> Entry:
        """Stamp a batch and put it in line. Await `entry.done`: RetryLater where it could not be made durable."""
        self._last_ns = max(self._last_ns, self._clock())
        loop = asyncio.get_running_loop()
        entry = Entry(self._last_ns, batch, body, loop.create_future())
        self._gathering.append(entry)
        if self._timer is None and self._task is None:
            self._timer = loop.call_later(self._window, self._start)
        return entry

    def settled_ns(self) -> int:
        """No batch that is stamped before this will be handed out any more: the watch may look up to here."""
        if self._writing:
            return self._writing[0].received_ns
        if self._gathering:
            return self._gathering[0].received_ns
        self._last_ns = max(self._last_ns, self._clock())
        return self._last_ns

    async def in_thread(self, work: Callable[[], int]) -> int:
        """Run something that writes to the log (pruning) in the log's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Commit what is in line, then stop the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None and self._gathering:
            self._start()
        while self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown(wait=True)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._commit_all())

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # Whoever came during a flush has waited for it already: no new window, the next flush at once.
            while self._gathering:
                self._writing, self._gathering = self._gathering, []
                await self._commit(loop, self._writing)
        finally:
            for entry in self._writing:
                entry.done.cancel()  # only where an error of ours ended the loop: nobody may wait for ever
            self._writing = []
            self._task = None

    async def _commit(self, loop: asyncio.AbstractEventLoop, group: list[Entry]) -> None:
        began = loop.time()
        try:
            ends = await loop.run_in_executor(
                self._thread, self._log.append, [(entry.received_ns, entry.body) for entry in group]
            )
        except RetryLater as error:
            for entry in group:
                if not entry.done.done():
                    entry.done.set_exception(RetryLater(str(error), error.after_seconds))
                    entry.done.exception()  # seen: the asker may be gone, and that is no error of ours
            return
        finally:
            self.groups += 1
            self.seconds += loop.time() - began
        for entry, end in zip(group, ends, strict=True):
            entry.end = end
        self._on_commit(group)
        for entry in group:
            if not entry.done.done():
                entry.done.set_result(None)
