"""What may cause what: the layer and rank of every kind of finding, and the causal edges between kinds.

The design's order is hardware before driver before link before host before collective before rank before job before
loss. The rank refines it to single kinds; it breaks ties and sorts what arrives together. Two pairs of kinds can stand
in either order in real life (a rank that dies hangs the collective, a collective that times out kills its ranks):
they have an edge each way, and the edges' windows do not overlap, so that time alone decides which one it was.

Where an edge's seconds come from stands beside it. "facts" are published figures; "recordings" are the repository's
own recordings; what says neither is a choice, and says which.
"""

from dataclasses import dataclass
from enum import StrEnum

from detectors.correlation.nvlink import LINK_SECONDS
from detectors.model import FindingKind, Layer

K = FindingKind

LAYERS: dict[FindingKind, Layer] = {
    K.ECC_CORRECTABLE_STORM: Layer.HARDWARE,
    K.ECC_UNCORRECTABLE: Layer.HARDWARE,
    K.ROW_REMAP: Layer.HARDWARE,
    K.THERMAL_THROTTLE: Layer.HARDWARE,
    K.POWER_THROTTLE: Layer.HARDWARE,
    K.XID: Layer.DRIVER,
    K.GPU_LOST: Layer.DRIVER,
    K.HOST_STALL: Layer.HOST,
    K.DATALOADER_STALL: Layer.HOST,
    K.GPU_MEMORY_LEAK: Layer.HOST,
    K.GPU_MEMORY_DROP: Layer.HOST,
    K.GPU_MEMORY_PRESSURE: Layer.HOST,
    K.GPU_OUT_OF_MEMORY: Layer.HOST,
    K.STRAGGLER: Layer.COLLECTIVE,
    K.COLLECTIVE_HANG: Layer.COLLECTIVE,
    K.COLLECTIVE_TIMEOUT: Layer.COLLECTIVE,
    K.RANK_CRASH: Layer.RANK,
    K.TRAINING_STALL: Layer.JOB,
    K.THROUGHPUT_DROP: Layer.JOB,
    K.JOB_CRASH: Layer.JOB,
    K.GRAD_NORM_SPIKE: Layer.LOSS,
    K.LOSS_SPIKE: Layer.LOSS,
    K.LOSS_DIVERGENCE: Layer.LOSS,
    K.LOSS_NAN: Layer.LOSS,
    K.TELEMETRY_LOST: Layer.WATCH,
    K.CLOCK_OFFSET: Layer.WATCH,
    K.UNUSUAL: Layer.WATCH,
}
"""Every kind stands in one layer. What a process does on its node, GPU memory included, is the host's."""

_ORDER = tuple(Layer)
_WITHIN = {kind: place for place, kind in enumerate(LAYERS)}


_RANK = {kind: _ORDER.index(layer) * 100 + _WITHIN[kind] for kind, layer in LAYERS.items()}


def rank_of(kind: FindingKind) -> int:
    """Where a kind stands in the causal order: causes have the lower rank. No two kinds share one."""
    return _RANK[kind]


class Scope(StrEnum):
    """What cause and effect must have in common."""

    GPU = "gpu"
    """The same card. Where only one of the two names its card, the same job; two different cards never."""
    JOB = "job"
    """The same job, or the job of the card. Where one of the two knows no job, a shared card or node."""
    NODE = "node"
    """The same node."""
    LINK = "link"
    """Words about NVLink of the same node or the same NVLink domain (`detectors.correlation.nvlink`)."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One kind may cause another. Seconds are between the two conditions' beginnings, effect minus cause."""

    cause: FindingKind
    effect: FindingKind
    lag_seconds: float
    """The effect begins at most this long after the cause; a lasting cause also reaches to its end and `SLACK_SECONDS`
    beyond."""
    scope: Scope
    source: str
    """Where the lag and the edge itself come from."""
    least_seconds: float
    """The effect begins no sooner than this after the cause; below zero, because beginnings are estimates."""


