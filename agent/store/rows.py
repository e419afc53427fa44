"""What the store hands out besides the floors' own types: nodes, jobs, and what pruning did."""

from dataclasses import dataclass

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
