"""What a simulated job is given, and the words for what it does."""

from dataclasses import dataclass
from enum import StrEnum

from agent.simulate.parallel import Parallel


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Everything about a job that is drawn or given; seconds, watts, bytes."""

    name: str
    parallel: Parallel
    log: str
    log_every: int
    step_seconds: float
    watts: float
    """Of a working card; at the cap or below."""
    held_bytes: float
    start_seconds: float
    first_step_seconds: float
    save_every_seconds: float
    save_seconds: float
    sharded_save: bool
    """All ranks write; otherwise rank 0 does and the others wait."""
    evaluation_every_seconds: float
    evaluation_seconds: float
    timeout_seconds: float
    restart_seconds: float
    launcher: bool
    """A launcher sees a dead rank at once and ends the rest; without one the collective's time-out does."""


class Phase(StrEnum):
    """What the job as a whole does."""

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    SAVING = "saving"
    EVALUATING = "evaluating"
    HELD_UP = "held up"
    """Hung or stalled; processes live."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Slow:
    """Why steps take longer than they should, while they are made."""

    kind: str
    """`late host`, `late loader`, `straggler`, `dense`, `nan`, `diverged`, by which the cards are painted."""
    guilty: tuple[int, ...] = ()
    stretch: float = 1.0
    """Times that a step takes."""
    wait_seconds: float = 0.0
    """Before each step (late host), or before each `batches` steps (late loader)."""
    batches: int = 1
    second_process: bool = False
