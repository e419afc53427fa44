"""Findings that belong together."""

from enum import StrEnum

import msgspec

from collectors.model import Origin, Subject
from detectors.model.kinds import FindingKind, Severity


class IncidentState(StrEnum):
    """Where an incident stands. It is never resolved by silence."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cause and what followed from it, the probable root first. Immutable; a change is a new value, same id."""

    id: str
    """Deterministic, from its first finding: `INC-` and eight characters."""
    state: IncidentState
    root: str
    """Id of the finding that is the probable root."""
    findings: tuple[str, ...]
    """Ids, root first, then in causal order."""
    kind: FindingKind
    """Kind of the root."""
    subject: Subject
    """Subject of the root."""
    severity: Severity
    """The worst of its findings'."""
    title: str
    opened_ns: int
    since_ns: int
    updated_ns: int
    origin: Origin
    resolved_ns: int | None = None
    resolved_because: str = ""
    names: dict[str, str] = {}
    """As `Finding.names`, of the root."""
    kinds: tuple[FindingKind, ...] = ()
    """Kinds of `findings`, in their order."""
