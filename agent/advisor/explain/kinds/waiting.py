"""GPUs that wait: for data, for the host, nobody knows for which."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind

NOT_THE_NETWORK = "Not the network or NCCL: no rank spins at full utilisation waiting for another."
NOT_THE_CARD = "Not the cards: clocks are up, and no Xid, heat or power reason was seen."


def training_stall(case: Case) -> Words:
    """Everything is still; data or host, and nothing on the GPU tells which."""
    told = case.has(FindingKind.DATALOADER_STALL, FindingKind.HOST_STALL)
    settled = "" if told else " On the GPU both look the same, so neither can be preferred."
    return Words(
        (
            Cause(
                f"It waits for data (loader workers, storage): {case.shown()}.{settled}",
                "possible",
                case.refs(),
            ),
            Cause(
                "Its host is stuck (garbage collection, a lock, a slow logger, a frozen file system). "
                f"Equally likely by what is known: {case.shown('gpu_power_watts', 'gpu_utilization_ratio')}.",
                "possible",
                case.refs("gpu_power_watts", "gpu_utilization_ratio"),
            ),
            Cause("A checkpoint or an evaluation that the log does not announce.", "unlikely"),
            Cause(NOT_THE_NETWORK, "ruled out", case.refs()),
        ),
        (
            "`data_time` of the first line after it resumes: near the whole pause means data, near zero means the host",
            "`py-spy dump` of main process and loader workers: workers busy, queue empty: data; idle, full: host",
            "the kernel log for `blocked for more than 120 seconds` and `nfs: server ... not responding`",
        ),
        ("take the stack dumps before anybody restarts it: they settle it", "restart the job if it does not resume"),
    )


def dataloader_stall(case: Case) -> Words:
    """The GPUs wait for data."""
    one_rank = "rank" in case.root.names
    who = (
        f"{case.place} waits for its input and the other ranks wait for it"
        if one_rank
        else f"{case.job} waits for data"
    )
    other = (
        Cause(
            "The rank's host is slow rather than its loader: bursts speak for the loader, but do not prove it.",
            "possible",
        )
        if one_rank
        else Cause("A host thread holds up every rank alike.", "unlikely")
    )
    return Words(
        (
            Cause(f"{who}: {case.shown()}.", sure(case.root), case.refs()),
            Cause("Too few workers, or decoding that is dearer than before.", "possible"),
            Cause("Slow storage" + (" for this node." if one_rank else " for all ranks."), "possible"),
            other,
            Cause(NOT_THE_CARD, "ruled out", case.refs()),
            *(() if one_rank else (Cause(NOT_THE_NETWORK, "ruled out", case.refs()),)),
        ),
        (
            "the CPU time of the loader workers: all busy means too few, all waiting means storage",
            "read latency of the data's file system, on this node and on another",
        ),
        (
            "raise the number of workers and the prefetch depth, or stage the shard locally",
            "if one node alone is slow again and again, look at its disks, network and CPU",
        ),
    )


def host_stall(case: Case) -> Words:
    """The host held the job up."""
    return Words(
        (
            Cause(f"The host, not the data, held up {case.job}: {case.shown()}.", sure(case.root), case.refs()),
            Cause("Garbage collection, a lock, a blocking logger or a metrics upload in the main process.", "possible"),
            Cause("A file system that froze: processes in D state.", "possible"),
            Cause("Not the data: the log states next to no wait for it.", "ruled out", case.refs("training_step")),
        ),
        (
            "`py-spy dump` while it lasts; afterwards the process's CPU time over the pause",
            "the kernel log for hung tasks",
        ),
        ("schedule garbage collection between steps, move logging off the main thread",),
    )


def throughput_drop(case: Case) -> Words:
    """Slow, and nothing tells why."""
    return Words(
        (
            Cause(
                f"{case.job} is slower than its habit: {case.shown()}. What for is not told.",
                sure(case.root),
                case.refs(),
            ),
            Cause("It waits for data: the log does not state the wait.", "possible"),
            Cause("Its host is slow (another process, garbage collection, logging).", "possible"),
            Cause("The work itself has changed (longer sequences, another phase).", "possible"),
        ),
        (
            "log the wait for data in every step line: that alone tells data from host",
            "the node's CPU, disk and network against its peers",
        ),
        ("compare with the last good run; nothing here asks for a change of hardware",),
    )


KINDS = {
    FindingKind.TRAINING_STALL: training_stall,
    FindingKind.DATALOADER_STALL: dataloader_stall,
    FindingKind.HOST_STALL: host_stall,
    FindingKind.THROUGHPUT_DROP: throughput_drop,
}
