"""All jobs of one space (one origin and cluster). The watch owns one and feeds it at each tick."""

from collections.abc import Iterable, Mapping
from typing import Protocol
from zlib import crc32

from agent.jobs.controller import Pods, job_by_pods, owner_of, seen
from agent.jobs.job import Job
from agent.jobs.record import AttemptRecord, JobNode
from collectors.model import Event, Origin, Subject, SubjectKind
from detectors.frame import Columns
from detectors.goodput.cause import BLAMES
from detectors.goodput.stretch import Base
from detectors.model import Finding, Incident, Inventory
from detectors.model.namespaces import namespaces_at
from detectors.view import Jobs

NS = 10**9
SAVE_EVERY_NS = 30 * NS
"""A job that only goes on is handed out for saving this often; what is news, at once."""
MOST_LATE_NS = 600 * NS
"""A first line older than this (a spool that was sent late, a clock that is off) does not move a beginning further."""
MOST_JOBS = 20_000
MOST_NODES = 1_000
"""Of one job, by name."""


class Placing(Protocol):
    """What the book needs of `detectors.engine.Engine`."""

    @property
    def inventory(self) -> Inventory:
        """Who is where."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Which GPUs work for which job."""
        ...

    @property
    def columns(self) -> Columns:
        """The GPUs that `jobs` numbers."""
        ...


