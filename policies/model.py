"""What floor 3 hands up: decisions, the actions they name, and audit entries."""

from enum import StrEnum

import msgspec

from collectors.model import Origin, Subject


class Mode(StrEnum):
    """How far a decision may go. The stricter of the global mode and the rule's wins."""

    AUDIT = "audit"
    APPROVE = "approve"
    ENFORCE = "enforce"


class ActionKind(StrEnum):
    """One step against the cluster, or none."""

    NOTIFY = "notify"
    CORDON = "cordon"
    TAINT = "taint"
    EVICT = "evict"
    RESTART_JOB = "restart_job"


class Verdict(StrEnum):
    """What became of a decision."""

    WOULD_DO = "would_do"
    """Audit: the actions were decided and written down, nothing was touched."""
    REFUSED = "refused"
    """A guard said no."""
    NOTHING = "nothing"
    """No rule matched, or the rule asks for no action."""


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step with its target and its undo, in words."""

    kind: ActionKind
    target: Subject
    target_name: str
    undo: str = ""


class GuardWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one guard said, with the figures it rests on. A guard may only ever say no."""

    guard: str
    """Its id: G1 to G22 (design: Guards and plan rules)."""
    allows: bool
    reason: str


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a policy wants done about an incident, why, and what each guard said."""

    id: str
    incident: str
    rule: str
    """Name of the rule that matched; empty where none did."""
    mode: Mode
    verdict: Verdict
    actions: tuple[Action, ...]
    guards: tuple[GuardWord, ...]
    reason: str
    """A sentence for people: what would be done and why, or why nothing."""
    decided_ns: int
    origin: Origin


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the append-only audit. `hash` chains it to the entry before."""

    sequence: int
    time_ns: int
    actor: str
    """`watchstander` or the person's identity."""
    what: str
    """`decision`, `acknowledge`, ..."""
    about: str
    """Id of the incident, decision or setting."""
    detail: str
    """JSON, sorted keys."""
    previous_hash: str
    hash: str
