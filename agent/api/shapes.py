"""What the API hands out: stable JSON shapes, every field always there, apart from the types inside.

Times end in `_ns` and are Unix nanoseconds. A figure that is no finite number is one of the strings "NaN", "Infinity"
and "-Infinity": JSON has no such numbers, and a loss that became NaN is the very thing to tell.
"""

import math
from typing import Literal

import msgspec

from agent.store.rows import JobSeen, NodeSeen
from collectors.model import Event, Origin, Subject
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Severity
from policies.model import ActionKind, AuditEntry, Decision, Mode, Verdict

Figure = float | Literal["NaN", "Infinity", "-Infinity"]


def figure_of(value: float) -> Figure:
    """A number as JSON can carry it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class SubjectShape(msgspec.Struct, frozen=True):
    """What a thing is about: `id` is stable, names are for people."""

    cluster: str
    kind: str
    id: str

    @classmethod
    def of(cls, subject: Subject) -> "SubjectShape":
        """From the model."""
        return cls(subject.cluster, subject.kind.value, subject.id)


class IncidentShape(msgspec.Struct, frozen=True):
    """One cause and what followed from it."""

    id: str
    state: IncidentState
    severity: Severity
    kind: FindingKind
    """Kind of the probable root."""
    title: str
    subject: SubjectShape
    names: dict[str, str]
    """`node`, `gpu`, `rank`, `job` of the root by name, where known."""
    origin: Origin
    since_ns: int
    opened_ns: int
    updated_ns: int
    resolved_ns: int | None
    resolved_because: str
    root: str
    findings: list[str]
    """Ids, the root first, then in causal order."""
    kinds: list[FindingKind]
    left_out: int
    """Findings that belong to it and are not listed: the list is capped."""
    snoozed_until_ns: int | None
    """Where `state` is `snoozed`: until when."""
    reopened: int
    """How often it came back within ten minutes of being resolved."""
    namespaces: list[str]
    """Kubernetes namespaces that it concerns, of those that you may read; empty: nobody's, or not known."""
    hidden: int
    """Findings of it that you may not read; title, subject and names are then those of the first that you may."""

    @classmethod
    def of(cls, incident: Incident, hidden: int = 0) -> "IncidentShape":
        """From the model, as its reader may see it (`agent.access.visible`)."""
        return cls(
            id=incident.id,
            state=incident.state,
            severity=incident.severity,
            kind=incident.kind,
            title=incident.title,
            subject=SubjectShape.of(incident.subject),
            names=dict(incident.names),
            origin=incident.origin,
            since_ns=incident.since_ns,
            opened_ns=incident.opened_ns,
            updated_ns=incident.updated_ns,
            resolved_ns=incident.resolved_ns,
            resolved_because=incident.resolved_because,
            root=incident.root,
            findings=list(incident.findings),
            kinds=list(incident.kinds),
            left_out=incident.left_out,
            snoozed_until_ns=incident.snoozed_until_ns,
            reopened=incident.reopened,
            namespaces=[name for name in incident.namespaces if name],
            hidden=hidden,
        )


class EvidenceShape(msgspec.Struct, frozen=True):
    """One observation that a finding rests on. `text` and `line` may hold log text: it is hostile."""

    text: str
    time_ns: int
    metric: str
    value: Figure | None
    expected: Figure | None
    unit: str
    source: str
    line: str

    @classmethod
    def of(cls, evidence: Evidence) -> "EvidenceShape":
        """From the model."""
        return cls(
            text=evidence.text,
            time_ns=evidence.time_ns,
            metric=evidence.metric,
            value=None if evidence.value is None else figure_of(evidence.value),
            expected=None if evidence.expected is None else figure_of(evidence.expected),
            unit=evidence.unit,
            source=evidence.source,
            line=evidence.line,
        )


class FindingShape(msgspec.Struct, frozen=True):
    """What a detector states about one subject."""

    id: str
    kind: FindingKind
    severity: Severity
    subject: SubjectShape
    names: dict[str, str]
    summary: str
    confidence: float
    origin: Origin
    since_ns: int
    opened_ns: int
    cleared_ns: int | None
    cleared_because: str
    evidence: list[EvidenceShape]
    related: list[SubjectShape]
    namespaces: list[str]
    """Kubernetes namespaces that it and its evidence concern, of those that you may read."""
    hidden: int
    """Pieces of evidence that you may not read; its summary is then no more than kind and place."""

    @classmethod
    def of(cls, finding: Finding, hidden: int = 0) -> "FindingShape":
        """From the model, as its reader may see it."""
        return cls(
            id=finding.id,
            kind=finding.kind,
            severity=finding.severity,
            subject=SubjectShape.of(finding.subject),
            names=dict(finding.names),
            summary=finding.summary,
            confidence=finding.confidence,
            origin=finding.origin,
            since_ns=finding.since_ns,
            opened_ns=finding.opened_ns,
            cleared_ns=finding.cleared_ns,
            cleared_because=finding.cleared_because,
            evidence=[EvidenceShape.of(evidence) for evidence in finding.evidence],
            related=[SubjectShape.of(subject) for subject in finding.related],
            namespaces=[name for name in finding.namespaces if name],
            hidden=hidden,
        )


