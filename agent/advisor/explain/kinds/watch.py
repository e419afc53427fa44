"""The watch itself: silence, clocks, and what is merely unusual."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind


def telemetry_lost(case: Case) -> Words:
    """Nothing is heard."""
    return Words(
        (
            Cause(
                f"Nothing is known about {case.place}: {case.shown()}. Silence is not health.",
                sure(case.root),
                case.refs(),
            ),
            Cause("The node is down or cut off.", "possible"),
            Cause("The collector has died or was stopped without a goodbye.", "possible"),
            Cause("The driver hangs and the collector's reads with it.", "possible"),
            Cause("Not an announced end: no goodbye, drain or reboot explains it.", "ruled out", case.refs()),
        ),
        (
            f"whether {case.node} answers, and is Ready",
            "the collector's pod: its state and its last lines",
            "`nvidia-smi` on the node: if it hangs, so does the driver",
        ),
        ("restart the collector if the node is well", "treat the node as down if it is not"),
    )


def clock_offset(case: Case) -> Words:
    """A clock is off."""
    return Words(
        (
            Cause(f"The clock of {case.node} is not kept by NTP: {case.shown()}.", sure(case.root), case.refs()),
            Cause("The agent's own clock is off: then all nodes show it.", "possible"),
            Cause("Batches that waited in a spool look like a clock that is behind.", "unlikely"),
        ),
        (f"`chronyc tracking` on {case.node} and on the agent's", "whether other nodes show the same offset"),
        ("mend the time service: until then events of several nodes may stand in the wrong order",),
    )


def unusual(case: Case) -> Words:
    """The learnt detector: evidence, no diagnosis."""
    return Words(
        (Cause(f"Unlike its habit, and no known fault: {case.shown()}.", "possible", case.refs()),),
        ("what changed in the job or on the node at that time",),
        ("nothing by itself: it supports other findings",),
    )


KINDS = {
    FindingKind.TELEMETRY_LOST: telemetry_lost,
    FindingKind.CLOCK_OFFSET: clock_offset,
    FindingKind.UNUSUAL: unusual,
}
