"""The logs of a recording, told line by line as they were written."""

import logging
import re
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

from collectors.errors import FixConfiguration, GiveUp
from collectors.flight_recorder import read_flight_recorder
from collectors.kernel_log import KernelLogParser
from collectors.log_source import LogSource
from collectors.model import Event, Subject
from collectors.recording.log_lines import read_kernel_lines, read_log_lines
from collectors.training_log import TrainingLogParser

ResolveGpu = Callable[[str], Subject | None]
_Line = tuple[int, bytes]
_LOG = logging.getLogger(__name__)
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


class RecordedEvents:
    """A `LogSource` over events with the time at which each came to be known."""

    def __init__(self, told: list[tuple[int, Event]]) -> None:
        """`told` ascends in time."""
        self._told = told
        self._next = 0

    def poll(self, now_ns: int) -> list[Event]:
        """The events up to now that have not been told yet."""
        first = self._next
        while self._next < len(self._told) and self._told[self._next][0] <= now_ns:
            self._next += 1
        return [event for _, event in self._told[first : self._next]]


class RecordedLogs:
    """Reads the log files of a folder once; `sources` makes fresh parsers over them."""

    def __init__(self, path: Path, start_ns: int, boot_ns: int | None) -> None:
        """`start_ns`: the time of lines before a file's first stamp; `boot_ns`: kernel time 0, where it is known."""
        self._training: list[tuple[int | None, list[_Line]]] = []
        named: list[tuple[str, list[_Line]]] = []
        given_ns = start_ns
        for file in (path / "train.log", *sorted(path.glob("*stderr.log"))):
            if file.exists():
                lines = _read(file, start_ns)
                self._training.append((_rank(file.name), lines))
                named.append((file.name, lines))
                # Error output states no year; the job's own log does.
                start_ns = start_ns or (lines[0][0] if lines else 0)
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
                self._kernel = read_kernel_lines(kernel, self._boot_ns)
            except OSError as error:
                raise FixConfiguration(f"{kernel}: cannot be read ({error})") from error
        self._dumps = sorted(path.glob("nccl_trace*.pickle"))
        self._dump_events: list[Event] | None = None
        self.bad_dumps = 0
        """Flight-recorder dumps that were passed over."""
        # Error output may go on after the recorder has stopped (or after the recording was cut): it spans a recording
        # only where nothing else does.
        spans = [lines for name, lines in named if name == "train.log"] + [self._kernel]
        if not any(spans) and not given_ns:
            spans = [lines for _, lines in named]
        times = [lines[place][0] for lines in spans if lines for place in (0, -1)]
        self.first_ns = min(times, default=None)
        self.last_ns = max(times, default=None)

    def sources(self, node: Subject, job: Subject, resolve_gpu: ResolveGpu) -> list[LogSource]:
        """All logs from their beginning, each with a parser of its own."""
        sources: list[LogSource] = []
        for rank, lines in self._training:
            sources.append(RecordedLog(lines, TrainingLogParser(job, rank).parse))
        if self._kernel:
            parser = KernelLogParser(node, resolve_gpu, self._boot_ns)

            def parse(line: bytes, seen_ns: int) -> list[Event]:
                event = parser.parse(line, seen_ns)
                return [event] if event else []

            sources.append(RecordedLog(self._kernel, parse))
        if self._dumps:
            sources.append(RecordedEvents(self._flight_recorder(job)))
        return sources

    def _flight_recorder(self, job: Subject) -> list[tuple[int, Event]]:
        if self._dump_events is None:
            self._dump_events = []
            for dump in self._dumps:
                try:
                    self._dump_events.append(read_flight_recorder(dump, job))
                except GiveUp as error:
                    self.bad_dumps += 1
                    _LOG.warning("%s", error)
        # A dump is written when the watchdog gives up: one time-out after the newest thing in it.
        told = [(e.time_ns + int(e.values.get("timeout_seconds", 0.0) * 1e9), e) for e in self._dump_events]
        return sorted(told, key=itemgetter(0))


def _read(file: Path, start_ns: int) -> list[_Line]:
    if file.is_dir():
        raise FixConfiguration(f"{file}: is a folder, not a log: move it away")
    try:
        lines = read_log_lines(file, start_ns)
    except OSError as error:
        raise FixConfiguration(f"{file}: cannot be read ({error})") from error
    # Where nothing says when a recording begins, lines before the first stamp share that stamp's time.
    first_ns = next((time_ns for time_ns, _ in lines if time_ns > 0), 0)
    return [(max(time_ns, first_ns), line) for time_ns, line in lines]


def _rank(name: str) -> int | None:
    found = _RANK.search(name)
    return int(found.group(1)) if found else None
