"""Jobs as one identity may see them: those all of whose pods are in namespaces that it may read."""

from msgspec.structs import replace

from agent.access.cut import WITHHELD
from agent.access.visible import Visible
from agent.jobs.record import AttemptRecord, Fault
from agent.store.rows import JobSeen
from collectors.model import Origin, Subject, SubjectKind
from detectors.model import FindingKind

MOST_ATTEMPTS = 500
"""Of one name, as the store gives them."""
MOST_OF_A_NAME = 20_000
"""Looked through for those: a name is free to anybody, and others' jobs must not push one's own out."""


def jobs(visible: Visible, cluster: str | None) -> tuple[list[tuple[JobSeen, AttemptRecord | None]], int]:
    """Jobs with their newest attempts, the one seen last first; and how many may not be read."""
    store = visible.store
    attempts = {(a.origin, a.cluster, a.job): a for a in store.attempts(cluster=cluster)}
    seen = [(job, attempts.get((Origin(job.origin), job.cluster, job.id))) for job in store.jobs(cluster=cluster)]
    if not visible.limited:
        return [(job, attempt) for job, attempt in seen], 0
    mine = [(job, attempt) for job, attempt in seen if attempt is not None and reads(visible, attempt)]
    return [(job, _cut(visible, attempt)) for job, attempt in mine], len(seen) - len(mine)


def attempts_of(visible: Visible, name_or_id: str, cluster: str | None = None) -> list[AttemptRecord]:
    """Attempts of the jobs of a name or id, newest first; none where none may be read."""
    if not visible.limited:
        return visible.store.attempts_of(name_or_id, cluster=cluster)
    found = visible.store.attempts_of(name_or_id, cluster=cluster, limit=MOST_OF_A_NAME)
    return [_cut(visible, attempt) for attempt in found if reads(visible, attempt)][:MOST_ATTEMPTS]


def reads(visible: Visible, attempt: AttemptRecord) -> bool:
    """Whether an attempt's whole card may be read."""
    return visible.sight.whole(attempt.namespaces)


def _cut(visible: Visible, attempt: AttemptRecord) -> AttemptRecord:
    """With its fault as far as that may be read: what killed it may be somebody else's."""
    fault = attempt.fault
    return attempt if fault is None else replace(attempt, fault=_fault(visible, attempt, fault))


def _fault(visible: Visible, attempt: AttemptRecord, fault: Fault) -> Fault:
    seen = visible.by_id(fault.incident)
    if seen is not None and seen.whole:
        return fault
    if seen is not None and seen.incident.root == seen.stored.root:
        return replace(fault, title=seen.incident.title, names=seen.incident.names, signature="")
    job = Subject(attempt.cluster, SubjectKind.JOB, attempt.job)
    return replace(
        fault,
        incident="" if seen is None else fault.incident,
        kind=FindingKind.JOB_CRASH,
        title=WITHHELD,
        subject=job,
        names={},
        node_id="",
        kinds=(),
        codes=(),
        signature="",
    )
