"""Findings that belong together, and what people say about them."""

from enum import StrEnum

import msgspec

from collectors.model import Origin, Subject
from detectors.model.kinds import FindingKind, Severity


class IncidentState(StrEnum):
    """Where an incident stands. It is never resolved by silence."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    """A person wants to hear no more of it until `Incident.snoozed_until_ns`; then it is open again."""
    MITIGATED = "mitigated"
    """What was to be done about it was carried out and verified; it lasts until its findings clear."""
    RESOLVED = "resolved"


class WordKind(StrEnum):
    """What can be said about an incident: by a person, and, of MITIGATE, by the agent when a plan is carried out."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    MERGE = "merge"
    SPLIT = "split"
    MITIGATE = "mitigate"


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One word of a person about one incident. The store keeps it; the watch is told and holds to it."""

    kind: WordKind
    incident: str
    """Whole id of the incident that it is about."""
    who: str
    """The person's identity, as the agent proved it."""
    time_ns: int
    """By the agent's clock, Unix ns."""
    note: str = ""
    """The person's own words: hostile, as all text from outside."""
    until_ns: int | None = None
    """SNOOZE: until when."""
    other: str = ""
    """MERGE: the incident that takes the findings in. SPLIT: the new incident that gets them."""
    findings: tuple[str, ...] = ()
    """MERGE and SPLIT: ids of the findings that move."""


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
    left_out: int = 0
    """Findings that belong to it and are not in `findings`: the list is capped."""
    snoozed_until_ns: int | None = None
    """Where `state` is SNOOZED: until when, Unix ns by the agent's clock."""
    reopened: int = 0
    """How often it came back within ten minutes of being resolved."""
    word: int = 0
    """Number of the last word of a person that this value has taken in; one with a lower number than the store knows
    is out of date, and saving it changes nothing."""
    gpus: dict[str, int] = {}
    """GPUs of each job that it touches, by the job's name, as the inventory knew when the incident last changed."""
    namespaces: tuple[str, ...] = ()
    """As `Finding.namespaces`, of all findings that it has or ever had: a finding that was split off was told of with
    the others until then."""
