"""One rank holds up the others: slow, hung, gone."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind

GUILTY_IS_IDLE = "The ranks at 100 % utilisation are the innocent ones: they spin in NCCL; the idle one is the cause."


def straggler(case: Case) -> Words:
    """One rank is slow."""
    said = case.root.summary
    late = "late to each step" in said or "spin" in said
    if late:
        causes = (
            Cause(f"The host of {case.place} is slow, or its input: {case.shown()}.", "likely", case.refs()),
            Cause("Its data loader alone is slow: then it comes in bursts.", "possible"),
            Cause("Another process takes its CPU cores.", "possible"),
            Cause("Not its card: it rests between steps while the others spin for it.", "ruled out", case.refs()),
        )
    else:
        causes = (
            Cause(
                f"{case.place} computes more than its peers: {case.shown('gpu_sm_clock_hertz', 'gpu_power_watts')}.",
                "likely",
                case.refs("gpu_sm_clock_hertz", "gpu_power_watts"),
            ),
            Cause("A second process computes on the same card (a noisy neighbour): it looks exactly so.", "possible"),
            Cause("The job shares its work unevenly (pipeline stage, longer sequences).", "possible"),
            Cause(
                "Not the network: its peers rest, they do not wait for packets of each other.", "unlikely", case.refs()
            ),
        )
    if late:
        check = (
            f"`py-spy dump` of the rank on {case.node}, and the CPU time of its loader workers",
            "whether the slow place stays with the node or moves with the rank after a restart",
        )
        do = (
            "end what takes the node's CPU cores or disk, if something does",
            "if it stays with the node after a restart, take the node out and test its CPU, memory and disks",
        )
        return Words(causes, check, do)
    return Words(
        causes,
        (
            f"processes on {case.place}: `nvidia-smi --query-compute-apps=pid,used_memory --format=csv`",
            "whether the slow place stays with the card or moves with the rank after a restart",
        ),
        (
            "end the foreign process, if there is one",
            "if it stays with the card after a restart, take the node out and test it under load",
        ),
    )


def collective_hang(case: Case) -> Words:
    """Ranks wait in a collective."""
    return Words(
        (
            Cause(
                f"{case.place} has not entered the collective: {case.shown()}. {GUILTY_IS_IDLE}",
                sure(case.root),
                case.refs(),
            ),
            Cause("Its process is stuck on the host (lock, frozen file system, debugger, stopped).", "likely"),
            Cause("It waits for data that does not come.", "possible"),
            Cause("It is writing a checkpoint that the log does not announce: that looks the same.", "possible"),
            Cause("The ranks disagree about which collective comes next (a bug in the code).", "unlikely"),
            Cause("Not a slow link: a link delays all alike, here one rank is still.", "unlikely", case.refs()),
        ),
        (
            f"`py-spy dump` of the process of {case.place}, and of one that waits",
            "the NCCL flight recorder's dumps: the rank that lacks the collective, or lacks a dump, is the guilty one",
        ),
        (
            "take stacks and dumps first: a restart destroys the only evidence",
            f"then restart {case.job}; it will not recover by itself before the collective times out",
        ),
    )


def collective_timeout(case: Case) -> Words:
    """NCCL's watchdog spoke, and what came before it was not seen."""
    return Words(
        (
            Cause(
                f"A collective waited until its time-out: {case.shown()}. The cause lies that long before.",
                sure(case.root),
                case.refs(),
            ),
            Cause("A rank died or hung without being seen (no telemetry of its node).", "likely"),
            Cause("A network link failed for longer than the time-out.", "possible"),
            Cause(
                "The ranks called different collectives (same number, another operation: a bug in the code).",
                "possible",
            ),
        ),
        (
            "the earliest watchdog line and the rank that has none: that one is missing",
            "sequence number and operation in all ranks' lines: where the operation differs, the code is at fault",
            "link counters and `link down` lines of the nodes at that time",
        ),
        (f"keep the flight recorder's dumps, then restart {case.job}",),
    )


def rank_crash(case: Case) -> Words:
    """A process is gone."""
    oom = "oom" in case.log_lines() or "killed process" in case.log_lines()
    return Words(
        (
            Cause(
                f"The process of {case.place} is gone while the others wait: {case.shown()}.",
                sure(case.root),
                case.refs(),
            ),
            Cause("The kernel killed it for want of host memory.", "likely" if oom else "possible"),
            Cause("It was killed from outside (eviction, preemption, a person).", "possible"),
            Cause("It ended on an error that its log did not bring here.", "possible"),
            Cause("Not an orderly end: ranks that finish leave together.", "ruled out", case.refs()),
        ),
        (
            "the pod's last state and exit code: 137 is a kill (memory or eviction), 139 a crash in native code",
            f"the kernel log of {case.node} for `oom-kill` and `segfault`",
        ),
        (
            f"restart {case.job}: the other ranks wait until their collective times out",
            "raise the memory limit, if it was the limit that killed it (CONSTRAINT_MEMCG)",
        ),
    )


def job_crash(case: Case) -> Words:
    """The job's own output says that it died."""
    text = case.log_lines()
    cuda = "cuda error" in text or "illegal memory" in text
    return Words(
        (
            Cause(f"The job's output says why it ended: {case.shown()}.", "likely", case.refs()),
            Cause(
                "The code, its configuration or its data: nothing in hardware or network was seen before it.", "likely"
            ),
            Cause(
                "An error that another rank had first: the line is from a rank that was pulled along.",
                "possible",
            ),
            Cause("The card.", "possible" if cuda else "unlikely"),
        ),
        (
            "the earliest traceback over all ranks: later ones are consequences",
            "whether it recurs at the same step (code, data) or on the same node (hardware)",
        ),
        ("mend what the traceback names, then restart from the last checkpoint",),
    )


KINDS = {
    FindingKind.STRAGGLER: straggler,
    FindingKind.COLLECTIVE_HANG: collective_hang,
    FindingKind.COLLECTIVE_TIMEOUT: collective_timeout,
    FindingKind.RANK_CRASH: rank_crash,
    FindingKind.JOB_CRASH: job_crash,
}
