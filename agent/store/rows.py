"""What the store hands out besides the floors' own types: nodes, jobs, and what pruning did."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from collectors.model import Origin


class NodeSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node that has sent something."""

    cluster: str
    id: str
    name: str
    origin: Origin
    first_seen_ns: int
    """By the agent's clock, Unix ns, as is `last_seen_ns`. Saving never moves it later, nor `last_seen_ns` earlier."""
    last_seen_ns: int
    driver: str = ""
    """Empty: unknown. Saving an empty one keeps what is known."""
    gpus: int = 0


class JobSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A training job that has been seen at work."""

    cluster: str
    id: str
    name: str
    origin: Origin
    first_seen_ns: int
    last_seen_ns: int
    world_size: int | None = None
    """None: unknown. Saving None keeps what is known, here and in the steps."""
    last_step: int | None = None
    last_step_ns: int | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in days. The audit is kept for good."""

    readings_days: float = 14.0
    """Chunks of readings, by the time of their last sample."""
    events_days: float = 30.0
    """Events, by their own time."""
    history_days: float = 400.0
    """Resolved incidents with their findings and decisions, cleared findings, and nodes and jobs not seen since."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows a pruning removed."""

    readings: int = 0
    """Rows of chunks."""
    events: int = 0
    findings: int = 0
    incidents: int = 0
    decisions: int = 0
    nodes: int = 0
    jobs: int = 0
    attempts: int = 0
    """Of jobs."""


class Judgement(StrEnum):
    """What a person thinks of an incident."""

    TRUE = "true"
    """Something was wrong there, and this was it."""
    FALSE = "false"
    """Nothing was wrong, or something else."""
    DUPLICATE = "duplicate"
    """True, and told already by another incident."""


class Feedback(msgspec.Struct, frozen=True):
    """One person's judgement of one incident."""

    incident: str
    judgement: Judgement
    who: str
    time_ns: int
    note: str = ""
    """Hostile, as all text from outside."""


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many incidents have one kind, one rule (empty: none) and one judgement (None: nobody judged)."""

    kind: str
    rule: str
    judgement: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Occurrences:
    """How often one kind of incident was seen in a stretch of time."""

    here: int
    """On the subject itself, the incident that asks among them."""
    elsewhere: tuple[int, ...]
    """On each other subject that had any, the most first."""


class RuleOnly(msgspec.Struct, frozen=True):
    """As much of a decision as counting by rule needs."""

    rule: str = ""