SLACK_SECONDS = 30.0
"""How much later a cause may seem to begin than its effect: batch 5 s + tick 5 s + allowed lateness 10 s + the looks
that a detector waits for (10 s). Design: How data flows."""

COUNTER_SLACK_SECONDS = 60.0
"""The same where the cause is a counter read every 30 s (ECC, row remaps): two reads may pass before it shows."""

COLLECTIVE_SECONDS = 660.0
"""PyTorch gives a NCCL collective 600 s by default (facts: training 3.1, `Timeout(ms)=600000`); 60 s to be seen. A job
with a longer time-out is still joined through its hang or stall, which lasts until then."""

LASTING: frozenset[FindingKind] = frozenset(
    {
        K.ECC_CORRECTABLE_STORM,
        K.THERMAL_THROTTLE,
        K.POWER_THROTTLE,
        K.GPU_LOST,
        K.HOST_STALL,
        K.DATALOADER_STALL,
        K.GPU_MEMORY_LEAK,
        K.GPU_MEMORY_PRESSURE,
        K.STRAGGLER,
        K.COLLECTIVE_HANG,
        K.RANK_CRASH,
        K.TRAINING_STALL,
        K.LOSS_DIVERGENCE,
        K.TELEMETRY_LOST,
    }
)
"""Conditions that go on causing for as long as they hold. The others are instants: what they cause counts from them,
not from when they are cleared."""


def _edges(
    cause: FindingKind,
    effects: tuple[FindingKind, ...],
    lag_seconds: float,
    scope: Scope,
    source: str,
    least_seconds: float = -SLACK_SECONDS,
) -> tuple[Edge, ...]:
    return tuple(Edge(cause, effect, lag_seconds, scope, source, least_seconds) for effect in effects)


_HARDWARE = (
    *_edges(K.ECC_CORRECTABLE_STORM, (K.ECC_UNCORRECTABLE, K.ROW_REMAP, K.XID), 3600, Scope.GPU,
            "facts: gpu-faults 4, Xid 92 'high single-bit rate'; an hour is a choice, storms last",
            -COUNTER_SLACK_SECONDS),
    *_edges(K.ECC_UNCORRECTABLE, (K.ROW_REMAP, K.XID), 60, Scope.GPU,
            "facts: training 1.4, errors of one card propagate within 5 s; counters are read every 30 s",
            -COUNTER_SLACK_SECONDS),
    *_edges(K.ROW_REMAP, (K.XID,), 60, Scope.GPU,
            "facts: gpu-faults 4, Xids 63 and 64 report a row remap", -COUNTER_SLACK_SECONDS),
    *_edges(K.ECC_UNCORRECTABLE, (K.RANK_CRASH, K.GPU_OUT_OF_MEMORY), 300, Scope.GPU,
            "facts: training table (a), contained ECC kills the process; 'OOM after ECC'", -COUNTER_SLACK_SECONDS),
    *_edges(K.ECC_UNCORRECTABLE, (K.COLLECTIVE_HANG,), 120, Scope.GPU,
            "the process dies, its peers wait", -COUNTER_SLACK_SECONDS),
    *_edges(K.ECC_UNCORRECTABLE, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "facts: training 3.1, 'uncorrectable ECC error' in the watchdog's line", -COUNTER_SLACK_SECONDS),
    *_edges(K.THERMAL_THROTTLE, (K.STRAGGLER,), 60, Scope.GPU,
            "facts: gpu-faults 7, a slowed clock shows within one look"),
    *_edges(K.THERMAL_THROTTLE, (K.THROUGHPUT_DROP,), 120, Scope.JOB, "a job runs at the pace of its slowest rank"),
    *_edges(K.POWER_THROTTLE, (K.STRAGGLER,), 60, Scope.GPU, "facts: gpu-faults 7, power brake"),
    *_edges(K.POWER_THROTTLE, (K.THROUGHPUT_DROP,), 120, Scope.JOB, "recordings: h200-training power_throttle"),
    *_edges(K.POWER_THROTTLE, (K.POWER_THROTTLE,), 60, Scope.JOB,
            "recordings: h200-ddp, denser work throttles all ranks at once; one cause, not one a card", 0),
)  # fmt: skip

