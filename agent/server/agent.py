"""The agent, put together: from a body on the wire to a row in the store.

endpoint -> group commit -> ingest log        (event loop; the flush in a thread of its own)
                 |
              worker -> watches               (one thread: decode is done, ticks run here)
                 |
              keeper -> store                 (one thread)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from starlette.routing import Route

from agent.access.access import Access
from agent.actions.actions import Actions
from agent.actions.own_metrics import register as register_actions
from agent.cluster.own_metrics import register as register_cluster
from agent.cluster.view import LiveCluster
from agent.ingest.commit import Entry, GroupCommit
from agent.ingest.dedupe import Seen, run_of
from agent.ingest.endpoint import IngestCounts, IngestEndpoint, IngestLimits
from agent.ingest.log import IngestLog
from agent.server.app import ASGI, build_app
from agent.server.as_live import as_live_of
from agent.server.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from agent.server.data_folder import DataFolder
from agent.server.history import History
from agent.server.keeper import Keeper, Standing
from agent.server.metrics import Metrics
from agent.server.own_metrics import register
from agent.server.policy_file import PolicyFile
from agent.server.spaces import Spaces, Watching
from agent.server.worker import Worker
from agent.settings import Settings
from agent.store.rows import Retention
from agent.store.store import Store
from agent.watch import GRID_NS, Watch
from collectors.errors import GiveUp
from collectors.model import Origin
from collectors.wire import decode
from policies.rules import Policy

_log = logging.getLogger(__name__)

_NANOSECONDS = 1_000_000_000
_DAY_SECONDS = 86_400
_LOOK_AHEAD_NS = GRID_NS + 1


class Agent:
    """All parts of one agent. `start` and `stop` belong to one event loop; `app` serves from `start` on."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        store: Store,
        access: Access,
        *,
        clock: Callable[[], int],
        timer: Callable[[], float],
        make_watch: Callable[[Origin, str], Watching],
        routes: list[Route] | None = None,
        policy: PolicyFile | None = None,
        cluster: LiveCluster | None = None,
    ) -> None:
        """`clock` gives Unix ns, `timer` seconds that only measure. Opens the ingest log; starts nothing.

        `policy`: the file that is followed from `start` on; its changes reach every watch.
        """
        self._settings = settings
        self._folder = folder
        self._store = store
        self._clock = clock
        self.policy = policy or PolicyFile()
        self.policy.on_change(self._adopt)
        self.log = IngestLog(folder.ingest_log, segment_bytes=settings.ingest.segment_bytes)
        self._checkpoint = load_checkpoint(folder.checkpoint)
        if self._checkpoint.position > self.log.end:
            _log.warning("the checkpoint is of another ingest log; working through all of this one")
            self._checkpoint = Checkpoint(seen=self._checkpoint.seen)
        self._written = self._checkpoint
        self.seen = Seen()
        as_live = as_live_of(settings)
        self.spaces = Spaces(make_watch, most=settings.watch.spaces, as_live=as_live)
        self.actions = Actions(
            settings,
            store,
            self.spaces,
            clock,
            view=cluster,
            kubernetes=access.kubernetes,
            name=folder.agent_name,
            stands=self._stands,
        )
        self.keeper = Keeper(
            store,
            clock,
            most_rows=settings.store.pending_rows,
            retention=Retention(
                settings.store.retention_days_readings,
                settings.store.retention_days_events,
                settings.store.retention_days_history,
            ),
            saved=self.actions.saved,
            deposed=self.actions.deposed,
            standing=Standing.UNKNOWN if self.actions.fenced else Standing.ALONE,
        )
        self.worker = Worker(
            self.spaces,
            self.keeper,
            clock,
            timer,
            history=History(settings.store.readings_seconds, as_live),
            sightings_seconds=settings.store.sightings_seconds,
        )
        self.commit = GroupCommit(self.log, clock, self._committed, window_seconds=settings.ingest.commit_seconds)
        counts = IngestCounts()
        self.ingest = IngestEndpoint(
            access,
            self.commit,
            self.seen,
            partial(decode, unknown=counts.unknown_metrics),
            clock,
            counts=counts,
            busy=self._busy,
            elsewhere=self.actions.elsewhere,
            full=self.spaces.full_for,
            limits=IngestLimits(
                settings.ingest.body_bytes, settings.ingest.body_seconds, settings.ingest.ahead_seconds
            ),
            as_live=as_live,
        )
        self.metrics = Metrics()
        register(self.metrics, self, access)
        register_cluster(self.metrics, cluster, access, clock)
        register_actions(self.metrics, self.actions, store, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._checkpoint_problem = ""
        self.app: ASGI = build_app(
            settings,
            store,
            self.spaces,
            access,
            clock,
            ingest=self.ingest,
            health=self.problems,
            remarks=self.remarks,
            policy=self.policy,
            metrics=self.metrics,
            actions=self.actions,
            routes=routes,
            log=self.log,
        )

    def problems(self) -> list[str]:
        """Why the agent is not ready, one line each; empty when it is."""
        found = [
            "working through the ingest log after the start" if self.worker.warming else "",
            f"store: {self.keeper.problem}" if self.keeper.problem else "",
            self._busy(),
            self._checkpoint_problem,
        ]
        return [line for line in found if line]

    def remarks(self) -> list[str]:
        """What somebody should mend though the agent is fit for work, one line each."""
        return [line for line in (self.policy.problem, *self.actions.problems()) if line]

    async def start(self) -> None:
        """Take up where the last run ended."""
        self._rebuild_seen()
        records = self.log.read_from(0)
        self.keeper.start()
        self.worker.start(records, decode, self._checkpoint)
        self.actions.start()
        self._tasks = [
            asyncio.create_task(self._every(self._settings.watch.look_seconds, self._look)),
            asyncio.create_task(self._every(self._settings.store.checkpoint_seconds, self._save_checkpoint)),
            asyncio.create_task(self._every(self._settings.policy.look_seconds, self._look_at_policy)),
            asyncio.create_task(self._every(self._settings.actions.audit_head_seconds, self._publish_head)),
            asyncio.create_task(self._every(_DAY_SECONDS, self._let_go_of_audit)),
        ]

    async def stop(self) -> None:
        """Finish what was begun: commit, look a last time, store, note how far it got."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.actions.stop)
        await self.commit.close()
        # Events are looked at on the next half second: it is moved up, so that none waits for the next start.
        self.worker.pass_time(self.commit.settled_ns() + _LOOK_AHEAD_NS)
        await asyncio.to_thread(self.worker.stop)
        if not await asyncio.to_thread(self.keeper.stop):
            _log.error(
                "%d rows could not be stored; the next start takes them from the ingest log", self.keeper.waiting
            )
        self._write_checkpoint(self._new_checkpoint())
        self.log.close()

    def _rebuild_seen(self) -> None:
        """What was seen up to the checkpoint lies in it; the rest is in the log."""
        try:
            if self._checkpoint.seen:
                self.seen.load(self._checkpoint.seen)
        except ValueError as error:
            _log.error("checkpoint: what was seen cannot be read (%s); taken from the ingest log alone", error)
        for record in self.log.read_from(self._checkpoint.position):
            try:
                batch = decode(record.body)
            except GiveUp:
                continue  # the worker says so when it comes to it
            self.seen.add(run_of(batch), batch.sequence)
            self.ingest.placement.learn(batch, record.received_ns)

    def _committed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.ingest.committed(entry)
        self.worker.deliver(entries)

    def _busy(self) -> str:
        backlog, most = self.worker.backlog_bytes, self._settings.ingest.backlog_bytes
        return f"the detectors are behind, {backlog} bytes wait" if backlog > most else ""

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:  # noqa: BLE001 - the outermost loop of this task
                _log.exception("a periodic task failed and is tried again in %s s", seconds)

    async def _look(self) -> None:
        self.worker.pass_time(self.commit.settled_ns())

    async def _look_at_policy(self) -> None:
        await asyncio.to_thread(self.policy.poll)

    def _adopt(self, policy: Policy) -> None:
        for space in self.spaces.all():
            if isinstance(space.watch, Watch):
                space.watch.policy.adopt(policy)

    def _stands(self, generation: int | None, anew: bool) -> None:
        """In the lease's thread: who leads has changed."""
        if generation is not None and not anew:
            self.keeper.lead(generation)
        else:
            self.worker.begin_anew(generation)

    async def _publish_head(self) -> None:
        await asyncio.to_thread(self.actions.heads.publish)

    async def _let_go_of_audit(self) -> None:
        days, now_ns = self._settings.actions.audit_days, self._clock()
        if days and self.actions.lead.generation() is not None:
            before_ns = now_ns - int(days * _DAY_SECONDS * _NANOSECONDS)
            await asyncio.to_thread(self._store.audit_log.checkpoint, before_ns, now_ns)

    async def _save_checkpoint(self) -> None:
        checkpoint = self._new_checkpoint()
        await asyncio.to_thread(self._write_checkpoint, checkpoint)
        now_ns = self._clock()
        self.ingest.placement.forget_lapsed(now_ns)
        before_ns = now_ns - int(self._settings.ingest.retention_seconds * _NANOSECONDS)
        await self.commit.in_thread(lambda: self.log.prune(self._written.position, before_ns))

    def _new_checkpoint(self) -> Checkpoint:
        saved = self.keeper.saved
        if not saved.position and not saved.ticked_ns:
            return Checkpoint(self._written.position, self._written.ticked_ns, self.seen.dump())
        return Checkpoint(saved.position, saved.ticked_ns, self.seen.dump())

    def _write_checkpoint(self, checkpoint: Checkpoint) -> None:
        try:
            save_checkpoint(self._folder.checkpoint, checkpoint)
            self._written = checkpoint
            self._checkpoint_problem = ""
        except OSError as error:
            self._checkpoint_problem = (
                f"checkpoint {self._folder.checkpoint}: {error.strerror}; free space on that disk"
            )
            _log.error("%s", self._checkpoint_problem)
