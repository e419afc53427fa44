"""Which nodes and jobs have been seen, gathered between two savings so that a batch costs no row."""

from collections.abc import Callable

import msgspec

from agent.store.rows import JobSeen, NodeSeen
from collectors.model import Batch, Event, EventKind, Origin, Subject, SubjectFacts, SubjectKind

RUNNING, ENDED, FAILED = "running", "ended", "failed"
"""States of a job as its own log tells them."""

_STATE_OF = {
    EventKind.TRAINING_START: RUNNING,
    EventKind.TRAINING_STEP: RUNNING,
    EventKind.TRAINING_END: ENDED,
    EventKind.PROCESS_EXIT: ENDED,
    EventKind.TRACEBACK: FAILED,
}
_MOST_JOBS = 50_000

NodeKey = tuple[Origin, Subject]


class Sightings:
    """What is known of nodes and jobs from their batches; `take` hands out what changed."""

    def __init__(self) -> None:
        self._nodes: dict[NodeKey, NodeSeen] = {}
        self._jobs: dict[NodeKey, JobSeen] = {}
        self._changed_nodes: set[NodeKey] = set()
        self._changed_jobs: set[NodeKey] = set()

    def see(self, batch: Batch, seen_ns: int) -> None:
        """One batch; `seen_ns` by the clock of its space, Unix ns."""
        key = (batch.origin, batch.node)
        node = self._nodes.get(key)
        gpus = sum(subject.kind is SubjectKind.GPU for subject in batch.subjects)
        if node is None:
            node = NodeSeen(batch.node.cluster, batch.node.id, batch.node.id, batch.origin, seen_ns, seen_ns)
        name, driver = node.name, node.driver
        for facts in batch.facts:
            if facts.subject == batch.node:
                name, driver = facts.name or name, facts.attributes.get("driver", driver)
            elif facts.subject.kind is SubjectKind.JOB:
                self._job_facts(batch.origin, facts, seen_ns)
        # A batch of events names no GPUs, or those that it is about: a node does not lose cards by that.
        gpus = max(gpus, node.gpus)
        self._nodes[key] = msgspec.structs.replace(node, name=name, driver=driver, gpus=gpus, last_seen_ns=seen_ns)
        self._changed_nodes.add(key)
        for event in batch.events:
            if event.subject.kind is SubjectKind.JOB:
                self._job_event(batch.origin, event, seen_ns)

    def take(self) -> tuple[list[NodeSeen], list[JobSeen]]:
        """What has changed since the last time."""
        nodes = [self._nodes[key] for key in self._changed_nodes]
        jobs = [self._jobs[key] for key in self._changed_jobs]
        self._changed_nodes.clear()
        self._changed_jobs.clear()
        while len(self._jobs) > _MOST_JOBS:
            self._jobs.pop(next(iter(self._jobs)))
        return nodes, jobs

    def _job_facts(self, origin: Origin, facts: SubjectFacts, seen_ns: int) -> None:
        size = facts.attributes.get("world_size", "")

        def learn(job: JobSeen) -> JobSeen:
            world_size = int(size) if size.isascii() and size.isdigit() and len(size) < 10 else job.world_size
            return msgspec.structs.replace(job, name=facts.name or job.name, world_size=world_size)

        self._job(origin, facts.subject, seen_ns, learn)

    def _job_event(self, origin: Origin, event: Event, seen_ns: int) -> None:
        def learn(job: JobSeen) -> JobSeen:
            step = event.values.get("step")
            if step is not None and 0 <= step < 2**53:  # NaN fails both comparisons
                job = msgspec.structs.replace(job, last_step=int(step), last_step_ns=event.time_ns)
            state = _STATE_OF.get(event.kind, job.state)
            if event.kind is EventKind.PROCESS_EXIT and (event.values.get("exit_code", 0) or job.state == FAILED):
                state = FAILED
            return msgspec.structs.replace(job, state=state)

        self._job(origin, event.subject, seen_ns, learn)

    def _job(self, origin: Origin, subject: Subject, seen_ns: int, learn: Callable[[JobSeen], JobSeen]) -> None:
        key = (origin, subject)
        job = self._jobs.get(key)
        if job is None:
            job = JobSeen(subject.cluster, subject.id, subject.id, origin, seen_ns, seen_ns)
        self._jobs[key] = msgspec.structs.replace(learn(job), last_seen_ns=seen_ns)
        self._changed_jobs.add(key)
