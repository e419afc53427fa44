"""The causes that a job's time may go to, and which finding blames which. docs/goodput.md explains each."""

from dataclasses import dataclass
from enum import StrEnum

from detectors.model import FindingKind


class Cause(StrEnum):
    """One of these has every nanosecond of an attempt."""

    PRODUCTIVE = "productive"
    """Steps that had not been made before."""
    EVALUATION = "evaluation"
    """A class of its own: neither productive (no step comes of it) nor lost (somebody asked for it)."""
    START_UP = "start_up"
    """Before the first step, and while a checkpoint is loaded."""
    DATA = "data"
    CHECKPOINT = "checkpoint"
    STALL = "stall"
    """The host, or nobody knows: no step for longer than usual."""
    COMMUNICATION = "communication_or_straggler"
    """A rank makes the others wait: a hang, a slow or throttled GPU."""
    REWORK = "rework"
    """Steps that an earlier attempt had made already."""
    FAILURE = "failure"
    """From the fault to the next step, the start of the attempt after it included."""
    QUEUE = "queue"
    PREEMPTION = "preemption"
    IDLE = "idle"
    """The log says that training has ended, and the GPUs are still held."""
    UNKNOWN = "unknown"
    """Nothing tells: a job whose log has never said a word of training."""


LOST = tuple(cause for cause in Cause if cause not in (Cause.PRODUCTIVE, Cause.EVALUATION))
"""What a job would rather have spent on steps."""


@dataclass(frozen=True, slots=True)
class Blame:
    """What a finding says about a job's time."""

    cause: Cause
    order: int
    """Of two that hold at once the lower order has the time: the more specific statement."""


BLAMES: dict[FindingKind, Blame] = {
    # these stop a job: theirs is the time until the next step
    FindingKind.JOB_CRASH: Blame(Cause.FAILURE, 0),
    FindingKind.RANK_CRASH: Blame(Cause.FAILURE, 0),
    FindingKind.GPU_LOST: Blame(Cause.FAILURE, 0),
    FindingKind.GPU_OUT_OF_MEMORY: Blame(Cause.FAILURE, 0),
    FindingKind.COLLECTIVE_TIMEOUT: Blame(Cause.FAILURE, 0),
    FindingKind.XID: Blame(Cause.FAILURE, 1),  # critical ones only
    # these hold as long as the finding is open
    FindingKind.DATALOADER_STALL: Blame(Cause.DATA, 20),
    FindingKind.HOST_STALL: Blame(Cause.STALL, 21),
    FindingKind.COLLECTIVE_HANG: Blame(Cause.COMMUNICATION, 22),
    FindingKind.STRAGGLER: Blame(Cause.COMMUNICATION, 23),
    FindingKind.THERMAL_THROTTLE: Blame(Cause.COMMUNICATION, 24),
    FindingKind.POWER_THROTTLE: Blame(Cause.COMMUNICATION, 24),
    FindingKind.TRAINING_STALL: Blame(Cause.STALL, 25),
    FindingKind.THROUGHPUT_DROP: Blame(Cause.STALL, 26),
}
ANNOUNCED_ORDER, SLOW_ORDER = 10, 20
"""What the log announces stands behind a failure and before what is merely slow."""
CHECKPOINT_ORDER, EVALUATION_ORDER, START_ORDER = 10, 11, 12