class JobBook:
    """Events, findings and the passing of time in; rows of attempts out."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._jobs: dict[Subject, Job] = {}
        self._events: list[Event] = []
        self._generation = -1
        self._known = 0
        self._due_ns: dict[Subject, int] = {}
        self._pods = Pods()

    def __len__(self) -> int:
        return len(self._jobs)

    def job(self, subject: Subject) -> Job | None:
        """One job; None where it is not known, or long over."""
        return self._jobs.get(subject)

    def hear(self, events: Iterable[Event]) -> None:
        """Events of a batch, to be taken in at the next tick."""
        self._events.extend(event for event in events if event.subject.kind is SubjectKind.JOB)

    def tick(
        self,
        now_ns: int,
        findings: Iterable[Finding],
        incidents: Iterable[Incident],
        known: Mapping[str, Finding],
        engine: Placing,
    ) -> list[AttemptRecord]:
        """Take in what came since the last tick; the attempts to be saved.

        `findings` and `incidents` are those that changed, `known` all that are at hand.
        """
        inventory, placed, columns = engine.inventory, engine.jobs, engine.columns
        for job in self._jobs.values():
            job.on_time(now_ns)
        if self._generation != inventory.generation or self._known != len(placed.job_of):
            self._generation, self._known = inventory.generation, len(placed.job_of)
            self._place(now_ns, inventory, placed, columns)
        changed: dict[tuple[Subject, int], AttemptRecord] = {}
        events, self._events = self._events, []
        for event in events:
            since_ns = max(now_ns - MOST_LATE_NS, min(event.time_ns, now_ns))
            job = self._of(event.subject, since_ns, now_ns, inventory)
            number = job.attempt.number
            job.on_event(event, now_ns)
            if job.attempt.number != number and job.before is not None:
                changed[event.subject, job.before.number] = job.record(job.before, now_ns)
        for finding in findings:
            if finding.kind in BLAMES:
                for job in self._touched(finding, inventory):
                    job.on_finding(finding, now_ns)
                    if job.before is not None:
                        changed[job.subject, job.before.number] = job.record(job.before, now_ns)
        for incident in incidents:
            root = known.get(incident.root)
            home = inventory.node_of(incident.subject)
            parts = [known[id_] for id_ in incident.findings if id_ in known]
            for job in {id(j): j for finding in parts for j in self._touched(finding, inventory)}.values():
                job.on_incident(incident, root, home.id if home is not None else "")
                if job.before is not None:
                    changed[job.subject, job.before.number] = job.record(job.before, now_ns)
        self._watch_controllers(now_ns, inventory)
        self._due(now_ns, changed)
        return list(changed.values())

    def restore(self, records: Iterable[AttemptRecord], findings: Iterable[Finding], inventory: Inventory) -> None:
        """Go on from the newest attempt of each job, and from the findings that are open."""
        newest: dict[Subject, AttemptRecord] = {}
        for record in records:
            subject = Subject(record.cluster, SubjectKind.JOB, record.job)
            held = newest.get(subject)
            if held is None or record.number > held.number:
                newest[subject] = record
        for subject, record in newest.items():
            job = Job(self._origin, subject, record.started_ns, speaks=True)
            job.resume(record)
            self._jobs[subject] = job
        for finding in findings:
            if finding.cleared_ns is None:
                for job in self._touched(finding, inventory):
                    job.on_finding(finding, job.attempt.ledger.now_ns, known=True)

    def _of(self, subject: Subject, since_ns: int, now_ns: int, inventory: Inventory) -> Job:
        job = self._jobs.get(subject)
        if job is None or job.closed:
            if job is not None:
                job.reopen(since_ns, now_ns)
            else:
                job = self._jobs[subject] = Job(self._origin, subject, since_ns, speaks=True)
                job.on_time(now_ns)
            self._generation = -1  # its GPUs may be known already
        job.name = inventory.name_of(subject)
        return job

    def _touched(self, finding: Finding, inventory: Inventory) -> list[Job]:
        """The jobs that a finding is about."""
        subjects = [finding.subject, *finding.related]
        named = {s for s in subjects if s.kind is SubjectKind.JOB}
        if not named:
            home = inventory.job_of(finding.subject)
            named = {home} if home is not None else set()
        return [self._jobs[s] for s in sorted(named) if s in self._jobs and not self._jobs[s].closed]

    def _place(self, now_ns: int, inventory: Inventory, placed: Jobs, columns: Columns) -> None:
        """Which GPUs, nodes and image each job has now."""
        counts = {subject: placed.members[i] for i, subject in enumerate(placed.subjects) if i < len(placed.members)}
        for subject, members in counts.items():
            job = self._jobs.get(subject)
            if job is None and len(members):
                known = (inventory.known_since_ns.get(columns.subjects[c], now_ns) for c in members.tolist())
                since_ns = min(now_ns, max(now_ns - MOST_LATE_NS, min(known)))
                job = self._jobs[subject] = Job(self._origin, subject, since_ns, speaks=False)
                job.on_time(now_ns)
            if job is None or job.closed:
                continue
            job.name = inventory.name_of(subject)
            known_as = subject.id if inventory.attribute(subject, "owner") else ""
            known_as = known_as or job_by_pods((columns.subjects[column] for column in members.tolist()), inventory)
            if known_as:
                job.owner = owner_of(known_as)[0]
                kept = Subject(subject.cluster, SubjectKind.JOB, known_as)
                job.image = inventory.attribute(kept, "image") or job.image
            nodes = {inventory.node_of(columns.subjects[column]) for column in members.tolist()}
            if len(members):
                homes = sorted(node for node in nodes if node is not None)[:MOST_NODES]
                job.nodes = tuple(
                    JobNode(n.id, inventory.name_of(n), inventory.attribute(n, "driver") or "") for n in homes
                )
        for subject, job in self._jobs.items():
            if job.closed:
                continue
            size = inventory.attribute(subject, "world_size") or ""
            if size.isascii() and size.isdigit() and 0 < len(size) < 8:
                job.world_size = int(size)
            job.image = inventory.attribute(subject, "image") or job.image
            job.is_of(namespaces_at(inventory, subject))
            held = counts.get(subject)
            job.has_gpus(0 if held is None else len(held), now_ns)
            mark = inventory.attribute(subject, "attempt")
            if mark:
                job.is_marked(mark, now_ns)
            waits = _WAITS.get(inventory.attribute(subject, "phase") or "")
            if waits is not None:
                job.attempt.ledger.turn(waits, now_ns)

    def _watch_controllers(self, now_ns: int, inventory: Inventory) -> None:
        """What becomes of the pods of jobs that lie dead."""
        for job in self._jobs.values():
            died_ns = job.died_ns
            if died_ns is None or not job.owner or job.closed:
                if job.pods is not None and not job.closed:
                    job.has_pods(None)  # it steps again
                continue
            job.has_pods(seen(self._pods.of(job.owner, inventory, now_ns), died_ns) or job.pods)

    def _due(self, now_ns: int, changed: dict[tuple[Subject, int], AttemptRecord]) -> None:
        for subject, job in self._jobs.items():
            if job.closed and not job.dirty:
                continue
            due_ns = self._due_ns.get(subject, 0)
            if job.dirty or now_ns >= due_ns:
                changed[subject, job.attempt.number] = job.record(job.attempt, now_ns)
                # jobs that were first seen together are not all saved together: each has an instant of its own
                shift_ns = crc32(subject.id.encode()) % 1000 * (SAVE_EVERY_NS // 1000)
                self._due_ns[subject] = ((now_ns - shift_ns) // SAVE_EVERY_NS + 1) * SAVE_EVERY_NS + shift_ns
                job.dirty = False
        while len(self._jobs) > MOST_JOBS:
            gone = next((s for s, job in self._jobs.items() if job.closed), next(iter(self._jobs)))
            del self._jobs[gone]
            self._due_ns.pop(gone, None)


_WAITS = {"queued": Base.QUEUED, "preempted": Base.PREEMPTED}
"""What a job's attribute `phase` may say, where an owner tells it."""
