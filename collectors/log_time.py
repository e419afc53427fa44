"""Times as logs write them, to Unix nanoseconds.

A time without a zone is taken as UTC, as containers have it. All functions return None where there is no time.
"""

import re
from datetime import date
from functools import lru_cache

_EPOCH = date(1970, 1, 1).toordinal()
_SECOND_NS = 1_000_000_000

_ISO = (
    r"(\d{4})-(\d\d)-(\d\d)[T _](\d\d):(\d\d):(\d\d)"  # date and time; torchelastic writes `_` between them
    r"(?:[.,](\d{1,9}))?\d*"  # fraction, with the comma of Python's logging and of dmesg
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
RFC3339 = re.compile(_ISO, re.ASCII)
_IN_LINE = re.compile(r"(?<!\d)" + _ISO, re.ASCII)
_GLOG = re.compile(r"(?:^|[\[ ])[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6,9})", re.ASCII)
_CTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII)
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)", re.ASCII)
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * n : 3 * n + 3]: n + 1 for n in range(12)}
_HEAD_CHARACTERS = 160
"""How far into a line its own time is looked for: behind prefixes such as `[default7]:[titan] `, not in its message."""


def of_rfc3339(match: re.Match[str]) -> int | None:
    """Unix ns of a match of `RFC3339`, or of a pattern that begins with it; None where the figures are no date."""
    year, month, day, hour, minute, second, fraction, zone = match.groups()[:8]
    seconds = _seconds(int(year), int(month), int(day), int(hour), int(minute), int(second))
    if seconds is None:
        return None
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += -offset if zone[0] == "+" else offset
    return seconds * _SECOND_NS + _fraction(fraction)


def in_order(time_ns: int, before_ns: int) -> int:
    """The time of a line, given that of the line before it in the same log, which cannot have been written later.

    Two small disorders are common and mended: lines of two streams that a runtime merged a moment apart (the later
    time holds for both), and writers that round the fraction up to .000 without carrying the second, which puts a line
    almost a second back. More than a second back is left alone: a clock was set, or another run begins.
    """
    back_ns = before_ns - time_ns
    if not 0 < back_ns < _SECOND_NS:
        return time_ns
    return before_ns if back_ns <= _SECOND_NS // 2 else time_ns + _SECOND_NS


def of_ctime(text: str) -> int | None:
    """`Mon Oct 29 12:07:39 2018`, as `dmesg -T` writes it."""
    match = _CTIME.match(text)
    if match is None or match[1] not in _MONTHS:
        return None
    month, day, hour, minute, second, year = match.groups()
    return _in_ns(_seconds(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second)))


def of_syslog(text: str, near_ns: int) -> int | None:
    """`Oct 29 12:07:39`, of the year that brings it nearest to `near_ns`."""
    match = _SYSLOG.match(text)
    if match is None or match[1] not in _MONTHS:
        return None
    month, day, hour, minute, second = match.groups()
    return _nearest(_MONTHS[month], int(day), int(hour), int(minute), int(second), 0, near_ns)


def in_line(text: str, near_ns: int) -> int | None:
    """The time that a log line states itself: ISO, or glog's `E1122 07:40:06.105032424`, whose year is the one that
    brings it nearest to `near_ns`."""
    head = text[:_HEAD_CHARACTERS]
    glog = _GLOG.search(head)
    if glog is not None:
        month, day, hour, minute, second, fraction = glog.groups()
        return _nearest(int(month), int(day), int(hour), int(minute), int(second), _fraction(fraction), near_ns)
    iso = _IN_LINE.search(head)
    return of_rfc3339(iso) if iso is not None else None


def _nearest(month: int, day: int, hour: int, minute: int, second: int, fraction_ns: int, near_ns: int) -> int | None:
    year = date.fromordinal(_EPOCH + max(0, near_ns) // (86400 * _SECOND_NS)).year
    times = [
        seconds * _SECOND_NS + fraction_ns
        for candidate in (year - 1, year, year + 1)
        if (seconds := _seconds(candidate, month, day, hour, minute, second)) is not None
    ]
    return min(times, key=lambda time_ns: abs(time_ns - near_ns), default=None)


def _fraction(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _in_ns(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * _SECOND_NS


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    days = _days(year, month, day)
    if days is None or hour > 23 or minute > 59 or second > 60:
        return None
    return days * 86400 + hour * 3600 + minute * 60 + second


@lru_cache(maxsize=64)
def _days(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
