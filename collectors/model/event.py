"""Things that happened at an instant."""

from enum import StrEnum

import msgspec

from collectors.model.subject import Subject


class EventKind(StrEnum):
    """Every kind of event that a collector can report; docs/events.md describes each."""

    # kernel log
    XID = "xid"
    SXID = "sxid"
    OOM_KILL = "oom_kill"
    HUNG_TASK = "hung_task"
    # training log
    TRAINING_START = "training_start"
    TRAINING_STEP = "training_step"
    TRAINING_END = "training_end"
    CHECKPOINT_START = "checkpoint_start"
    CHECKPOINT_END = "checkpoint_end"
    CHECKPOINT_RESTORE = "checkpoint_restore"
    EVALUATION_START = "evaluation_start"
    EVALUATION_END = "evaluation_end"
    COLLECTIVE_TIMEOUT = "collective_timeout"
    FLIGHT_RECORDER = "flight_recorder"
    TRACEBACK = "traceback"
    CUDA_ERROR = "cuda_error"
    CUDA_OUT_OF_MEMORY = "cuda_out_of_memory"
    PROCESS_EXIT = "process_exit"
    DATALOADER_ERROR = "dataloader_error"
    # the card's own driver library and the collector
    GPU_LOST = "gpu_lost"
    GPU_RETURNED = "gpu_returned"
    DRIVER_HUNG = "driver_hung"
    COLLECTOR_START = "collector_start"
    COLLECTOR_GOODBYE = "collector_goodbye"
    SPOOL_LOST = "spool_lost"
    # the agent itself
    AS_FOUND = "as_found"
    ACTION = "action"


class EventSource(StrEnum):
    """Where a collector saw the event. Hardware actions need two independent sources."""

    KERNEL_LOG = "kernel_log"
    TRAINING_LOG = "training_log"
    NVML = "nvml"
    DCGM = "dcgm"
    COLLECTOR = "collector"
    AGENT = "agent"
    """The agent itself: what it did."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event.

    `values` in use by `training_step`: `step`, `loss`, `grad_norm`, `learning_rate`, `step_time_seconds`,
    `data_wait_seconds`, `tokens_per_second`, `loss_scale`, `skipped_steps`, `nan_steps`; NaN and infinity are kept as
    such, what the line does not say is absent. By `xid` and `sxid`: `code`. By `collective_timeout`: `rank`,
    `sequence_number`, `ran_for_seconds`. By `checkpoint_end`: `duration_seconds` where the log says it.

    `attributes`: `pci_bus_id` (xid, sxid), `rank` (as text, where the line names it), `path`, `operation`, `process`,
    `detail`. `line` is the evidence: the log line, secrets masked, at most 1,000 characters.
    """

    kind: EventKind
    subject: Subject
    time_ns: int
    """When it happened by the source's own clock, Unix ns."""
    source: EventSource
    values: dict[str, float] = {}
    attributes: dict[str, str] = {}
    line: str = ""
