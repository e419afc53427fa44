"""How far a bundle reaches: which nodes and jobs an incident is about, and from when until when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.jobs.record import AttemptRecord
from collectors.model import Subject, SubjectKind
from detectors.model import Finding, Incident, Inventory

NS = 10**9
BEFORE_SECONDS = 900.0
"""History before the first sign. A GPU's habit is learnt in 10 s of steady load and follows within a minute, a job's
rhythm counts from 8 steps on and remembers 128, the loss wants 20 to 128 lines, a slow leak is seen over 8 minutes: 15
minutes give all of them to jobs that step at least every 7 s. It is also what the ingest log keeps by default."""
MOST_BEFORE_SECONDS = 24 * 3600.0
AFTER_SECONDS = 60.0
"""After the last finding, or the resolution (30 s of quiet come before it)."""
MOST_AFTER_SECONDS = 2 * 3600.0
"""After the opening: a job that crashes again and again goes on with one incident for days."""
ALL_NODES = 32
"""A cluster of so few nodes is taken whole: its ticks are then the very same."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time by the clock of the incident's watch, Unix ns, half-open."""

    start_ns: int
    until_ns: int


def span_of(
    incident: Incident, findings: Sequence[Finding], now_ns: int | None, before_s: float, after_s: float
) -> Span:
    """From `before_s` before the first sign until `after_s` after the last word.

    `now_ns`: it goes by the agent's clock, which stands there, Unix ns; None: by one of its own.
    """
    since_ns = min([incident.since_ns, *(finding.since_ns for finding in findings)])
    last_ns = max([incident.opened_ns, incident.resolved_ns or 0, *(finding.opened_ns for finding in findings)])
    until_ns = min(last_ns + int(after_s * NS), incident.opened_ns + int(MOST_AFTER_SECONDS * NS))
    if now_ns is not None:
        until_ns = min(until_ns, now_ns)
    return Span(max(0, since_ns - int(before_s * NS)), max(until_ns, incident.opened_ns + 1))


@dataclass(frozen=True, slots=True)
class Involved:
    """What an incident is about."""

    nodes: frozenset[Subject]
    jobs: frozenset[Subject]
    whole: bool
    """It is about the cluster: every node belongs to it."""


def involved(
    incident: Incident, findings: Sequence[Finding], attempts: Iterable[AttemptRecord], inventory: Inventory
) -> Involved:
    """Nodes and jobs of its findings, the nodes on which those jobs run or ran, and the nodes of a rack or domain."""
    subjects = {incident.subject, *(s for f in findings for s in (f.subject, *f.related))}
    said = [incident.names, *(finding.names for finding in findings)]
    nodes: set[Subject] = set()
    jobs = {subject for subject in subjects if subject.kind is SubjectKind.JOB}
    whole = any(subject.kind is SubjectKind.CLUSTER for subject in subjects)
    job_names = {names["job"] for names in said if "job" in names}
    cluster = incident.subject.cluster
    for subject in subjects:
        home, job = inventory.node_of(subject), inventory.job_of(subject)
        nodes.update({home} if home is not None else ())
        jobs.update({job} if job is not None else ())
        for kind, key in ((SubjectKind.RACK, "rack"), (SubjectKind.SWITCH, "nvlink_domain")):
            if subject.kind is kind:
                nodes.update(inventory.nodes_at(key, subject.id))
    for names in said:
        if "node" in names:
            nodes.update(inventory.called(SubjectKind.NODE, names["node"]))
    for attempt in attempts:
        job = Subject(attempt.cluster, SubjectKind.JOB, attempt.job)
        ours = attempt.cluster == cluster and attempt.origin is incident.origin
        if ours and (job in jobs or attempt.name in job_names):
            jobs.add(job)
            nodes.update(Subject(cluster, SubjectKind.NODE, node.id) for node in attempt.nodes)
    for subject in list(inventory.facts):
        if subject.kind is SubjectKind.GPU and inventory.job_of(subject) in jobs:
            home = inventory.node_of(subject)
            nodes.update({home} if home is not None else ())
    return Involved(frozenset(node for node in nodes if node.cluster == cluster), frozenset(jobs), whole)