_DRIVER = (
    *_edges(K.XID, (K.GPU_LOST,), 60, Scope.GPU, "facts: gpu-faults 4, Xid 79; NVML then says 'GPU is lost'"),
    *_edges(K.XID, (K.RANK_CRASH, K.GPU_OUT_OF_MEMORY), 300, Scope.GPU,
            "facts: training table (a); recordings: h200-xid, the process dies within 1 s; 300 s for tear-down"),
    *_edges(K.XID, (K.COLLECTIVE_HANG,), 120, Scope.GPU, "facts: training table (a), the peers wait for the dead rank"),
    *_edges(K.XID, (K.TRAINING_STALL,), 120, Scope.JOB, "a one-card job stops where its card stops"),
    *_edges(K.XID, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "design: a collective timeout may come 10 minutes after its cause"),
    *_edges(K.XID, (K.TELEMETRY_LOST,), 120, Scope.NODE,
            "facts: gpu-faults 7b.2, NVML calls hang on a sick card (Xid 79, 119)"),
    *_edges(K.GPU_LOST, (K.RANK_CRASH,), 300, Scope.GPU, "the process loses its device"),
    *_edges(K.GPU_LOST, (K.COLLECTIVE_HANG,), 120, Scope.GPU, "facts: training table (a)"),
    *_edges(K.GPU_LOST, (K.TRAINING_STALL,), 120, Scope.JOB, "a one-card job stops where its card stops"),
    *_edges(K.GPU_LOST, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "design: a collective timeout may come 10 minutes after its cause"),
    *_edges(K.GPU_LOST, (K.TELEMETRY_LOST,), 120, Scope.NODE, "readings of a lost card end"),
    *_edges(K.XID, (K.XID,), LINK_SECONDS, Scope.LINK,
            "facts: gpu-faults 4, 'peer GPU may raise 74 too'; the switch speaks of the same link", -LINK_SECONDS),
    *_edges(K.GPU_LOST, (K.XID,), LINK_SECONDS, Scope.LINK,
            "facts: gpu-faults 4, SXid 20034 'often follows Xid 79': its links end with a card", -LINK_SECONDS),
)  # fmt: skip

_WATCH = (
    *_edges(K.TELEMETRY_LOST, (K.TELEMETRY_LOST,), 60, Scope.NODE,
            "a silent node is silent about each of its cards", 0),
    *_edges(K.TELEMETRY_LOST, (K.COLLECTIVE_HANG, K.RANK_CRASH), 300, Scope.NODE,
            "a node that died is silent first; its ranks are missed next"),
    *_edges(K.TELEMETRY_LOST, (K.COLLECTIVE_TIMEOUT,), COLLECTIVE_SECONDS, Scope.JOB,
            "design: a collective timeout may come 10 minutes after its cause"),
    *_edges(K.TELEMETRY_LOST, (K.JOB_CRASH,), 120, Scope.JOB,
            "a job that lost a node ends at once (a broken connection), or by its watchdog, which is another edge"),
)  # fmt: skip

