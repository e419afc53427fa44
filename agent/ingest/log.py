"""The ingest log: what the agent has acknowledged, in the order in which it came, on disk before the answer goes out.

A folder of segment files, each named by the position of its first byte. A position counts bytes over the whole life of
the log and only grows, so (position, "everything before it is done with") is all that a checkpoint needs.

    segment:  8 bytes of magic, then records
    record:   length of the body (uint32), CRC-32 of time and body (uint32), received_ns (int64), body; little-endian

After a crash the end of the last segment may be torn: it is cut off at the first record that does not hold together,
unless the record after it does, which means a rotten block and not a torn end; then only that one is passed over.
"""

import logging
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from collectors.errors import FixConfiguration, RetryLater

_log = logging.getLogger(__name__)

MAGIC = b"WSLOG\x00\x00\x01"
_HEADER = struct.Struct("<IIq")
_TIME = struct.Struct("<q")
_SUFFIX = ".log"


def record_bytes(body: bytes) -> int:
    """What a body takes up in the log."""
    return _HEADER.size + len(body)


@dataclass(frozen=True, slots=True)
class Record:
    """One body as it came. `end` is the position of the record after it."""

    position: int
    end: int
    received_ns: int
    body: bytes


@dataclass(slots=True)
class _Segment:
    base: int
    path: Path
    size: int
    """Bytes that hold together, magic included."""
    sealed: bool = False
    """It has bytes after `size` that could not be cut off: nothing may be appended."""

    @property
    def end(self) -> int:
        return self.base + self.size


