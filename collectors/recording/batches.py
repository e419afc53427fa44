"""A recording of many nodes: the batches themselves, as their collectors sent them, in the order in which they came.

A folder with

| file | what |
| --- | --- |
| `batches.wsb` | `MAGIC`, then records: when it was received (Unix ns, int64 little-endian), the length of the body (uint32 little-endian), and the body, byte for byte what stood in the HTTP request (`collectors.wire`) |
| `meta.json` | `cluster` (of the batches; those of others are passed over), `start_unix` and `end_unix` (seconds) |

It is the densest form of a recording (a node's batch of 8 GPUs takes about 1 kB), it streams, and replaying it costs
what the agent itself would spend. A file that was cut plays up to the cut.
"""  # noqa: E501 - a table

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from collectors.errors import FixConfiguration, GiveUp
from collectors.model import Batch, Origin
from collectors.wire import DEFAULT_LIMITS, decode

FILE = "batches.wsb"
META = "meta.json"
MAGIC = b"WATCHSTANDER BATCHES 1\n"
_HEAD = struct.Struct("<qI")
_LATEST_NS = 9_000_000_000 * 10**9
LONGEST_SECONDS = 31 * 86_400
"""A recording that says it spans more has a wrong clock, and would be played tick by tick all that time."""
MOST_CAUSES = 3
"""Told of a file that is rotten in many places, whose every batch may be bad in its own words."""
_ASIDE_NS = 3600 * 10**9
"""A batch received so long before the start or after the end of its recording does not belong to it."""


class _Meta(msgspec.Struct):
    cluster: str
    start_unix: float
    end_unix: float


def record(received_ns: int, body: bytes) -> bytes:
    """One record of the file: an encoded batch (`collectors.wire.encode`) with its receive time, Unix ns."""
    return _HEAD.pack(received_ns, len(body)) + body


class BatchWriter:
    """Writes `batches.wsb`; records must come in the order of their receive times."""

    def __init__(self, folder: Path) -> None:
        """Raises FixConfiguration where the file cannot be made."""
        path = folder / FILE
        try:
            self._file = path.open("xb")
            self._file.write(MAGIC)
        except FileExistsError:
            raise FixConfiguration(f"{path}: is there already; name an empty folder") from None
        except OSError as error:
            raise FixConfiguration(f"{path}: cannot be written ({error.strerror}); name another folder") from None
        self._last_ns = 0
        self.batches = 0

    def write(self, received_ns: int, body: bytes) -> None:
        """Append one encoded batch (`collectors.wire.encode`)."""
        if received_ns < self._last_ns:
            raise ValueError(f"received at {received_ns} ns, behind {self._last_ns} ns")
        self._last_ns = received_ns
        self._file.write(record(received_ns, body))
        self.batches += 1

    def __enter__(self) -> "BatchWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


class BatchRecording:
    """Reads such a folder; `play` begins anew at every call."""

    def __init__(self, path: Path) -> None:
        """Raises FixConfiguration, naming the file, where one cannot be read."""
        self.path = path
        where = self.place_of(META)
        try:
            meta = msgspec.json.decode(self.small(META) or b"", type=_Meta)
        except (ValueError, RecursionError) as error:
            what = " ".join(str(error).split())[:200]
            raise FixConfiguration(
                f"{where}: cannot be used ({what}); a recording of batches needs cluster, start_unix and end_unix"
            ) from None
        if not meta.cluster or not 0 <= meta.start_unix <= meta.end_unix < 9e9:
            raise FixConfiguration(f"{where}: needs a cluster's name, and start_unix before end_unix")
        if meta.end_unix - meta.start_unix > LONGEST_SECONDS:
            days = (meta.end_unix - meta.start_unix) / 86_400
            raise FixConfiguration(f"{where}: start_unix and end_unix lie {days:,.0f} days apart: mend one of them")
        self.cluster = meta.cluster
        self.start_ns, self.end_ns = round(meta.start_unix * 1e9), round(meta.end_unix * 1e9)
        self.bad: Counter[str] = Counter()
        """What was passed over at the last `play`, by why; empty where all was good."""

    def place_of(self, name: str) -> str:
        """How people find one of its files."""
        return str(self.path / name)

    def small(self, name: str) -> bytes | None:
        """One of its files beside the batches, whole; None where there is none. FixConfiguration: cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FixConfiguration(f"{self.place_of(name)}: cannot be read ({error.strerror})") from None

    def open_batches(self) -> IO[bytes]:
        """`batches.wsb`, from its beginning; FixConfiguration where it cannot be read."""
        try:
            return (self.path / FILE).open("rb")
        except OSError as error:
            raise FixConfiguration(f"{self.place_of(FILE)}: cannot be read ({error.strerror})") from None

    @property
    def problems(self) -> list[str]:
        """What was passed over by the last `play` and why: the causes met first, and how much more there is."""
        causes = list(self.bad.items())
        lines = [f"{self.path}: passed over {count}: {why}" for why, count in causes[:MOST_CAUSES]]
        if more := sum(count for _, count in causes[MOST_CAUSES:]):
            lines.append(f"{self.path}: passed over {more} more, for causes like these")
        return lines

    def play(self, until_ns: int | None = None) -> Iterator[tuple[int, Batch]]:
        """Yield (received, batch), ascending in time, up to but not at `until_ns`. What is bad is passed over.

        Batches that were live when they were recorded are so no longer: their origin is replay.
        Raises FixConfiguration where the file is none of ours.
        """
        self.bad.clear()
        last_ns = 0
        with self.open_batches() as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise FixConfiguration(f"{self.place_of(FILE)}: is no recording of batches (its first line is another)")
            for received_ns, body in self._records(file):
                received_ns = max(received_ns, last_ns)
                if until_ns is not None and received_ns >= until_ns:
                    return
                if not self.start_ns - _ASIDE_NS <= received_ns <= self.end_ns + _ASIDE_NS:
                    self.bad["received outside the time that meta.json names"] += 1
                    continue
                try:
                    batch = decode(body)
                except GiveUp as error:
                    self.bad[str(error)[:200]] += 1
                    continue
                if batch.node.cluster != self.cluster:
                    self.bad["batches of another cluster"] += 1
                    continue
                if batch.origin is Origin.LIVE:
                    batch = msgspec.structs.replace(batch, origin=Origin.REPLAY)
                last_ns = received_ns
                yield received_ns, batch

    def _records(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                self.bad["the file ends within a record"] += 1
                return
            received_ns, size = _HEAD.unpack(head)
            if not 0 <= received_ns < _LATEST_NS or not 0 < size <= DEFAULT_LIMITS.packed_bytes:
                # Lengths are the only way from record to record: behind a torn one nothing can be found.
                self.bad[f"a torn record; the file is read up to byte {file.tell()}"] += 1
                return
            body = file.read(size)
            if len(body) < size:
                self.bad["the file ends within a record"] += 1
                return
            yield received_ns, body


def holds_batches(path: Path) -> bool:
    """Whether a folder is a recording of batches."""
    return (path / FILE).is_file()
