"""The store's face: everything the rest of the agent knows of it. Synchronous and safe for threads.

One connection writes, under a lock; readers have connections of their own and never wait for it. Callers on an event
loop use an executor: a commit may take 30 ms. Every stretch of time is half-open: from `since_ns` until before
`until_ns`.

Every method raises RetryLater when the database is away, locked or full (nothing was written; the same call may come
again), FixConfiguration when a person must mend it, and GiveUp when the value itself cannot be stored.
"""

import logging
from collections.abc import Callable, Collection, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from agent.jobs.record import AttemptRecord
from agent.store import connect, documents, leadership, retention, schema
from agent.store.audit_log import AuditLog
from agent.store.chunks import ReadingsChunk
from agent.store.database import Database
from agent.store.documents import column_text
from agent.store.journal import StoreJournal
from agent.store.leadership import Leadership
from agent.store.lock import FileLock
from agent.store.rows import Feedback, JobSeen, KindCount, NodeSeen, Occurrences, Pruned, Retention
from agent.store.tables import (
    attempts,
    audit,
    decisions,
    events,
    features,
    findings,
    incidents,
    jobs,
    node_words,
    nodes,
    readings,
    words,
)
from agent.watch import Changes
from collectors.errors import FixConfiguration
from collectors.model import Event, EventKind, Origin, Subject
from detectors.model import Finding, FindingKind, Incident, IncidentState, Word
from policies.cluster_view import Taken
from policies.model import AuditEntry, Decision

logger = logging.getLogger(__name__)

BUSY_SECONDS = 5.0
"""How long a write waits for another program's lock before RetryLater."""
ACTOR = "watchstander"
"""Who stands in the audit for what no person did."""


def open_store(url: str, *, create: bool = True, busy_seconds: float = BUSY_SECONDS) -> "Store":
    """Open a store: `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user@host/database`.

    With `create` (the agent) it is made where missing, brought up to this version, and, on SQLite, locked against a
    second agent. Without (a command beside the agent) it must be there, and of this version.
    """
    where = connect.place(url)
    lock = None
    if where.path is not None:
        if create:
            connect.make_file(where.path)
            lock = FileLock(where.path.with_name(where.path.name + ".lock"))
        elif not where.path.is_file():
            raise FixConfiguration(f"there is no store at {where.path}: start the agent first, or name another")
    store = Store(where, busy_seconds, lock)
    try:
        store.bring_up(migrate=create)
    except BaseException:
        store.close()
        raise
    return store


