"""What is left of an incident, its findings and decisions for somebody who may read some namespaces only.

| of a finding | is shown |
| --- | --- |
| on a card, pod, job or rank, all of whose namespaces may be read | all |
| on a node, link or NIC, all of whose namespaces may be read, with no log line as evidence | all |
| on a card, node, link or NIC that concerns a namespace that may be read | kind, times, node, card; no evidence |
| any other | that it is there |

A node's log lines may name processes of anybody. An incident whose findings are not all shown in full is shown by the
first of them that may be read: its title, names, people's words and reasons would name the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from msgspec.structs import replace

from agent.access.sight import Sight
from collectors.model import Subject, SubjectKind
from detectors.model import Finding, Incident, IncidentState, Severity
from policies.model import Decision, GuardWord

WITHHELD = "not shown: it may name what you may not read"
_SOMEBODYS = frozenset({SubjectKind.GPU, SubjectKind.POD, SubjectKind.JOB, SubjectKind.RANK})
_SHARED = frozenset({SubjectKind.NODE, SubjectKind.NIC, SubjectKind.LINK})
_PLACES = ("node", "gpu", "rack", "nvlink_domain")
"""Names of things, not of anybody's work."""
_SEVERITIES = tuple(Severity)


class Shown(Enum):
    """How much of a finding may be read."""

    WHOLE = "whole"
    OUTLINE = "outline"
    HIDDEN = "hidden"


def shown(sight: Sight, finding: Finding) -> Shown:
    """How much of it may be read."""
    if not sight.limited:
        return Shown.WHOLE
    kind = finding.subject.kind
    if sight.whole(finding.namespaces) and (
        kind in _SOMEBODYS or (kind in _SHARED and not any(evidence.line for evidence in finding.evidence))
    ):
        return Shown.WHOLE
    if (kind in _SHARED or kind is SubjectKind.GPU) and sight.touches(finding.namespaces):
        return Shown.OUTLINE
    return Shown.HIDDEN


def cut_finding(sight: Sight, finding: Finding) -> Finding | None:
    """What may be read of it; None: nothing."""
    how = shown(sight, finding)
    if how is not Shown.OUTLINE:
        return finding if how is Shown.WHOLE else None
    names = {key: value for key, value in finding.names.items() if key in _PLACES}
    return replace(
        finding,
        names=names,
        summary=f"{finding.kind.value.replace('_', ' ')} on {_place(names, finding.subject)}",
        evidence=(),
        related=tuple(subject for subject in finding.related if subject.kind is SubjectKind.NODE),
        cleared_because="" if finding.cleared_ns is None else "it is over",
        namespaces=tuple(sorted(name for name in finding.namespaces if sight.touches((name,)))),
        mark="",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """An incident as somebody may see it."""

    incident: Incident
    findings: list[Finding]
    """In causal order; those that are hidden are left out."""
    hidden: int = 0
    """Findings that may not be read."""
    evidence: dict[str, int] = field(default_factory=dict)
    """Pieces of evidence that may not be read, by finding."""
    whole: bool = True
    """Nothing is left out of it."""
    full: Incident | None = field(default=None, repr=False)
    """As the store has it, where something was left out: to judge rights and to count by, never to be shown."""

    @property
    def stored(self) -> Incident:
        """As the store has it: to judge rights by and to act on, never to be shown."""
        return self.full or self.incident

    @property
    def root_hidden(self) -> bool:
        """Whether the probable root is among what may not be read."""
        return not self.whole and not self.incident.root

    @property
    def subjects(self) -> frozenset[Subject]:
        """What may be named: subjects of the findings that are shown, and what those relate to."""
        return frozenset(s for finding in self.findings for s in (finding.subject, *finding.related))


def cut_incident(sight: Sight, incident: Incident, findings: Sequence[Finding]) -> Seen | None:
    """What may be read of it; None: nothing. `findings`: all that it lists, in its order."""
    if not sight.limited:
        return Seen(incident, list(findings))
    if not sight.touches(incident.namespaces):
        return None
    every = {finding.id: shown(sight, finding) for finding in findings}
    listed = incident.findings  # none where they have gone to another: then nothing tells what its title names
    if listed and sight.whole(incident.namespaces) and all(every.get(id_) is Shown.WHOLE for id_ in listed):
        return Seen(incident, list(findings))
    left = [cut for finding in findings if (cut := cut_finding(sight, finding)) is not None]
    withheld = {f.id: len(f.evidence) for f in findings if every[f.id] is Shown.OUTLINE and f.evidence}
    # what a capped list leaves out is of unknown make
    hidden = len(incident.findings) + incident.left_out - len(left)
    return Seen(_outline(sight, incident, left), left, hidden, withheld, whole=False, full=incident)


def _outline(sight: Sight, incident: Incident, left: Sequence[Finding]) -> Incident:
    """The incident by what is left of its findings."""
    named = {finding.names.get("job", "") for finding in left}
    over = incident.state is IncidentState.RESOLVED
    common = {
        "findings": tuple(finding.id for finding in left),
        "kinds": tuple(finding.kind for finding in left),
        "left_out": 0,
        "resolved_because": "it is over" if over else "",
        "gpus": {job: gpus for job, gpus in incident.gpus.items() if job in named},
        "namespaces": tuple(name for name in incident.namespaces if sight.touches((name,))),
    }
    if not left:
        cluster = incident.subject.cluster
        title = "an incident that concerns your namespaces, of which you may read nothing more"
        return replace(
            incident, subject=Subject(cluster, SubjectKind.CLUSTER, cluster), names={}, root="", title=title, **common
        )
    first = left[0]
    return replace(
        incident,
        root=first.id if first.id == incident.root else "",
        kind=first.kind,
        subject=first.subject,
        names=dict(first.names),
        severity=max((finding.severity for finding in left), key=_SEVERITIES.index),
        title=first.summary,
        since_ns=first.since_ns,
        **common,
    )


def cut_decision(sight: Sight, decision: Decision, seen: Seen) -> Decision:
    """What may be read of it: reasons speak of the fleet, of other plans, and of all pods of a node."""
    if not sight.limited:
        return decision
    subjects = seen.subjects
    return replace(
        decision,
        reason=WITHHELD,
        actions=tuple(replace(a, undo="") for a in decision.actions if a.target in subjects),
        guards=tuple(GuardWord(word.guard, word.allows, WITHHELD) for word in decision.guards),
        plan=None,
    )


def _place(names: dict[str, str], subject: Subject) -> str:
    node = names.get("node", "")
    card = f"GPU {names['gpu']}" if "gpu" in names else ""
    return " ".join(
        part for part in (card, f"of node {node}" if card and node else node and f"node {node}") if part
    ) or (f"a {subject.kind.value}")