_HOST = (
    *_edges(K.HOST_STALL, (K.DATALOADER_STALL, K.STRAGGLER, K.COLLECTIVE_HANG), 60, Scope.GPU,
            "recordings: h200-ddp straggler_host, the rank is late at once"),
    *_edges(K.HOST_STALL, (K.TRAINING_STALL, K.THROUGHPUT_DROP), 120, Scope.JOB, "recordings: host_stall"),
    *_edges(K.DATALOADER_STALL, (K.STRAGGLER, K.COLLECTIVE_HANG), 60, Scope.GPU,
            "recordings: h200-ddp4 dataloader_slow on rank 3, the three others wait"),
    *_edges(K.DATALOADER_STALL, (K.TRAINING_STALL, K.THROUGHPUT_DROP), 120, Scope.JOB,
            "recordings: h200-ddp dataloader_slow"),
    *_edges(K.DATALOADER_STALL, (K.DATALOADER_STALL,), 60, Scope.JOB,
            "facts: training 6, late on all ranks is one storage", 0),
    *_edges(K.DATALOADER_STALL, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "facts: training 1.4, 'DataloaderKilled'"),
    *_edges(K.GPU_MEMORY_LEAK, (K.GPU_MEMORY_PRESSURE, K.GPU_OUT_OF_MEMORY), 300, Scope.GPU,
            "a leak lasts until the card is full"),
    *_edges(K.GPU_MEMORY_LEAK, (K.GPU_MEMORY_DROP,), 60, Scope.GPU,
            "recordings: h200-training, what leaked is let go at once"),
    *_edges(K.GPU_MEMORY_LEAK, (K.GPU_MEMORY_LEAK,), 600, Scope.JOB, "one code runs on every rank", 0),
    *_edges(K.GPU_MEMORY_PRESSURE, (K.GPU_OUT_OF_MEMORY,), 300, Scope.GPU, "facts: training table (a), CUDA OOM"),
    *_edges(K.GPU_MEMORY_PRESSURE, (K.GPU_MEMORY_PRESSURE,), 600, Scope.JOB, "one code runs on every rank", 0),
    *_edges(K.GPU_OUT_OF_MEMORY, (K.GPU_MEMORY_DROP, K.RANK_CRASH, K.COLLECTIVE_HANG), 120, Scope.GPU,
            "the process that ran out ends, its peers wait"),
    *_edges(K.GPU_OUT_OF_MEMORY, (K.TRAINING_STALL,), 120, Scope.JOB, "a retry after running out stands still"),
    *_edges(K.GPU_OUT_OF_MEMORY, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "design: a collective timeout may come 10 minutes after its cause"),
    *_edges(K.GPU_OUT_OF_MEMORY, (K.GPU_OUT_OF_MEMORY,), 60, Scope.JOB, "one code runs on every rank", 0),
)  # fmt: skip

CRASH_BEFORE_HANG_SECONDS = 30.0
"""A hang that kills its own rank does so by a watchdog or a person, half a minute later at least; a rank that died
first is missed within two looks. Recordings: h200-ddp rank_crash, the survivor spins at once."""

CRASH_BEFORE_TIMEOUT_SECONDS = 10.0
"""A rank ended by its watchdog ends within seconds of the watchdog's line (recordings: h200-ddp); a time-out caused by
a dead rank comes a whole time-out after it, and none is set below 10 s."""

_COLLECTIVE = (
    *_edges(K.STRAGGLER, (K.THROUGHPUT_DROP,), 120, Scope.JOB, "recordings: h200-ddp straggler_gpu"),
    *_edges(K.STRAGGLER, (K.COLLECTIVE_HANG,), 60, Scope.GPU,
            "a rank that is late by more than six seconds: each wait for it looks like a hang (detectors.job.pauses)"),
    *_edges(K.COLLECTIVE_HANG, (K.TRAINING_STALL, K.THROUGHPUT_DROP), 120, Scope.JOB, "no step without a collective"),
    *_edges(K.COLLECTIVE_HANG, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "facts: training 3.1, 600 s by default"),
    *_edges(K.COLLECTIVE_HANG, (K.RANK_CRASH,), COLLECTIVE_SECONDS, Scope.JOB,
            "the watchdog ends the ranks", CRASH_BEFORE_HANG_SECONDS),
    *_edges(K.COLLECTIVE_TIMEOUT, (K.COLLECTIVE_TIMEOUT,), 120, Scope.JOB, "every waiting rank reports it", 0),
    *_edges(K.COLLECTIVE_TIMEOUT, (K.RANK_CRASH,), 120, Scope.JOB,
            "facts: training 3.1, the watchdog takes the process down", -CRASH_BEFORE_TIMEOUT_SECONDS),
    *_edges(K.COLLECTIVE_TIMEOUT, (K.JOB_CRASH,), 120, Scope.JOB, "recordings: h200-ddp, the job ends 25 s later"),
)  # fmt: skip

