"""The thread that writes to the store, so that a slow or absent database holds up neither ticks nor answers.

What waits is merged by id (the newest value of a finding is the one worth saving) and bounded; what has to be dropped
is counted. Saving is repeated until it succeeds: the store's writes are idempotent.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from agent.jobs.record import AttemptRecord
from agent.store.chunks import ReadingsChunk
from agent.store.leadership import NotLeading
from agent.store.rows import JobSeen, NodeSeen, Pruned, Retention
from agent.watch import Changes
from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.model import Event
from detectors.model import Finding, Incident
from policies.model import Decision

_log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
PRUNE_EVERY_SECONDS = 3600.0
_NANOSECONDS = 1_000_000_000


class Keeping(Protocol):
    """What the keeper needs of `agent.store.store.Store`."""

    def save(self, changes: Changes, under: int | None = None) -> None:
        """Upsert all of it in one transaction; NotLeading where another leads than the generation `under`."""
        ...

    def save_nodes(self, nodes_seen: Sequence[NodeSeen], under: int | None = None) -> None:
        """Upsert nodes."""
        ...

    def save_jobs(self, jobs_seen: Sequence[JobSeen], under: int | None = None) -> None:
        """Upsert jobs."""
        ...

    def keep_readings(self, chunk_rows: Sequence[ReadingsChunk]) -> None:
        """Upsert chunks."""
        ...

    def prune(self, now_ns: int, retention_: Retention) -> Pruned:
        """Remove what is old."""
        ...


class Standing(Enum):
    """Whether what a watch found may be saved. Readings always may: they take nothing's place."""

    ALONE = "alone"
    """Nobody else writes to this store."""
    UNKNOWN = "unknown"
    """Who leads is not known yet: what comes waits."""
    LEADS = "leads"
    STANDS_BY = "stands by"
    """What comes is the leader's to say, and is let go of."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the ingest log has been worked through."""

    position: int = 0
    ticked_ns: dict[str, int] = field(default_factory=dict)
    """Cluster to the last tick of its live watch, Unix ns."""


@dataclass(slots=True)
class _Pending:
    """What waits to be saved."""

    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    nodes: dict[tuple[str, str, str], NodeSeen] = field(default_factory=dict)
    jobs: dict[tuple[str, str, str], JobSeen] = field(default_factory=dict)
    attempts: dict[tuple[str, str, str, int], AttemptRecord] = field(default_factory=dict)
    chunks: list[ReadingsChunk] = field(default_factory=list)
    since_ns: int = 0
    """When the oldest of it came."""

    def rows(self) -> int:
        changes = len(self.findings) + len(self.incidents) + len(self.decisions) + len(self.events)
        return changes + len(self.nodes) + len(self.jobs) + len(self.attempts) + len(self.chunks)

    def without_findings(self) -> "_Pending":
        """Only what takes nothing's place."""
        return _Pending(chunks=self.chunks, since_ns=self.since_ns)

    def put(self, newer: "_Pending") -> None:
        """Lay newer things over these."""
        self.findings |= newer.findings
        self.incidents |= newer.incidents
        self.decisions |= newer.decisions
        self.events += newer.events
        self.nodes |= newer.nodes
        self.jobs |= newer.jobs
        self.attempts |= newer.attempts
        self.chunks += newer.chunks


