"""One kernel-log line taken apart: priority, time, text, in every form in which people keep kernel logs.

| form | example |
| --- | --- |
| /dev/kmsg | `6,3998,261229012,-;text` |
| dmesg --raw | `<3>[   12.345678] text` |
| dmesg | `[   12.345678] text`, with a caller id: `[   12.345678][  T406] text` |
| dmesg -T | `[Mon Oct 29 12:07:39 2018] text` (taken as UTC) |
| dmesg -x --time-format iso | `kern  :warn  : 2025-01-21T04:41:44,283302+00:00 text` |
| syslog | `Oct 29 12:07:39 host kernel: text`, `2025-01-21T04:41:44.283302+00:00 host kernel: [12.3] text` |

The forms without a priority or facility cannot prove that the kernel wrote the line: only /dev/kmsg and the forms that
carry a facility keep user space out. A collector on a live node reads /dev/kmsg.
"""

import re
from dataclasses import dataclass

from collectors import log_time

FACILITY_KERNEL = 0
FACILITY_UNKNOWN = -1
MAX_RECORD_BYTES = 8192
"""The kernel's own limit of a record with its tags (CONSOLE_EXT_LOG_MAX); what is longer is no kernel record."""

_KMSG = re.compile(r"(\d{1,4}),(\d{1,20}),(\d{1,20}),[^;]{0,64};(.*)", re.ASCII | re.DOTALL)
_PRIORITY = re.compile(r"<(\d{1,4})>", re.ASCII)
_DMESG_X = re.compile(r"([a-z]+\d?) *:[a-z]+ *: ", re.ASCII)
_UPTIME = re.compile(r"\[ {0,12}(\d{1,10})\.(\d{1,9})\] ?", re.ASCII)
_CALLER = re.compile(r"\[ {0,8}[TC]\d{1,10}\] ?", re.ASCII)
_WALL = re.compile(r"\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\] ?", re.ASCII)
_SYSLOG = re.compile(r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S{1,255} ([^\s:\[]{1,64})(?:\[\d{1,10}\])?: ?", re.ASCII)
_SYSLOG_TAG = re.compile(r"[^\s:]{1,255} ([^\s:\[]{1,64})(?:\[\d{1,10}\])?: ", re.ASCII)
_CONTINUATION = re.compile(r" [A-Z_]{2,32}=")
_US = 1_000
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """A line's header, read, and the text behind it."""

    facility: int
    """0 is the kernel, `FACILITY_UNKNOWN` where the form does not say."""
    sequence: int | None
    uptime_ns: int | None
    """Since boot, where the form counts so."""
    wall_ns: int | None
    """Unix ns, where the form says so."""
    text: str

    def time_ns(self, boot_ns: int | None, seen_ns: int) -> int:
        """When it was written; `seen_ns` where neither the line nor the boot time tells."""
        if self.wall_ns is not None:
            return self.wall_ns
        if self.uptime_ns is not None and boot_ns is not None:
            return boot_ns + self.uptime_ns
        return seen_ns


def read_record(line: bytes, near_ns: int) -> KernelRecord | None:
    """Take a line apart; None where it has no header of a kernel log (a continuation line, say).

    `near_ns` tells the year where the form leaves it out.
    """
    text = line[:MAX_RECORD_BYTES].decode("utf-8", "replace").rstrip("\r\n\0")
    if not text or _CONTINUATION.match(text):
        return None
    kmsg = _KMSG.match(text)
    if kmsg is not None:
        priority, sequence, uptime_us, message = kmsg.groups()
        message = message.split("\n", 1)[0]  # behind it stand the ` KEY=value` lines of the same record
        return KernelRecord(int(priority) >> 3, int(sequence), int(uptime_us) * _US, None, message)
    facility = FACILITY_UNKNOWN
    if (priority_match := _PRIORITY.match(text)) is not None:
        facility = int(priority_match[1]) >> 3
        text = text[priority_match.end() :]
    elif (named := _DMESG_X.match(text)) is not None:
        facility = FACILITY_KERNEL if named[1] == "kern" else 1
        text = text[named.end() :]
    return _behind_priority(text, facility, near_ns)


def _behind_priority(text: str, facility: int, near_ns: int) -> KernelRecord | None:
    wall_ns: int | None = None
    uptime_ns: int | None = None
    found = False
    if (iso := log_time.RFC3339.match(text)) is not None:
        wall_ns = log_time.of_rfc3339(iso)
        text = text[iso.end() :].lstrip(" ")
        found = wall_ns is not None
        if facility == FACILITY_UNKNOWN and (tag := _SYSLOG_TAG.match(text)) is not None:
            facility = _by_tag(tag[1])
            text = text[tag.end() :]
    elif (syslog := _SYSLOG.match(text)) is not None:
        wall_ns = log_time.of_syslog(syslog[1], near_ns)
        facility = _by_tag(syslog[2]) if facility == FACILITY_UNKNOWN else facility
        text = text[syslog.end() :]
        found = wall_ns is not None
    elif (wall := _WALL.match(text)) is not None:
        wall_ns = log_time.of_ctime(wall[1])
        text = text[wall.end() :]
        found = wall_ns is not None
    if (uptime := _UPTIME.match(text)) is not None:
        uptime_ns = int(uptime[1]) * _SECOND_NS + int(uptime[2].ljust(9, "0"))
        text = text[uptime.end() :]
        found = True
    if not found:
        return None
    if (caller := _CALLER.match(text)) is not None:
        text = text[caller.end() :]
    return KernelRecord(facility, None, uptime_ns, wall_ns, text)


def _by_tag(tag: str) -> int:
    return FACILITY_UNKNOWN if tag == "kernel" else 1
