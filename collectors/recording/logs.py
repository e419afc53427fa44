"""The logs of a recording, told line by line as they were written."""

import re
from collections.abc import Callable
from pathlib import Path

from collectors.errors import FixConfiguration
from collectors.flight_recorder import read_flight_recorder
from collectors.kernel_log import KernelLogParser
from collectors.log_source import LogSource
from collectors.model import Event, Subject
from collectors.recording.log_lines import read_kernel_lines, read_log_lines
from collectors.training_log import TrainingLogParser

ResolveGpu = Callable[[str], Subject | None]
_Line = tuple[int, bytes]
_RANK = re.compile(r"rank(\d{1,6})(?!\d)")


class RecordedLog:
    """A `LogSource` over lines with the time at which each was seen."""

    def __init__(self, lines: list[_Line], parse: Callable[[bytes, int], list[Event]]) -> None:
        """`lines` ascend in time."""
        self._lines = lines
        self._parse = parse
        self._next = 0

    def poll(self, now_ns: int) -> list[Event]:
        """The events of the lines up to now that have not been told yet."""
        events: list[Event] = []
        while self._next < len(self._lines) and self._lines[self._next][0] <= now_ns:
            seen_ns, line = self._lines[self._next]
            events.extend(self._parse(line, seen_ns))
            self._next += 1
        return events


class RecordedLogs:
    """Reads the log files of a folder once; `sources` makes fresh parsers over them."""

    def __init__(self, path: Path, start_ns: int, boot_ns: int | None) -> None:
        """`start_ns` is the time of lines before a file's first stamp; `boot_ns` is kernel time 0, where it is known."""
        self._training: list[tuple[int | None, list[_Line]]] = []
        for file in (path / "train.log", *sorted(path.glob("*stderr.log"))):
            if file.exists():
                self._training.append((_rank(file.name), _ascending(_read(file, start_ns))))
        self._kernel: list[_Line] = []
        self._boot_ns = boot_ns or 0
        kernel = path / "kmsg.txt"
        if kernel.exists():
            if boot_ns is None and (start_ns or self._training):
                raise FixConfiguration(
                    f"{kernel}: kernel times count from boot, and nothing says when that was:"
                    f' write {{"boot_unix": seconds}} to {path / "meta.json"}'
                )
            try:
                self._kernel = _ascending(read_kernel_lines(kernel, self._boot_ns))
            except OSError as error:
                raise FixConfiguration(f"{kernel}: cannot be read ({error})") from error
        self._dumps = sorted(path.glob("nccl_trace*.pickle"))
        times = [lines[place][0] for _, lines in self._training if lines for place in (0, -1)]
        times += [self._kernel[place][0] for place in (0, -1) if self._kernel]
        self.first_ns = min(times, default=None)
        self.last_ns = max(times, default=None)


def _read(file: Path, start_ns: int) -> list[_Line]:
    try:
        return read_log_lines(file, start_ns)
    except OSError as error:
        raise FixConfiguration(f"{file}: cannot be read ({error})") from error


def _ascending(lines: list[_Line]) -> list[_Line]:
    return sorted(lines, key=lambda line: line[0])


def _rank(name: str) -> int | None:
    found = _RANK.search(name)
    return int(found.group(1)) if found else None
