"""One sentence for an incident: the probable cause, where, and what followed."""

from detectors.correlation.xids import xid_codes, xid_words
from detectors.model import Finding, FindingKind

K = FindingKind

CAUSE: dict[FindingKind, str] = {
    K.XID: "the driver reported an Xid error",
    K.ECC_UNCORRECTABLE: "uncorrectable memory error",
    K.ECC_CORRECTABLE_STORM: "storm of corrected memory errors",
    K.ROW_REMAP: "memory row remapping",
    K.GPU_LOST: "the GPU is lost to the driver",
    K.THERMAL_THROTTLE: "slowed down by heat",
    K.POWER_THROTTLE: "clock held down by the power limit",
    K.DATALOADER_STALL: "waiting for input data",
    K.HOST_STALL: "held up by the host",
    K.TRAINING_STALL: "training stands still, data or host",
    K.THROUGHPUT_DROP: "training is slower than its habit",
    K.STRAGGLER: "slower than its peers",
    K.COLLECTIVE_HANG: "its peers hang in a collective waiting for it",
    K.COLLECTIVE_TIMEOUT: "a collective timed out",
    K.RANK_CRASH: "the training process is gone",
    K.JOB_CRASH: "the job crashed",
    K.GPU_MEMORY_LEAK: "GPU memory leaks",
    K.GPU_MEMORY_DROP: "GPU memory was let go while training",
    K.GPU_MEMORY_PRESSURE: "GPU memory is nearly full",
    K.GPU_OUT_OF_MEMORY: "out of GPU memory",
    K.LOSS_DIVERGENCE: "the loss diverges",
    K.LOSS_SPIKE: "the loss spiked",
    K.LOSS_NAN: "the loss is not a number",
    K.GRAD_NORM_SPIKE: "the gradient norm spiked",
    K.TELEMETRY_LOST: "telemetry lost",
    K.CLOCK_OFFSET: "the node's clock is off",
    K.UNUSUAL: "unlike its habit",
}
"""The probable cause in a few words, as a title says it after the place."""

EFFECT: dict[FindingKind, str] = {
    K.XID: "Xid",
    K.ECC_UNCORRECTABLE: "uncorrectable memory error",
    K.ROW_REMAP: "row remap",
    K.GPU_LOST: "loss of the GPU",
    K.DATALOADER_STALL: "wait for data",
    K.TRAINING_STALL: "training stall",
    K.THROUGHPUT_DROP: "slower training",
    K.STRAGGLER: "straggling rank",
    K.COLLECTIVE_HANG: "collective hang",
    K.COLLECTIVE_TIMEOUT: "collective timeout",
    K.RANK_CRASH: "rank crash",
    K.JOB_CRASH: "job crash",
    K.GPU_MEMORY_DROP: "memory drop",
    K.GPU_MEMORY_PRESSURE: "memory pressure",
    K.GPU_OUT_OF_MEMORY: "out of memory",
    K.LOSS_SPIKE: "loss spike",
    K.GRAD_NORM_SPIKE: "gradient norm spike",
    K.LOSS_DIVERGENCE: "loss divergence",
    K.LOSS_NAN: "NaN loss",
    K.TELEMETRY_LOST: "lost telemetry",
    K.GPU_MEMORY_LEAK: "memory leak",
    K.POWER_THROTTLE: "power throttle",
}
"""What followed, as a title lists it. Every kind that some edge has as its effect."""


def title_of(findings: list[Finding], place: str = "", how_many: str = "") -> str:
    """The title of an incident from its findings, root first; `place` and `how_many` where it is a wave.

    `GPU 3 of node a (rank 3): Xid 79 (GPU has fallen off the bus); then collective timeout, job crash`, for example.
    """
    root = findings[0]
    kinds = dict.fromkeys(finding.kind for finding in findings[1:])
    followed = [EFFECT[kind] for kind in kinds if kind in EFFECT and kind is not root.kind]
    what = f"{place or where(root)}: {cause_words(root)}" + (f", {how_many}" if how_many else "")
    return what + (f"; then {', '.join(followed)}" if followed else "")


def where(finding: Finding) -> str:
    """The place of a finding in words, as far as its names tell; its subject's key where they tell nothing."""
    names = finding.names
    parts: list[str] = []
    if "gpu" in names:
        parts.append(f"GPU {names['gpu']}" + (f" of node {names['node']}" if "node" in names else ""))
        if "rank" in names:
            parts.append(f"(rank {names['rank']})")
    elif "rank" in names:
        parts.append(f"rank {names['rank']}" + (f" of job {names['job']}" if "job" in names else ""))
    elif "job" in names:
        parts.append(f"job {names['job']}" + (f" on node {names['node']}" if "node" in names else ""))
    elif "node" in names:
        parts.append(f"node {names['node']}")
    else:
        parts.append(f"{finding.subject.kind.value} {finding.subject.id}")
    return " ".join(parts)


def cause_words(root: Finding) -> str:
    """The probable cause in a few words, without its place; an Xid by its code and name."""
    codes = xid_codes([root])
    if root.kind is K.XID:
        return xid_words(codes) if codes else CAUSE[K.XID]
    return CAUSE[root.kind] + (f" ({', '.join(f'Xid {code}' for code in codes)})" if codes else "")
