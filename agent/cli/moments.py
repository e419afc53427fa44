"""Times as people type them: `30d`, `4h`, `2026-11-22T03:12:10Z`, Unix seconds."""

import argparse
import re
from datetime import UTC, datetime

from collectors.errors import GiveUp

SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]+)", re.ASCII)
_NS = 1_000_000_000
_LATEST_SECONDS = 9_000_000_000
"""Of what int64 nanoseconds hold (the year 2262), with room."""


def span_seconds(text: str) -> float:
    """`90s`, `30m`, `4h`, `30d`, `2w` in seconds; GiveUp for anything else.

    >>> span_seconds("1.5h")
    5400.0
    """
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or match[2] not in SECONDS:
        raise GiveUp(f"{text[:40]!r} is no span of time: write 90s, 30m, 4h, 30d or 2w")
    return float(match[1]) * SECONDS[match[2]]


def moment_ns(text: str, now_ns: int, *, ahead: bool = False) -> int:
    """A span from now (`ahead`: to come, else past), a time with its date, or Unix seconds, as Unix ns.

    >>> moment_ns("1970-01-01T00:01:00Z", 0)
    60000000000
    >>> moment_ns("2m", 600_000_000_000)
    480000000000
    """
    given = text.strip()
    if _SPAN.fullmatch(given.lower()):
        span = int(span_seconds(given) * _NS)
        return now_ns + span if ahead else now_ns - span
    try:
        seconds = float(given)
    except ValueError:
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise GiveUp(
                f"{text[:40]!r} is no time: write 4h, 2026-11-22T03:12:10Z, or Unix seconds",
            ) from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds <= _LATEST_SECONDS:
        raise GiveUp(f"{text[:40]!r} lies outside the calendar: write 4h, 2026-11-22T03:12:10Z, or Unix seconds")
    return round(seconds * _NS)


def some_moment(text: str) -> str:
    """For argparse: the text as it is, where `moment_ns` will take it."""
    try:
        moment_ns(text, 0)
    except GiveUp as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
