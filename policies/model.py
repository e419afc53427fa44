"""What floor 3 hands up: decisions, the actions they name, and audit entries."""

from enum import StrEnum

import msgspec

from collectors.model import Origin, Subject
from policies.plan import Plan


class Mode(StrEnum):
    """How far a decision may go. The stricter of the global mode and the rule's wins."""

    AUDIT = "audit"
    APPROVE = "approve"
    ENFORCE = "enforce"


class ActionKind(StrEnum):
    """What a rule may ask for."""

    NOTIFY = "notify"
    CORDON = "cordon"
    TAINT = "taint"
    LABEL = "label"
    CONDITION = "condition"
    """A node condition and a Kubernetes Event, for people and controllers that look there."""
    EVICT = "evict"
    RESTART_JOB = "restart_job"
    RESET_GPU = "reset_gpu"
    REBOOT_NODE = "reboot_node"


class Verdict(StrEnum):
    """What became of a decision."""

    DO = "do"
    """Enforce: the plan is carried out."""
    ASK = "ask"
    """Approve: a person has to say yes to the plan."""
    WOULD_DO = "would_do"
    """Audit: the actions were decided and written down, nothing was touched."""
    REFUSED = "refused"
    """A guard said no."""
    NOTHING = "nothing"
    """No rule matched, or the rule asks for no action."""


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a rule wants, with its target and its undo, in words."""

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
    plan: Plan | None = None
    """The steps against the cluster, where it is known well enough to name them; its digest is what is approved."""


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
