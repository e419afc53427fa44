"""Maintenance windows: whether a moment lies in one, and whether one is written rightly."""

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from policies.cluster_view import NodeView
from policies.guard_settings import Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NS = 1_000_000_000


def problem(window: Window) -> str:
    """What is wrong with a window, in a few words; empty where nothing is."""
    once, weekly = bool(window.start or window.end), bool(window.days or window.from_ or window.to)
    if once == weekly:
        return "give either `start` and `end`, or `from` and `to` with or without `days`"
    if weekly:
        unknown = [day for day in window.days if day not in DAYS]
        if unknown:
            return f"no day: {unknown[0]!r} (one of {', '.join(DAYS)})"
        if _minutes(window.from_) is None or _minutes(window.to) is None:
            return "`from` and `to` are times of the day in UTC, HH:MM"
        return ""
    start, end = _moment(window.start), _moment(window.end)
    if start is None or end is None:
        return "`start` and `end` are RFC 3339 times with an offset, 2026-12-24T18:00:00Z"
    return "" if start < end else "`end` is not after `start`"


def is_open(window: Window, now_ns: int) -> bool:
    """Whether a moment (Unix ns) lies in a window without problems."""
    now = datetime.fromtimestamp(now_ns / _NS, UTC)
    if window.start:
        start, end = _moment(window.start), _moment(window.end)
        return start is not None and end is not None and start <= now < end
    begin, finish = _minutes(window.from_), _minutes(window.to)
    if begin is None or finish is None:
        return False
    minute = now.hour * 60 + now.minute
    if begin < finish:
        return begin <= minute < finish and _on(window, now)
    return (minute >= begin and _on(window, now)) or (minute < finish and _on(window, now - timedelta(days=1)))


def is_about(window: Window, node: NodeView) -> bool:
    """Whether a window names a node; one that names nothing is about all."""
    if not (window.pools or window.racks or window.nodes):
        return True
    named = any(fnmatchcase(node.name, pattern) for pattern in window.nodes)
    return named or node.pool in window.pools or node.rack in window.racks


def moment_ns(text: str) -> int | None:
    """An RFC 3339 time as Unix ns; None where it is none, or has no offset."""
    read = _moment(text)
    return None if read is None else int(read.timestamp() * _NS)


def _on(window: Window, day: datetime) -> bool:
    return not window.days or DAYS[day.weekday()] in window.days


def _moment(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None


def _minutes(text: str) -> int | None:
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == 2 and len(minutes) == 2 and (hours + minutes).isascii()):
        return None
    if not (hours + minutes).isdigit() or int(hours) > 24 or int(minutes) > 59:
        return None
    total = int(hours) * 60 + int(minutes)
    return total if total <= 24 * 60 else None