class Store(Database):
    """Made by `open_store`."""

    def __init__(self, where: connect.Place, busy_seconds: float, lock: FileLock | None) -> None:
        super().__init__(where, busy_seconds, lock)
        self.revision_before: str | None = None
        """The revision that it had when it was opened; None for one that was empty."""
        self.lease = ""
        """By which this agent and others take turns at leading; set before any of them does."""
        self.journal, self.audit_log = StoreJournal(self), AuditLog(self)

    # what the watch found

    def lead(self, generation: int, agent: str, now_ns: int) -> Leadership:
        """This agent takes the lead: from now on saves under older generations are refused. Who led before."""
        return self.transact(lambda connection: leadership.take(connection, self.lease, generation, agent, now_ns))

    def led(self) -> Leadership:
        """Who took the lead last."""
        with self.reading() as connection:
            return leadership.newest(connection, self.lease)

    def save(self, changes: Changes, under: int | None = None) -> None:
        """Keep all that a tick changed, in one transaction; a repeat changes nothing.

        `under`: the generation of the lease that it is saved under, where several agents may share the store;
        NotLeading where another leads by now.

        A decision that is new, or whose verdict, rule, mode, actions or guards' words differ from what is stored, gets
        an entry in the audit. An incident that a person acknowledged stays so while the watch calls it open. One that
        has not heard a person's last word about it (`Incident.word`) is out of date and changes nothing.
        """

        def work(connection: Connection) -> None:
            if under is not None:
                leadership.check(connection, self.lease, under)
            said = words.newest_of(connection, [incident.id for incident in changes.incidents])
            fresh = [one for one in changes.incidents if one.word >= said.get(column_text(one.id), 0)]
            incident_of = {column_text(finding): column_text(one.id) for one in fresh for finding in one.findings}
            findings.save(connection, changes.findings, incident_of)
            incidents.save(connection, fresh)
            features.save(connection, fresh)
            findings.link(connection, incident_of)
            events.save(connection, changes.events)
            attempts.save(connection, changes.jobs)
            for decision in decisions.save(connection, changes.decisions):
                audit.append(
                    connection,
                    time_ns=decision.decided_ns,
                    actor=ACTOR,
                    what="decision",
                    about=decision.id,
                    detail=documents.encode(decision),
                )
            for decision in changes.decisions:
                self.journal.follow(connection, decision)

        if changes:
            self.transact(work)

    def incidents(
        self,
        *,
        states: Collection[IncidentState] | None = None,
        cluster: str | None = None,
        origin: Origin | None = None,
        limit: int = 100,
        before_ns: int | None = None,
    ) -> list[Incident]:
        """Newest first by `opened_ns`, then by id; `before_ns` is that of the last one on the page before.

        Several may have opened in one tick: who must not miss any asks from one nanosecond later and drops known ids.
        """
        with self.reading() as connection:
            return incidents.newest(
                connection, states=states, cluster=cluster, origin=origin, limit=limit, before_ns=before_ns
            )

    def incident(self, id_or_prefix: str) -> Incident | None:
        """By id or its beginning, in any case, with or without `INC-`; GiveUp names the candidates if several fit."""
        with self.reading() as connection:
            return incidents.by_prefix(connection, id_or_prefix)

    def findings(self, ids: Sequence[str]) -> list[Finding]:
        """Those that are known, in the order asked for."""
        with self.reading() as connection:
            return findings.by_ids(connection, ids)

    def findings_between(self, since_ns: int, until_ns: int, *, cluster: str | None = None) -> list[Finding]:
        """Those that were open at some moment of the stretch, oldest first."""
        with self.reading() as connection:
            return findings.between(connection, since_ns, until_ns, cluster)

    def alike(
        self, kind: FindingKind, since_ns: int, until_ns: int, *, cluster: str, limit: int = 2000
    ) -> list[Finding]:
        """Findings of one kind that were open at some moment of the stretch, the latest first."""
        with self.reading() as connection:
            return findings.alike(connection, kind, cluster, since_ns, until_ns, limit)

    def open_findings(self) -> list[Finding]:
        """All that have not cleared, oldest first: where the watch goes on after a restart."""
        with self.reading() as connection:
            return findings.still_open(connection)

    def open_incidents(self) -> list[Incident]:
        """All that are not resolved, oldest first: where the watch goes on after a restart."""
        with self.reading() as connection:
            return incidents.still_open(connection)

    def events(
        self,
        *,
        since_ns: int,
        until_ns: int,
        subject: Subject | None = None,
        cluster: str | None = None,
        kinds: Collection[EventKind] | None = None,
        limit: int = 1000,
    ) -> list[Event]:
        """Oldest first; where `limit` cuts, ask on from the last one's time."""
        with self.reading() as connection:
            return events.between(
                connection,
                since_ns=since_ns,
                until_ns=until_ns,
                subject=subject,
                cluster=cluster,
                kinds=kinds,
                limit=limit,
            )

    def decisions(self, incident_id: str) -> list[Decision]:
        """All about one incident, oldest first."""
        with self.reading() as connection:
            return decisions.of_incident(connection, incident_id)

    # what people said, and the audit

    def acknowledge(self, incident_id: str, who: str, now_ns: int) -> Incident:
        """A person looks after it: its state and an audit entry, in one transaction. A second time changes nothing.

        GiveUp when there is no such incident (a whole id is asked for) or it is resolved.
        """

        def work(connection: Connection) -> Incident:
            incident, is_news = incidents.acknowledge(connection, incident_id, who, now_ns)
            if is_news:
                detail = documents.encode({"title": incident.title})
                audit.append(
                    connection, time_ns=now_ns, actor=who, what="acknowledge", about=incident_id, detail=detail
                )
            return incident

        return self.transact(work)

    def say(
        self,
        word: Word,
        about: Sequence[str],
        work: Callable[[list[Incident], list[Finding], int], tuple[list[Incident], str]],
        under: int | None = None,
    ) -> tuple[list[Incident], int]:
        """Keep a person's word, what it makes of the incidents `about`, and its audit entry, in one transaction.

        `work` is given those incidents that there are, their findings, and the word's number; it returns what they
        become and a sentence for the audit. It touches nothing else, and is called again where another writer was
        faster; what it raises undoes all of it. Returns what changed, and the number. `under`: as for `save`, where it
        is the leading agent's own word and no person's.
        """

        def transaction(connection: Connection) -> tuple[list[Incident], int]:
            if under is not None:
                leadership.check(connection, self.lease, under)
            held = incidents.locked(connection, about)
            members = findings.by_ids(connection, [id_ for incident in held for id_ in incident.findings])
            sequence = words.next_sequence(connection)
            changed, sentence = work(held, members, sequence)
            incidents.save(connection, changed)
            features.save(connection, changed)
            findings.link(connection, {id_: incident.id for incident in changed for id_ in incident.findings})
            words.add(connection, word, sequence, [incident.id for incident in changed])
            audit.append(
                connection,
                time_ns=word.time_ns,
                actor=word.who,
                what=word.kind.value,
                about=word.incident,
                detail=documents.encode({"title": sentence, "word": word}),
            )
            return incidents.locked(connection, [incident.id for incident in changed]), sequence

        return self.transact(transaction)

    def said(self, incident_id: str) -> list[Word]:
        """What people said about one incident, oldest first: what changed it, but for acknowledgements."""
        with self.reading() as connection:
            return [said.word for said in words.about(connection, incident_id)]

    def wake(self, now_ns: int) -> None:
        """Open again what was snoozed until now, for incidents that no watch follows. Mostly writes nothing."""
        with self.reading() as connection:
            due = incidents.awake(connection, now_ns)
        if due:

            def work(connection: Connection) -> None:
                again = incidents.awake(connection, now_ns)
                after = [msgspec.structs.replace(i, state=IncidentState.OPEN, snoozed_until_ns=None) for i in again]
                incidents.save(connection, after)

            self.transact(work)

    def restorable(
        self, cluster: str, origin: Origin, limit: int = 500
    ) -> tuple[list[Incident], list[tuple[str, str]]]:
        """What a watch goes on from: unresolved incidents, those lately resolved, and the pairs that people split."""
        with self.reading() as connection:
            still = [
                incident
                for incident in incidents.still_open(connection)
                if incident.origin is origin and incident.subject.cluster == cluster
            ]
            pairs = words.apart(connection, [incident.id for incident in still])
            return [*still, *incidents.lately_resolved(connection, cluster, origin, limit)], pairs

    def judge(self, feedback: Feedback, title: str) -> None:
        """Keep what a person thinks of an incident, in place of what the same person thought before, audited."""

        def work(connection: Connection) -> None:
            words.judge(connection, feedback)
            audit.append(
                connection,
                time_ns=feedback.time_ns,
                actor=feedback.who,
                what="feedback",
                about=feedback.incident,
                detail=documents.encode({"title": f"{feedback.judgement.value}: {title}", "feedback": feedback}),
            )

        self.transact(work)

    def feedback(self, incident_id: str) -> list[Feedback]:
        """What people think of one incident, oldest first."""
        with self.reading() as connection:
            return words.feedback_on(connection, incident_id)

    def judged(self, since_ns: int, *, cluster: str | None = None) -> list[KindCount]:
        """Live incidents that opened since then by kind, rule and judgement; at most the newest 50,000."""
        with self.reading() as connection:
            return features.judged(connection, since_ns, cluster)

    def occurrences(self, incident: Incident, since_ns: int) -> Occurrences:
        """How often its kind was seen since then up to it, on its subject and on others of the same sort."""
        with self.reading() as connection:
            return features.occurrences(connection, incident, since_ns)

    def similar(self, incident: Incident, limit: int = 5) -> list[Incident]:
        """Earlier incidents of its kind on its subject, node or job, in this order."""
        with self.reading() as connection:
            return features.similar(connection, incident, limit)

    def append_audit(self, *, time_ns: int, actor: str, what: str, about: str, detail: str) -> AuditEntry:
        """One more entry, chained to the last; `detail` is JSON with sorted keys."""
        return self.transact(
            lambda connection: audit.append(
                connection, time_ns=time_ns, actor=actor, what=what, about=about, detail=detail
            )
        )

    def audit(self, *, after_sequence: int = 0, limit: int = 200, newest_first: bool = False) -> list[AuditEntry]:
        """Entries behind `after_sequence`, in their order or the newest first."""
        with self.reading() as connection:
            pages = audit.newest_first if newest_first else audit.in_order
            return pages(connection, limit, after_sequence)

    def verify_audit(self) -> int | None:
        """Sequence of the first entry that is missing or not what was written; None when the chain is whole."""
        with self.reading() as connection:
            return audit.first_broken(connection)

    # nodes, jobs, readings

    def save_nodes(self, nodes_seen: Sequence[NodeSeen], under: int | None = None) -> None:
        """Keep nodes as they were last seen; `under` as for `save`."""

        def work(connection: Connection) -> None:
            if under is not None:
                leadership.check(connection, self.lease, under)
            nodes.save(connection, nodes_seen)

        if nodes_seen:
            self.transact(work)

    def nodes(self, *, cluster: str | None = None) -> list[NodeSeen]:
        """By cluster and name."""
        with self.reading() as connection:
            return nodes.listed(connection, cluster)

    def save_jobs(self, jobs_seen: Sequence[JobSeen], under: int | None = None) -> None:
        """Keep jobs as they were last seen; `under` as for `save`."""

        def work(connection: Connection) -> None:
            if under is not None:
                leadership.check(connection, self.lease, under)
            jobs.save(connection, jobs_seen)

        if jobs_seen:
            self.transact(work)

    def jobs(self, *, cluster: str | None = None) -> list[JobSeen]:
        """The one seen last first."""
        with self.reading() as connection:
            return jobs.listed(connection, cluster)

    def attempts(
        self, *, cluster: str | None = None, origin: Origin | None = None, limit: int = 20_000
    ) -> list[AttemptRecord]:
        """The newest attempt of every job, those changed last first."""
        with self.reading() as connection:
            return attempts.newest(connection, cluster=cluster, origin=origin, limit=limit)

    def attempts_of(self, name_or_id: str, *, cluster: str | None = None, limit: int = 500) -> list[AttemptRecord]:
        """Attempts of the jobs of a name or id (several jobs may share a name), newest first."""
        with self.reading() as connection:
            return attempts.of_jobs(connection, name_or_id, cluster=cluster, limit=limit)

    def keep_readings(self, chunk_rows: Sequence[ReadingsChunk]) -> None:
        """Keep chunks; of two with the same subjects, metrics and first time the one that reaches further stays."""
        if chunk_rows:
            self.transact(lambda connection: readings.save(connection, chunk_rows))

    def readings(
        self, subject: Subject, metric: str, since_ns: int, until_ns: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32] | npt.NDArray[np.float64]]:
        """Times (Unix ns, ascending) and values of one metric: gauges as float32, counters as float64 in their unit."""
        with self.reading() as connection:
            return readings.of_metric(connection, subject, metric, since_ns, until_ns)

    def keep_node_words(self, said: Sequence[Taken]) -> None:
        """Keep what people said on nodes by their hands; of one kind about one node the newest stays."""
        if said:
            self.transact(lambda connection: node_words.save(connection, said))

    def node_words(self, limit: int = 10_000) -> list[Taken]:
        """The newest, oldest first."""
        with self.reading() as connection:
            return node_words.newest(connection, limit)

    # housekeeping

    def prune(self, now_ns: int, retention_: Retention) -> Pruned:
        """Remove what has been kept long enough, in small transactions, and give the space back (SQLite)."""
        pruned = retention.prune(self._transaction, now_ns, retention_)
        if self._path is not None:
            self._vacuum()
        return pruned

    def size_bytes(self) -> int:
        """What it takes up: the SQLite file with its write-ahead log, or the PostgreSQL database."""
        if self._path is not None:
            files = (self._path, self._path.with_name(self._path.name + "-wal"))
            return sum(file.stat().st_size for file in files if file.exists())
        with self.reading() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def bring_up(self, *, migrate: bool) -> None:
        """Bring the tables to this version.

        FixConfiguration when the store is newer, or when it is older and `migrate` is False.
        """
        with self.reading() as connection:
            before = self.revision_before = schema.version(connection, self.name)
        if before == schema.HEAD:
            return
        if not migrate:
            raise FixConfiguration(
                f"store {self.name} is of an older version ({before or 'empty'}, not {schema.HEAD}):"
                " start the agent, or run `watchstander migrate`"
            )
        with self._transaction() as connection:
            schema.upgrade(connection)
        logger.info("store %s brought from %s to %s", self.name, before or "empty", schema.HEAD)
