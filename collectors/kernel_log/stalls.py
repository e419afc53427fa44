"""Lines that say that the host itself stands still: hung tasks, lockups, an NFS server that does not answer."""

import re

from collectors.kernel_log.statement import Statement
from collectors.model import EventKind

_BLOCKED = re.compile(
    r"INFO: task (.{1,64}):(\d{1,10}) (?:<[^>]{0,64}> )?blocked (?:in .{1,40} )?for more than (\d{1,6}) sec"
)
_SOFT_LOCKUP = re.compile(
    r"(?:NMI )?(?:watchdog: )?BUG: soft lockup - CPU#(\d{1,5}) stuck for (\d{1,6})s! \[(.{1,64}):(\d{1,10})\]"
)
_HARD_LOCKUP = re.compile(
    r"(?:NMI )?watchdog: (?:BUG: )?(?:Watchdog detected )?hard LOCKUP on cpu (\d{1,5})", re.IGNORECASE
)
_RCU_STALL = re.compile(r"(?:rcu: )?INFO: rcu\w{0,16} (?:self-)?detected (?:expedited )?stalls? ")
_NFS = re.compile(r"(?:nfs|lockd|NFS): server (\S{1,255}) not responding", re.ASCII)


def read(text: str) -> Statement | None:
    """What the line says, or None."""
    if "blocked" in text and (match := _BLOCKED.match(text)) is not None:
        process, pid, seconds = match.groups()
        attributes = {"process": process, "pid": pid, "detail": "blocked"}
        return Statement(EventKind.HUNG_TASK, text, {"seconds": float(seconds)}, attributes)
    if "lockup" in text and (match := _SOFT_LOCKUP.match(text)) is not None:
        cpu, seconds, process, pid = match.groups()
        attributes = {"process": process, "pid": pid, "cpu": cpu, "detail": "soft lockup"}
        return Statement(EventKind.HUNG_TASK, text, {"seconds": float(seconds)}, attributes)
    if "LOCKUP" in text and (match := _HARD_LOCKUP.match(text)) is not None:
        return Statement(EventKind.HUNG_TASK, text, {}, {"cpu": match[1], "detail": "hard lockup"})
    if "rcu" in text and _RCU_STALL.match(text) is not None:
        return Statement(EventKind.HUNG_TASK, text, {}, {"detail": "rcu stall"})
    if "not responding" in text and (match := _NFS.match(text)) is not None:
        attributes = {"server": match[1], "detail": "nfs server not responding"}
        return Statement(EventKind.HUNG_TASK, text, {}, attributes)
    return None