_RANK_AND_JOB = (
    *_edges(K.RANK_CRASH, (K.COLLECTIVE_HANG,), 120, Scope.GPU,
            "recordings: h200-ddp rank_crash", -CRASH_BEFORE_HANG_SECONDS),
    *_edges(K.RANK_CRASH, (K.COLLECTIVE_TIMEOUT,), COLLECTIVE_SECONDS, Scope.JOB,
            "recordings: h200-ddp, 60 s after the rank was killed", CRASH_BEFORE_TIMEOUT_SECONDS),
    *_edges(K.RANK_CRASH, (K.RANK_CRASH,), 120, Scope.JOB, "the launcher ends the other ranks", 0),
    *_edges(K.RANK_CRASH, (K.TRAINING_STALL, K.THROUGHPUT_DROP), 120, Scope.JOB, "no step without the rank"),
    *_edges(K.RANK_CRASH, (K.JOB_CRASH,), COLLECTIVE_SECONDS, Scope.JOB, "facts: training 3.1, torchelastic's block"),
    *_edges(K.TRAINING_STALL, (K.THROUGHPUT_DROP,), 60, Scope.JOB, "the pause lies in the window of the rate"),
    *_edges(K.TRAINING_STALL, (K.COLLECTIVE_TIMEOUT, K.JOB_CRASH), COLLECTIVE_SECONDS, Scope.JOB,
            "facts: training 6, storage freeze"),
)  # fmt: skip

_LOSS_WARNING_SECONDS = 900.0
"""BLOOM's gradient norm rose 4 steps of 106 s before its loss did, GLM-130B's loss scale 30 steps before (facts:
training 2.1): a quarter of an hour holds both at common step times."""

TOGETHER_SECONDS = 10.0
"""A gradient norm that jumps on the line on which the loss leaves its course, or one before, is part of it; a warning
comes earlier (BLOOM: four steps). A choice: a few lines of a common job."""

_LOSS = (
    *_edges(K.GRAD_NORM_SPIKE, (K.LOSS_SPIKE, K.LOSS_NAN), _LOSS_WARNING_SECONDS, Scope.JOB,
            "facts: training 2.1, BLOOM 176B"),
    *_edges(K.GRAD_NORM_SPIKE, (K.LOSS_DIVERGENCE,), _LOSS_WARNING_SECONDS, Scope.JOB,
            "facts: training 2.1, BLOOM 176B", TOGETHER_SECONDS),
    *_edges(K.LOSS_DIVERGENCE, (K.GRAD_NORM_SPIKE,), 60, Scope.JOB,
            "recordings: h200-training, both on one line", -TOGETHER_SECONDS),
    *_edges(K.LOSS_SPIKE, (K.LOSS_DIVERGENCE, K.LOSS_NAN), _LOSS_WARNING_SECONDS, Scope.JOB,
            "facts: training 2.1, tr8-104B"),
    *_edges(K.LOSS_DIVERGENCE, (K.LOSS_NAN,), _LOSS_WARNING_SECONDS, Scope.JOB,
            "recordings: h200-training, loss_divergence then loss_nan"),
    *_edges(K.LOSS_NAN, (K.JOB_CRASH,), 600, Scope.JOB, "facts: training 2.2, Megatron-LM ends on NaN"),
)  # fmt: skip

EDGES: tuple[Edge, ...] = (*_HARDWARE, *_DRIVER, *_WATCH, *_HOST, *_COLLECTIVE, *_RANK_AND_JOB, *_LOSS)
"""Every edge, in the design's order of layers."""

EDGE: dict[tuple[FindingKind, FindingKind], Edge] = {(edge.cause, edge.effect): edge for edge in EDGES}
"""The same by (cause, effect); a pair has one edge."""

LONGEST_LAG_SECONDS: dict[FindingKind, float] = {
    kind: max((edge.lag_seconds for edge in EDGES if edge.cause is kind), default=0.0) for kind in FindingKind
}
"""For how long after it a kind can still be the cause of something."""
