"""The lines of recorded logs with the times at which they were written."""

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from collectors import log_time
from collectors.kernel_log.record import read_record

_HEAD_BYTES = 256
"""Where a line's time is looked for; the rest is not decoded."""


def read_log_lines(path: Path, start_ns: int) -> list[tuple[int, bytes]]:
    """(Unix ns, line without its line break) of one log file, or of `train.log` and every `*stderr.log` of a folder.

    A line's time is its RFC 3339 prefix, else the time it states itself (glog's has no year: it is taken from
    `start_ns`; UTC), else that of the line before it in its file, else `start_ns`. Small disorders of a file are mended
    (`log_time.in_order`). Sorted by time; lines of one time stay as they were, `train.log` first. Empty lines are left
    out. Raises OSError where a file cannot be read.
    """
    files = [path] if path.is_file() else [*path.glob("train.log"), *sorted(path.glob("*stderr.log"))]
    lines: list[tuple[int, bytes]] = []
    for file in files:
        lines.extend(_timed(file, start_ns))
    lines.sort(key=itemgetter(0))
    return lines


def read_kernel_lines(path: Path, boot_ns: int) -> list[tuple[int, bytes]]:
    """(Unix ns, line) of a recorded kernel log, sorted by time; `boot_ns` is the Unix time of boot.

    A line without a time of its own has that of the line before it, else `boot_ns`. Raises OSError.
    """
    lines: list[tuple[int, bytes]] = []
    time_ns = boot_ns
    for line in _lines(path):
        record = read_record(line, boot_ns)
        if record is not None:
            time_ns = record.time_ns(boot_ns, time_ns)
        lines.append((time_ns, line))
    lines.sort(key=itemgetter(0))
    return lines


def _timed(file: Path, start_ns: int) -> Iterator[tuple[int, bytes]]:
    time_ns = start_ns
    for line in _lines(file):
        head = line[:_HEAD_BYTES].decode("utf-8", "replace")
        prefix = log_time.RFC3339.match(head)
        own_ns = log_time.of_rfc3339(prefix) if prefix is not None else log_time.in_line(head, start_ns)
        if own_ns is not None:
            time_ns = log_time.in_order(own_ns, time_ns)
        yield time_ns, line


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        for line in opened:
            line = line.rstrip(b"\r\n")
            if line:
                yield line
