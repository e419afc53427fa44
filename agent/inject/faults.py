"""The faults that can be injected, each with the signs that it has in life."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Injectable:
    """One fault. Sources and wordings: facts on GPU faults, and the recordings (docs/inject.md)."""

    name: str
    what: str
    """What is broken, in a sentence."""
    signs: str
    """Where it shows."""
    about: str
    """`gpu`, `job` or `node`: what it is laid on; a fault of a job needs one on the node."""
    passes: float = 0.0
    """Seconds after which it is over by itself; 0: it stays until the node comes back from repair."""
    also: str = ""
    """Another name of it."""


_ALL = (
    Injectable(
        "xid-79",
        "The card has fallen off the bus.",
        "kernel log: Xid 79; NVML: the card is lost, no more readings of it; its rank hangs, the others wait for it "
        "until NCCL's time-out, then the pods end",
        "gpu",
    ),
    Injectable(
        "xid-48",
        "An uncorrectable memory error.",
        "kernel log: Xids 48 and 63; NVML: uncorrectable errors and remapped rows count up, a remap is pending; "
        "training log: CUDA error and traceback of the rank, which dies; the launcher ends the others",
        "gpu",
        also="ecc-uncorrectable",
    ),
    Injectable(
        "xid-74",
        "An NVLink between two cards has failed.",
        "kernel log: Xid 74 of both cards and SXid 20034 of the switch; the rank hangs in a collective until the "
        "time-out",
        "gpu",
    ),
    Injectable(
        "xid-119",
        "The card's system processor (GSP) does not answer.",
        "kernel log: Xid 119; NVML hangs for the whole node, after 30 s the collector says so; the rank hangs",
        "gpu",
    ),
    Injectable(
        "row-remap",
        "A memory row waits to be remapped at the next reset.",
        "kernel log: Xid 63; NVML: a remapped row, pending; work goes on",
        "gpu",
    ),
    Injectable(
        "thermal",
        "The card's cooling fails.",
        "NVML: it warms up for 20 s, then thermal slowdown bits, two thirds of its clock, less power; the job's steps "
        "take longer",
        "gpu",
        passes=180.0,
    ),
    Injectable(
        "correctable-storm",
        "Corrected memory errors by the hundred.",
        "NVML: 200 corrected errors a second; kernel log: Xid 92; work goes on",
        "gpu",
        passes=120.0,
    ),
    Injectable(
        "collective-hang",
        "A rank has stopped in its code.",
        "NVML: its card is still, the others spin at 100 % with little power; training log: no steps, until it passes "
        "or the time-out ends the job",
        "job",
        passes=40.0,
    ),
    Injectable(
        "dataloader-stall",
        "The input has stopped for all ranks.",
        "NVML: all cards of the job still; training log: no steps, and then one that states its wait for data",
        "job",
        passes=40.0,
    ),
    Injectable(
        "rank-crash",
        "A rank was killed for its pod's memory.",
        "kernel log: OOM kill; training log: the launcher's line, exit code -9; the pods end and are made anew",
        "job",
    ),
    Injectable(
        "node-lost",
        "The node has lost its power.",
        "its collector falls silent without a goodbye, Kubernetes: NotReady; its ranks are gone, the others wait "
        "for them",
        "node",
    ),
    Injectable(
        "repair",
        "No fault: the node comes back from repair.",
        "the collector says goodbye, the node boots anew, and all its cards are sound",
        "node",
    ),
)

FAULTS: dict[str, Injectable] = {name: one for one in _ALL for name in (one.name, one.also) if name}
"""By each of their names."""