class Keeper:
    """Give it changes with `keep`; it saves them in the background."""

    def __init__(
        self,
        store: Keeping,
        clock: Callable[[], int],
        *,
        most_rows: int = 500_000,
        retention: Retention | None = None,
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
        saved: Callable[[Changes], None] = lambda _changes: None,
        deposed: Callable[[str], None] = lambda _why: None,
        standing: Standing = Standing.ALONE,
    ) -> None:
        """`clock` gives Unix ns; `most_rows` bounds each kind of thing that waits. `saved` hears of changes that are in
        the store, `deposed` that the store has refused some since another agent leads; both in the keeper's thread.
        """
        self._store = store
        self._clock = clock
        self._most = most_rows
        self._retention = retention or Retention()
        self._first_retry = first_retry_seconds
        self._heard = saved
        self._deposed = deposed
        self._standing = standing
        self._under: int | None = None
        """Generation of the lease that is saved under."""
        self._forget = False
        """What is being saved is of a lead that is over."""
        self._lock = threading.Condition()
        self._waiting = _Pending()
        self._saving = _Pending()
        self._mark = Mark()
        self._stop = False
        self._patience = 0
        """Failures in a row after which a keeper that is stopping gives up."""
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self.saved = Mark()
        """Everything up to here is in the store."""
        self.problem = ""
        """Why the store does not take anything now, in one line."""
        self.retries = 0
        self.dropped = 0
        """Rows that had to go because the store was away for too long."""
        self.refused = 0
        """Rows that the store will never take."""
        self.overtaken = 0
        """Rows that were let go of since another agent leads."""
        self.saves = 0

    def lead(self, generation: int) -> None:
        """What waits, and what comes, is saved under this generation. From any thread."""
        with self._lock:
            self._standing, self._under = Standing.LEADS, generation
            self._lock.notify_all()

    def stand_by(self) -> None:
        """Another agent leads: let go of what waits, and of what still comes, but for readings. From any thread."""
        with self._lock:
            self._standing, self._under = Standing.STANDS_BY, None
            self._forget = True
            self._waiting = self._let_go(self._waiting)
            self._lock.notify_all()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def keep(
        self,
        changes: Changes | None = None,
        *,
        nodes: Sequence[NodeSeen] = (),
        jobs: Sequence[JobSeen] = (),
        chunks: Sequence[ReadingsChunk] = (),
        mark: Mark | None = None,
    ) -> None:
        """Put things in line. `mark` holds once these and all before them are saved."""
        newer = _Pending(
            nodes={(node.origin.value, node.cluster, node.id): node for node in nodes},
            jobs={(job.origin.value, job.cluster, job.id): job for job in jobs},
            chunks=list(chunks),
        )
        if changes is not None:
            newer.findings = {finding.id: finding for finding in changes.findings}
            newer.incidents = {incident.id: incident for incident in changes.incidents}
            newer.decisions = {decision.id: decision for decision in changes.decisions}
            newer.events = list(changes.events)
            newer.attempts = {attempt.key: attempt for attempt in changes.jobs}
        with self._lock:
            if not self._waiting.rows():
                self._waiting.since_ns = self._clock()
            self._waiting.put(self._let_go(newer) if self._standing is Standing.STANDS_BY else newer)
            self._bound(self._waiting)
            if mark is not None:
                self._mark = mark
            self._lock.notify_all()

    @property
    def waiting(self) -> int:
        """Rows not yet saved."""
        return self._waiting.rows() + self._saving.rows()

    def lag_seconds(self) -> float:
        """Age of the oldest thing not yet saved, seconds; 0.0 where there is none."""
        oldest = [pending.since_ns for pending in (self._saving, self._waiting) if pending.rows()]
        return max(0, self._clock() - min(oldest)) / _NANOSECONDS if oldest else 0.0

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until all that waits is saved, but not longer than so; whether it is."""
        with self._lock:
            return self._lock.wait_for(lambda: self.waiting == 0, seconds)

    def stop(self, attempts: int = 3) -> bool:
        """Save what waits, at most so many failures in a row, then end the thread; whether all was saved."""
        with self._lock:
            self._stop = True
            self._patience = attempts
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        return self.waiting == 0

    def _bound(self, pending: _Pending) -> None:
        for held in (pending.events, pending.chunks):
            over = len(held) - self._most
            if over > 0:
                del held[:over]
                self.dropped += over
        tables: tuple[dict[Any, Any], ...] = (
            pending.findings,
            pending.incidents,
            pending.decisions,
            pending.nodes,
            pending.jobs,
            pending.attempts,
        )
        for table in tables:
            while len(table) > self._most:
                del table[next(iter(table))]
                self.dropped += 1

    def _let_go(self, pending: _Pending) -> _Pending:
        kept = pending.without_findings()
        self.overtaken += pending.rows() - kept.rows()
        return kept

    def _run(self) -> None:
        failures = 0
        stopping = False
        next_prune_ns = self._clock() + int(60 * _NANOSECONDS)
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._stop or self._standing is not Standing.UNKNOWN)
                if self._standing is Standing.UNKNOWN:
                    return  # stopping, and who leads was never known: the next start has it from the ingest log
                if failures:
                    wait = min(LONGEST_RETRY_SECONDS, self._first_retry * 2 ** min(failures - 1, 10))
                    if stopping:
                        self._lock.wait(self._first_retry)
                    else:
                        self._lock.wait_for(lambda: self._stop, wait)
                elif not self._waiting.rows() and self._mark is self.saved:
                    self._lock.wait_for(lambda: self._stop or self._waiting.rows() or self._mark is not self.saved, 60)
                if self._stop and not stopping:
                    stopping, failures = True, 0  # however long it has failed, what waits is tried once more
                if stopping and (failures >= self._patience or not (self._waiting.rows() or self._saving.rows())):
                    if not failures:
                        self.saved = self._mark
                    return
                self._take()
                mark, under = self._mark, self._under
            try:
                self._save(self._saving, under)
                if not self._stop and self._clock() >= next_prune_ns:
                    next_prune_ns = self._clock() + int(PRUNE_EVERY_SECONDS * _NANOSECONDS)
                    self._store.prune(self._clock(), self._retention)
            except (RetryLater, FixConfiguration) as error:
                failures += 1
                self.retries += 1
                if str(error) != self.problem:
                    _log.error("the store takes nothing now, %d rows wait: %s", self.waiting, error)
                self.problem = str(error)
            except NotLeading as error:
                self._overtaken(error, under)
            else:
                if failures:
                    _log.info("the store takes things again")
                failures = 0
                self.problem = ""
                with self._lock:
                    self.saved = mark
                    self._lock.notify_all()

    def _overtaken(self, error: NotLeading, under: int | None) -> None:
        """The store knows a newer leader. Where this agent is that one, what waits is saved at the next turn."""
        with self._lock:
            if self._under != under:
                return
        before = self.overtaken
        self.stand_by()
        with self._lock:
            self._saving, self._forget = self._let_go(self._saving), False
        _log.error("%s; %d rows were not stored, this agent stands by", error, self.overtaken - before)
        self._deposed(str(error))

    def _take(self) -> None:
        """What waits joins what could not be saved."""
        if self._forget:
            self._saving, self._forget = self._let_go(self._saving), False
        if self._saving.rows():
            self._saving.put(self._waiting)
            self._bound(self._saving)
        else:
            self._saving = self._waiting
        self._waiting = _Pending()

    def _save(self, pending: _Pending, under: int | None) -> None:
        """Each kind is let go of once it is in; raises what is tried again, or NotLeading, with the rest held."""
        store = self._store
        changes = Changes(
            list(pending.findings.values()),
            list(pending.incidents.values()),
            list(pending.decisions.values()),
            pending.events,
            list(pending.attempts.values()),
        )
        if changes:
            self._one(
                len(pending.findings) + len(pending.events), "findings and events", lambda: store.save(changes, under)
            )
            self._heard(changes)
            pending.findings, pending.incidents, pending.decisions, pending.events = {}, {}, {}, []
            pending.attempts = {}
        if pending.nodes:
            self._one(len(pending.nodes), "nodes", lambda: store.save_nodes(list(pending.nodes.values()), under))
            pending.nodes = {}
        if pending.jobs:
            self._one(len(pending.jobs), "jobs", lambda: store.save_jobs(list(pending.jobs.values()), under))
            pending.jobs = {}
        while pending.chunks:
            some = pending.chunks[:200]
            self._one(len(some), "readings", lambda some=some: store.keep_readings(some))  # type: ignore[misc]
            del pending.chunks[:200]

    def _one(self, rows: int, what: str, save: Callable[[], None]) -> None:
        try:
            save()
            self.saves += 1
        except NotLeading:
            raise
        except GiveUp as error:
            self.refused += rows
            _log.error("the store refuses %d rows of %s for good: %s", rows, what, error)