class ActionShape(msgspec.Struct, frozen=True):
    """One step against the cluster, with its undo in words."""

    kind: ActionKind
    target: SubjectShape
    target_name: str
    undo: str


class GuardShape(msgspec.Struct, frozen=True):
    """What one guard said."""

    guard: str
    allows: bool
    reason: str


class DecisionShape(msgspec.Struct, frozen=True):
    """What a policy wants done about an incident, and why."""

    id: str
    incident: str
    rule: str
    mode: Mode
    verdict: Verdict
    reason: str
    actions: list[ActionShape]
    guards: list[GuardShape]
    decided_ns: int
    origin: Origin

    @classmethod
    def of(cls, decision: Decision) -> "DecisionShape":
        """From the model."""
        return cls(
            id=decision.id,
            incident=decision.incident,
            rule=decision.rule,
            mode=decision.mode,
            verdict=decision.verdict,
            reason=decision.reason,
            actions=[
                ActionShape(action.kind, SubjectShape.of(action.target), action.target_name, action.undo)
                for action in decision.actions
            ],
            guards=[GuardShape(word.guard, word.allows, word.reason) for word in decision.guards],
            decided_ns=decision.decided_ns,
            origin=decision.origin,
        )


class EventShape(msgspec.Struct, frozen=True):
    """Something that happened at an instant. `line` is log text: it is hostile."""

    kind: str
    subject: SubjectShape
    time_ns: int
    source: str
    values: dict[str, Figure]
    attributes: dict[str, str]
    line: str

    @classmethod
    def of(cls, event: Event) -> "EventShape":
        """From the model."""
        return cls(
            kind=event.kind.value,
            subject=SubjectShape.of(event.subject),
            time_ns=event.time_ns,
            source=event.source.value,
            values={name: figure_of(value) for name, value in event.values.items()},
            attributes=dict(event.attributes),
            line=event.line,
        )


class NodeShape(msgspec.Struct, frozen=True):
    """A node that a collector has spoken for."""

    cluster: str
    id: str
    name: str
    origin: Origin
    driver: str
    gpus: int
    first_seen_ns: int
    last_seen_ns: int

    @classmethod
    def of(cls, node: NodeSeen) -> "NodeShape":
        """From the store's row."""
        return cls(
            cluster=node.cluster,
            id=node.id,
            name=node.name,
            origin=Origin(node.origin),
            driver=node.driver,
            gpus=node.gpus,
            first_seen_ns=node.first_seen_ns,
            last_seen_ns=node.last_seen_ns,
        )


class JobShape(msgspec.Struct, frozen=True):
    """A training job that a collector has seen."""

    cluster: str
    id: str
    name: str
    origin: Origin
    state: str
    world_size: int | None
    last_step: int | None
    last_step_ns: int | None
    first_seen_ns: int
    last_seen_ns: int

    @classmethod
    def of(cls, job: JobSeen) -> "JobShape":
        """From the store's row."""
        return cls(
            cluster=job.cluster,
            id=job.id,
            name=job.name,
            origin=Origin(job.origin),
            state=job.state,
            world_size=job.world_size,
            last_step=job.last_step,
            last_step_ns=job.last_step_ns,
            first_seen_ns=job.first_seen_ns,
            last_seen_ns=job.last_seen_ns,
        )


class AuditShape(msgspec.Struct, frozen=True):
    """One line of the append-only audit; `hash` chains it to the entry before."""

    sequence: int
    time_ns: int
    actor: str
    what: str
    about: str
    detail: str
    previous_hash: str
    hash: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditShape":
        """From the model."""
        return cls(
            sequence=entry.sequence,
            time_ns=entry.time_ns,
            actor=entry.actor,
            what=entry.what,
            about=entry.about,
            detail=entry.detail,
            previous_hash=entry.previous_hash,
            hash=entry.hash,
        )