class IngestLog:
    """One writer, any number of readers. Not thread-safe for writing: `append` and `prune` belong to one thread."""

    def __init__(self, folder: Path, *, segment_bytes: int = 64 * 2**20) -> None:
        """Open or make the log in `folder` and cut off a torn end. FixConfiguration where it cannot be used."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._file = -1
        self.torn_bytes = 0
        """Bytes cut off the end when the log was opened: batches that nobody was told were safe."""
        self.last_received_ns = 0
        """Time of the newest record, Unix ns; stamps must not run backwards over a restart."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segments = self._find_segments()
            if self._segments:
                self._mend_last()
        except OSError as error:
            raise FixConfiguration(
                f"ingest log {folder}: {error.strerror}; give the agent a folder it may write to"
            ) from error

    # What the log holds

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @property
    def start(self) -> int:
        """Position of the oldest record still held."""
        return self._segments[0].base if self._segments else 0

    @property
    def end(self) -> int:
        """Position after the newest record."""
        return self._segments[-1].end if self._segments else 0

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def read_from(self, position: int = 0) -> Iterator[Record]:
        """The records at and after `position` that were there when reading began, oldest first.

        What was deleted meanwhile, or has rotted on disk, is passed over with one log line.
        """
        for segment in [*self._segments]:
            if segment.end > position:
                yield from self._read_segment(segment, position)

    def position_before(self, time_ns: int) -> int:
        """Where to begin to read everything received at or after a time: a segment's beginning, so some more comes."""
        found = self.start
        for segment in [*self._segments]:
            first_ns = self._first_time(segment)
            if first_ns is not None and first_ns >= time_ns:
                break
            found = segment.base
        return found

    def read_at(self, positions: Iterable[int]) -> Iterator[Record]:
        """The records at these positions, which must ascend; what is no longer there, or has rotted, is passed over."""
        segments, at = [*self._segments], 0
        file: BinaryIO | None = None
        try:
            for position in positions:
                while at < len(segments) and segments[at].end <= position:
                    at += 1
                    if file is not None:
                        file.close()
                    file = None
                if at == len(segments):
                    return
                segment = segments[at]
                if position < segment.base:
                    continue
                try:
                    file = file or segment.path.open("rb")
                except FileNotFoundError:
                    continue
                file.seek(position - segment.base)
                head = file.read(_HEADER.size)
                if len(head) < _HEADER.size:
                    continue
                length, checksum, received_ns = _HEADER.unpack(head)
                body = file.read(length) if position + _HEADER.size + length <= segment.end else b""
                if zlib.crc32(body, zlib.crc32(_TIME.pack(received_ns))) == checksum:
                    yield Record(position, position + _HEADER.size + length, received_ns, body)
        finally:
            if file is not None:
                file.close()

    # Writing

    def append(self, entries: Sequence[tuple[int, bytes]]) -> list[int]:
        """Write (received_ns, body) entries and flush them to disk; returns the position after each.

        All or none: where it raises RetryLater (disk full, I/O error), nothing of the group is in the log.
        """
        block = bytearray()
        ends: list[int] = []
        for received_ns, body in entries:
            checksum = zlib.crc32(body, zlib.crc32(_TIME.pack(received_ns)))
            block += _HEADER.pack(len(body), checksum, received_ns)
            block += body
            ends.append(len(block))
        try:
            segment = self._segment_for(len(block))
            base = segment.end
            _write_all(self._file, block)
            os.fdatasync(self._file)
        except OSError as error:
            self._abandon()
            raise RetryLater(
                f"ingest log {self._folder}: {error.strerror}; nothing was taken in, free space on that disk", 5.0
            ) from error
        segment.size += len(block)
        if entries:
            self.last_received_ns = max(self.last_received_ns, entries[-1][0])
        return [base + end for end in ends]

    def prune(self, before_position: int, before_ns: int) -> int:
        """Delete whole segments that end at or before `before_position` and are older than `before_ns`.

        Returns the bytes freed. The newest segment always stays.
        """
        freed = 0
        while len(self._segments) > 1 and self._segments[0].end <= before_position:
            newer = self._first_time(self._segments[1])
            if newer is None or newer >= before_ns:
                break
            gone = self._segments.pop(0)
            gone.path.unlink(missing_ok=True)
            freed += gone.size
        return freed

    def close(self) -> None:
        """Let go of the open segment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # Inside

    def _find_segments(self) -> list[_Segment]:
        found = [
            _Segment(int(path.stem), path, path.stat().st_size)
            for path in sorted(self._folder.glob(f"*{_SUFFIX}"))
            if path.stem.isdigit()
        ]
        # A segment that was given up in the middle of a write may be longer than what was promised of it.
        for segment, following in pairwise(found):
            segment.size = min(segment.size, following.base - segment.base)
        return found

    def _mend_last(self) -> None:
        last = self._segments[-1]
        good, on_disk = 0, last.size
        for record in self._read_segment(last, last.base):
            good = record.end - last.base
            self.last_received_ns = record.received_ns
        if good == 0:
            good = len(MAGIC) if on_disk >= len(MAGIC) else 0
            if len(self._segments) > 1:
                self.last_received_ns = self._last_time(self._segments[-2])
        if on_disk > good:
            self.torn_bytes = on_disk - good
            _log.warning("ingest log %s: cut off %d torn bytes at its end", last.path, self.torn_bytes)
        if good:
            last.size = good
        else:
            last.path.unlink()
            self._segments.pop()
        if self._segments:
            os.truncate(self._segments[-1].path, self._segments[-1].size)

    def _read_segment(self, segment: _Segment, position: int) -> Iterator[Record]:
        """Ends early, without a word, where nothing more holds together: only the last segment can be torn."""
        size = segment.size
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:
            _log.warning("ingest log %s: deleted before it was read", segment.path)
            return
        with file:
            magic = file.read(len(MAGIC))
            if len(magic) < len(MAGIC):
                return
            if magic != MAGIC:
                raise FixConfiguration(
                    f"ingest log {segment.path}: not written by this version; move it away or run the version that did"
                )
            at = len(MAGIC)
            while at + _HEADER.size <= size:
                length, checksum, received_ns = _HEADER.unpack(file.read(_HEADER.size))
                after = at + _HEADER.size + length
                if after > size:
                    return
                body = file.read(length)
                if zlib.crc32(body, zlib.crc32(_TIME.pack(received_ns))) != checksum:
                    if not _holds_together(segment.path, after, size):
                        return
                    _log.error("ingest log %s: the record at byte %d has rotted, passed over", segment.path, at)
                elif segment.base + at >= position:
                    yield Record(segment.base + at, segment.base + after, received_ns, body)
                at = after

    def _first_time(self, segment: _Segment) -> int | None:
        return next((record.received_ns for record in self._read_segment(segment, segment.base)), None)

    def _last_time(self, segment: _Segment) -> int:
        times = [record.received_ns for record in self._read_segment(segment, segment.base)]
        return times[-1] if times else 0

    def _segment_for(self, more: int) -> _Segment:
        """The segment that the next `more` bytes go to, open. A group larger than a segment gets one of its own."""
        last = self._segments[-1] if self._segments else None
        empty = last is not None and last.size == len(MAGIC)
        if last is not None and not last.sealed and (empty or last.size + more <= self._segment_bytes):
            if self._file < 0:
                self._file = os.open(last.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return last
        self.close()
        base = self.end
        path = self._folder / f"{base:020d}{_SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _write_all(self._file, MAGIC)
        self._sync_folder()
        segment = _Segment(base, path, len(MAGIC))
        self._segments.append(segment)
        return segment

    def _abandon(self) -> None:
        """After a failed write or flush the kernel may hold anything: cut back to what was promised.

        Where even that fails the segment is left as it is, and the next one begins at the end of what was promised.
        """
        self.close()
        if not self._segments:
            return
        last = self._segments[-1]
        try:
            os.truncate(last.path, last.size)
        except OSError as error:
            last.sealed = last.size > len(MAGIC)
            _log.error("ingest log %s: cannot cut off a failed write: %s", last.path, error.strerror)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(file: int, block: bytes | bytearray) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(file, rest) :]


def _holds_together(path: Path, at: int, size: int) -> bool:
    """Whether a whole, intact record begins at byte `at` of the file."""
    if at + _HEADER.size > size:
        return False
    with path.open("rb") as file:
        file.seek(at)
        length, checksum, received_ns = _HEADER.unpack(file.read(_HEADER.size))
        if at + _HEADER.size + length > size:
            return False
        body = file.read(length)
    return bool(zlib.crc32(body, zlib.crc32(_TIME.pack(received_ns))) == checksum)
