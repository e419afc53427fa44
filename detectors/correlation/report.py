"""An incident as it stands: what people, policies and the store are told of a group of findings."""

import base64
import hashlib
from collections.abc import Iterable

import msgspec

from detectors.correlation.group import Group
from detectors.correlation.link import SECOND_NS
from detectors.correlation.title import title_of
from detectors.correlation.wave import wave_words, where_words
from detectors.inventory import UNKNOWN
from detectors.model import Finding, FindingKind, Incident, IncidentState, Severity

QUIET_SECONDS = 30.0
"""How long everything must stay cleared before an incident is resolved: two batches, a tick and the allowed lateness
(5 + 5 + 5 + 10 s) must have had the chance to say otherwise, and a fault that flickers stays one incident."""

MOST_LISTED = 200
"""Findings in an incident's list, root first; `Incident.left_out` counts the rest. A wave over a fleet has thousands,
and the list goes to the store, to policies and to pages each time it changes."""

_SEVERITIES = tuple(Severity)


def incident_id(finding_id: str) -> str:
    """The id of the incident that a finding opens: `INC-` and eight characters, the same on every replay."""
    digest = hashlib.sha256(finding_id.encode()).digest()
    return "INC-" + base64.b32encode(digest[:5]).decode("ascii")


def is_quiet(group: Group, now_ns: int) -> bool:
    """Whether all its findings have cleared and stayed so for long enough."""
    quiet_ns = group.quiet_since_ns()
    return quiet_ns is not None and now_ns - quiet_ns >= QUIET_SECONDS * SECOND_NS


def incident_of(incident: str, group: Group, before: Incident | None, opened_ns: int, now_ns: int) -> Incident:
    """The incident that a group of findings is; `before`: as it was last told."""
    findings = group.in_order()
    root = findings[0]
    state = before.state if before is not None else IncidentState.OPEN
    resolved_ns, because = (before.resolved_ns, before.resolved_because) if before is not None else (None, "")
    until_ns = before.snoozed_until_ns if before is not None and state is IncidentState.SNOOZED else None
    if until_ns is not None and now_ns >= until_ns:
        state, until_ns = IncidentState.OPEN, None
    if state is not IncidentState.RESOLVED and is_quiet(group, now_ns):
        state, resolved_ns = IncidentState.RESOLVED, now_ns
        because, until_ns = root.cleared_because or "all its findings have cleared", None
    listed = _listed(findings)
    reopened = before.reopened if before is not None else 0
    title = title_of(findings)
    if group.wave is not None:
        alike = [finding for finding in findings if finding.kind is root.kind]
        title = title_of(findings, where_words(group.wave), wave_words(group.wave, alike))
    elif reopened:
        title += f"; {reopened + 1} times"
    return Incident(
        id=incident,
        state=state,
        root=root.id,
        findings=tuple(finding.id for finding in listed),
        kind=root.kind,
        subject=group.wave.subject if group.wave is not None else root.subject,
        severity=_worst(findings),
        title=title,
        opened_ns=opened_ns,
        since_ns=root.since_ns,
        updated_ns=now_ns,
        origin=root.origin,
        resolved_ns=resolved_ns,
        resolved_because=because,
        names=group.wave.names if group.wave is not None else dict(root.names),
        kinds=tuple(finding.kind for finding in listed),
        left_out=len(findings) - len(listed),
        snoozed_until_ns=until_ns,
        reopened=reopened,
        word=before.word if before is not None else 0,
        gpus=before.gpus if before is not None else {},
        namespaces=namespaces_of(findings, before.namespaces if before is not None else ()),
    )


def namespaces_of(findings: Iterable[Finding], before: Iterable[str] = ()) -> tuple[str, ...]:
    """The namespaces of all of them, and those that there were before; UNKNOWN where some are somebody's and one is
    nobody's; () where all are nobody's."""
    each = [finding.namespaces for finding in findings]
    found = {*before, *(name for names in each for name in names)}
    if found and not all(each):
        found.add(UNKNOWN)
    return tuple(sorted(found))


def merged_away(before: Incident, kept: str, into: Group, now_ns: int) -> Incident:
    """An incident whose findings now belong to another, `into`."""
    if not before.findings:
        return before
    why = "whose root was found late"
    if into.wave is not None:
        why = "which has many at once"
    elif before.resolved_ns is not None:
        why = "which comes and goes"
    return msgspec.structs.replace(
        before,
        state=IncidentState.RESOLVED,
        findings=(),
        kinds=(),
        left_out=0,
        updated_ns=now_ns,
        resolved_ns=before.resolved_ns or now_ns,
        resolved_because=f"its findings belong to {kept}, {why}",
    )


def _listed(findings: list[Finding]) -> list[Finding]:
    """The first of them, and the first of every kind."""
    if len(findings) <= MOST_LISTED:
        return findings
    first: dict[FindingKind, str] = {}
    for finding in findings:
        first.setdefault(finding.kind, finding.id)
    must = set(first.values())
    room = MOST_LISTED - len(must)
    listed: list[Finding] = []
    for finding in findings:
        if finding.id in must or room > 0:
            listed.append(finding)
            room -= finding.id not in must
    return listed


def _worst(findings: list[Finding]) -> Severity:
    said = [finding for finding in findings if finding.kind is not FindingKind.UNUSUAL] or findings
    return max((finding.severity for finding in said), key=_SEVERITIES.index)
