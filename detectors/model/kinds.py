"""The kinds of finding. docs/findings.md describes each; a test holds the two together."""

from enum import StrEnum


class FindingKind(StrEnum):
    """What a finding states."""

    # hardware
    XID = "xid"
    ECC_UNCORRECTABLE = "ecc_uncorrectable"
    ECC_CORRECTABLE_STORM = "ecc_correctable_storm"
    ROW_REMAP = "row_remap"
    GPU_LOST = "gpu_lost"
    THERMAL_THROTTLE = "thermal_throttle"
    POWER_THROTTLE = "power_throttle"
    # the job, seen from its GPUs
    DATALOADER_STALL = "dataloader_stall"
    HOST_STALL = "host_stall"
    TRAINING_STALL = "training_stall"
    THROUGHPUT_DROP = "throughput_drop"
    STRAGGLER = "straggler"
    COLLECTIVE_HANG = "collective_hang"
    COLLECTIVE_TIMEOUT = "collective_timeout"
    RANK_CRASH = "rank_crash"
    JOB_CRASH = "job_crash"
    # memory
    GPU_MEMORY_LEAK = "gpu_memory_leak"
    GPU_MEMORY_DROP = "gpu_memory_drop"
    GPU_MEMORY_PRESSURE = "gpu_memory_pressure"
    GPU_OUT_OF_MEMORY = "gpu_out_of_memory"
    # the loss
    LOSS_DIVERGENCE = "loss_divergence"
    LOSS_SPIKE = "loss_spike"
    LOSS_NAN = "loss_nan"
    GRAD_NORM_SPIKE = "grad_norm_spike"
    # the watch itself
    TELEMETRY_LOST = "telemetry_lost"
    CLOCK_OFFSET = "clock_offset"
    # learnt
    UNUSUAL = "unusual"


class Severity(StrEnum):
    """How much it matters, in rising order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Layer(StrEnum):
    """Where in the causal order a kind stands: hardware before driver before link ... before loss."""

    HARDWARE = "hardware"
    DRIVER = "driver"
    LINK = "link"
    HOST = "host"
    COLLECTIVE = "collective"
    RANK = "rank"
    JOB = "job"
    LOSS = "loss"
    WATCH = "watch"
