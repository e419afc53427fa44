"""Which kind of finding should be the root of the incident of each fault: for truths that do not say so themselves."""

from detectors.model import FindingKind as K

ROOTS: dict[str, frozenset[K]] = {
    "dataloader_slow": frozenset({K.DATALOADER_STALL}),
    "dataloader_hang": frozenset({K.DATALOADER_STALL}),
    "host_stall": frozenset({K.HOST_STALL}),
    "loss_divergence": frozenset({K.LOSS_DIVERGENCE}),
    "loss_nan": frozenset({K.LOSS_NAN}),
    "gpu_memory_leak": frozenset({K.GPU_MEMORY_LEAK}),
    "gpu_memory_drop": frozenset({K.GPU_MEMORY_DROP}),
    "power_throttle": frozenset({K.POWER_THROTTLE}),
    "thermal_throttle": frozenset({K.THERMAL_THROTTLE}),
    "straggler_gpu": frozenset({K.STRAGGLER}),
    "straggler_host": frozenset({K.STRAGGLER}),
    "collective_hang": frozenset({K.COLLECTIVE_HANG}),
    "rank_crash": frozenset({K.RANK_CRASH, K.JOB_CRASH}),
    "job_crashed_oom": frozenset({K.GPU_OUT_OF_MEMORY, K.JOB_CRASH}),
    "ecc_correctable_storm": frozenset({K.ECC_CORRECTABLE_STORM}),
    "ecc_uncorrectable": frozenset({K.ECC_UNCORRECTABLE}),
    "row_remap": frozenset({K.ROW_REMAP}),
    "xid": frozenset({K.XID}),
    "gpu_lost": frozenset({K.GPU_LOST, K.XID}),
}
"""By the labels of the recordings' truth.json."""
STALLS = frozenset({K.TRAINING_STALL, K.THROUGHPUT_DROP})
"""Kinds that see that something is wrong with a job without naming it: found, root not right."""
