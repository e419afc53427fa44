"""The spool's folder: segment files in order, what of them is acknowledged, and how room is made.

Every method may raise OSError; `spool.py` decides what follows from that. Not safe for threads by itself.
"""

import contextlib
import errno
import fcntl
import os
import struct
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration, GiveUp
from collectors.sending.segment import (
    HAS_EVENTS,
    HAS_READINGS,
    HEADER_BYTES,
    RECORD_BYTES,
    Entry,
    Header,
    Record,
    checksum,
    pack_header,
    pack_record,
    pack_segment,
    parse,
    parse_header,
)
from collectors.wire import decode, encode

Write = Callable[[int, bytes], int]

ROLL_WHEN_READ_BYTES = 64 * 1024
"""A segment of at least this size that has been acknowledged whole gives way to a new one."""
FILE_BYTES = 4096
"""The least that a file costs on the disk."""
SUFFIX = ".segment"
_ACKNOWLEDGED = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The oldest batch that is not acknowledged; `ordinal` is its segment's, -1 in memory."""

    spool_id: str
    sequence: int
    body: bytes
    ordinal: int


@dataclass(slots=True)
class _Segment:
    ordinal: int
    header: Header
    size: int
    unread: int = 0
    """Records that are not acknowledged."""
    readings: bool = False
    """Whether an unread record has readings."""
    acknowledged: int = -1
    """The last sequence number that is."""
    entries: deque[Entry] | None = None
    """The unread records; None: not looked at since they were written, so that a long backlog costs no memory."""


class Disk:
    """Records in segment files under one folder, which is locked for this process."""

    def __init__(
        self, directory: Path, *, max_bytes: int, segment_bytes: int, losses: Counter[str], write: Write = os.write
    ) -> None:
        """Open or make the folder and take up what lies there; `open_segment` has to come before `append`.

        Losses are added to `losses` by cause. Raises FixConfiguration if another process has the folder, OSError if
        the disk refuses; a full disk does not refuse, so that what lies on it can be sent.
        """
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = max(FILE_BYTES, min(segment_bytes, max_bytes // 16))
        self._losses = losses
        self._write = write
        self._segments: deque[_Segment] = deque()
        self._active: _Segment | None = None
        self._fd = -1
        self._reading: tuple[int, int] = (-1, -1)  # ordinal and file of the segment that is read
        self._acknowledged_fd = -1
        self._next_ordinal = 1
        self._dirty = False
        self._bytes = 0
        self.spool_id = uuid.uuid4().hex
        self.next_sequence = 0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take_up()
        except BlockingIOError:
            self.close()
            raise FixConfiguration(
                f"spool folder {directory} is in use by another collector: stop that one or set spool.directory"
            ) from None
        except OSError:
            self.close()
            raise

    # --- what lies here

    @property
    def unread(self) -> int:
        """Batches that are not acknowledged."""
        return sum(segment.unread for segment in self._segments)

    @property
    def used_bytes(self) -> int:
        """What the files take."""
        return self._bytes

    @property
    def vanished(self) -> bool:
        """Whether somebody removed the file that is written to."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink == 0

    def _take_up(self) -> None:
        path = self._directory / "acknowledged"
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
            with contextlib.suppress(OSError):
                self._acknowledged_fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
                break
        acknowledged = self._read_acknowledged()
        for leftover in self._directory.glob("*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if path.stem.isdecimal():
                self._take_up_segment(path, acknowledged)

    def _take_up_segment(self, path: Path, acknowledged: tuple[int, int]) -> None:
        ordinal = int(path.stem)
        self._next_ordinal = max(self._next_ordinal, ordinal + 1)
        raw = path.read_bytes()
        header = parse_header(raw)
        if header is None:
            # Torn at birth, before anything was in it, unless the disk is rotten.
            self._lose("damaged_bytes", max(0, len(raw) - HEADER_BYTES))
            with contextlib.suppress(OSError):
                path.unlink()
            return
        entries, damaged = parse(raw)
        self._lose("damaged_bytes", damaged)
        if header.continued and not damaged:
            self.spool_id = header.spool_id
            self.next_sequence = entries[-1].sequence + 1 if entries else header.first_sequence
        elif header.continued:
            # What was damaged may have been sent; its numbers must not be given out twice.
            self.spool_id, self.next_sequence = uuid.uuid4().hex, 0
        segment = _Segment(ordinal, header, len(raw))
        if ordinal < acknowledged[0]:
            entries = []
        elif ordinal == acknowledged[0]:
            segment.acknowledged = acknowledged[1]
            entries = [e for e in entries if e.sequence > segment.acknowledged]
        segment.unread = len(entries)
        segment.readings = any(e.flags & HAS_READINGS for e in entries)
        self._segments.append(segment)
        self._bytes += max(FILE_BYTES, segment.size)

    def _read_acknowledged(self) -> tuple[int, int]:
        if self._acknowledged_fd < 0:
            return 0, 0
        raw = os.pread(self._acknowledged_fd, _ACKNOWLEDGED.size + 4, 0)
        if len(raw) == _ACKNOWLEDGED.size + 4 and raw[-4:] == struct.pack("<I", zlib.crc32(raw[:-4])):
            ordinal, sequence = _ACKNOWLEDGED.unpack(raw[:-4])
            return ordinal, sequence
        return 0, 0

    # --- in

    def open_segment(self) -> None:
        """Go on in a new segment: at the start (a tail may be torn), when one is full, and after a failure."""
        header = Header(self.spool_id, self.next_sequence, continued=True)
        path = self._path(self._next_ordinal)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._write_whole(fd, pack_header(header))
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        old = self._active
        if old is not None and old.unread and self._dirty:
            os.fdatasync(self._fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._active = _Segment(self._next_ordinal, header, HEADER_BYTES, entries=deque())
        self._segments.append(self._active)
        self._bytes += FILE_BYTES
        self._next_ordinal += 1
        for segment in [s for s in self._segments if not s.unread]:
            self._let_go(segment)
        if old is not None and old is not self._segments[0]:
            old.entries = None

    def append(self, record: Record) -> None:
        """Keep a record, whose sequence is `next_sequence`, behind all others."""
        size = RECORD_BYTES + len(record.body)
        if self._active is None or (self._active.unread and self._active.size + size > self._segment_bytes):
            self.open_segment()
        while self._bytes + size > self._max_bytes and self._make_room():
            pass
        active = self._active
        if active is None or active.entries is None:  # open_segment has seen to both
            raise OSError(errno.EIO, "no segment to write to")
        try:
            self._write_whole(self._fd, pack_record(record))
        except OSError:
            # Cut the torn record off, so that the file stays sound; a reader would pass over it anyway.
            os.ftruncate(self._fd, active.size)
            raise
        crc = checksum(record.flags, record.sequence, record.body)
        offset = active.size + RECORD_BYTES
        active.entries.append(Entry(record.flags, record.sequence, offset, len(record.body), crc))
        self._bytes += max(FILE_BYTES, active.size + size) - max(FILE_BYTES, active.size)
        active.size += size
        active.unread += 1
        active.readings = active.readings or bool(record.flags & HAS_READINGS)
        self.next_sequence = record.sequence + 1
        self._dirty = True

    def adopt(self, spool_id: str, records: Sequence[Record]) -> None:
        """Keep records that were numbered elsewhere, behind all others: all of them or, on OSError, none."""
        size = HEADER_BYTES + sum(RECORD_BYTES + len(record.body) for record in records)
        while self._bytes + size > self._max_bytes and self._make_room():
            pass
        segment = _Segment(self._next_ordinal, Header(spool_id, records[0].sequence, continued=False), 0)
        self._next_ordinal += 1
        self._write_segment(segment, records)
        self._segments.append(segment)

    def _write_segment(self, segment: _Segment, records: Sequence[Record]) -> None:
        """Put a whole segment in the place of its file, or leave all as it was."""
        path = self._path(segment.ordinal)
        aside = path.with_suffix(".tmp")
        raw = pack_segment(segment.header, records)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._write_whole(fd, raw)
            os.fdatasync(fd)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        aside.rename(path)
        self._stop_reading(segment.ordinal)
        self._bytes += max(FILE_BYTES, len(raw)) - (max(FILE_BYTES, segment.size) if segment.size else 0)
        segment.size = len(raw)
        segment.unread = len(records)
        segment.readings = any(record.flags & HAS_READINGS for record in records)
        segment.entries = None

    def _write_whole(self, fd: int, data: bytes) -> None:
        written = self._write(fd, data)
        if written != len(data):
            raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")

    # --- out

    def oldest(self) -> Waiting | None:
        """The first record that is not acknowledged; what cannot be read back is counted and passed over."""
        for segment in tuple(self._segments):
            while segment.unread:
                try:
                    entries = self._entries(segment)
                    body = self._body(segment, entries[0]) if entries else b""
                except OSError as error:
                    if error.errno == errno.EMFILE:
                        raise
                    self._lose("unreadable", segment.unread)
                    self._forget(segment)
                    break
                if not entries:
                    break
                if entries[0].checksum == checksum(entries[0].flags, entries[0].sequence, body):
                    return Waiting(segment.header.spool_id, entries[0].sequence, body, segment.ordinal)
                self._lose("unreadable", 1)
                self._forget_first(segment, entries)
            self._let_go(segment)
        return None

    def acknowledge(self, waiting: Waiting) -> None:
        """Let go of a record and of those before it in its segment."""
        segment = next((s for s in self._segments if s.ordinal == waiting.ordinal), None)
        if segment is None:
            return  # dropped for room while it was under way
        entries = self._entries(segment)
        while entries and entries[0].sequence <= waiting.sequence:
            self._forget_first(segment, entries)
        segment.acknowledged = waiting.sequence
        # Never synced: an acknowledgement that is forgotten costs a repeat, which is harmless.
        raw = _ACKNOWLEDGED.pack(waiting.ordinal, waiting.sequence)
        with contextlib.suppress(OSError):
            os.pwrite(self._acknowledged_fd, raw + struct.pack("<I", zlib.crc32(raw)), 0)
        if not segment.unread:
            self._let_go(segment)
        if (
            not segment.unread
            and segment is self._active
            and segment.size >= min(ROLL_WHEN_READ_BYTES, self._segment_bytes)
        ):
            self.open_segment()

    def _entries(self, segment: _Segment) -> deque[Entry]:
        if segment.entries is None:
            entries, _ = parse(self._path(segment.ordinal).read_bytes())
            segment.entries = deque(e for e in entries if e.sequence > segment.acknowledged)
            if len(segment.entries) < segment.unread:
                self._lose("unreadable", segment.unread - len(segment.entries))
            segment.unread = len(segment.entries)
        return segment.entries

    def _body(self, segment: _Segment, entry: Entry) -> bytes:
        if segment is self._active and self._fd >= 0:
            return os.pread(self._fd, entry.length, entry.offset)
        if self._reading[0] != segment.ordinal:
            self._stop_reading(self._reading[0])
            self._reading = (segment.ordinal, os.open(self._path(segment.ordinal), os.O_RDONLY | os.O_CLOEXEC))
        return os.pread(self._reading[1], entry.length, entry.offset)

    def _stop_reading(self, ordinal: int) -> None:
        if self._reading[0] == ordinal and self._reading[1] >= 0:
            os.close(self._reading[1])
            self._reading = (-1, -1)

    @staticmethod
    def _forget_first(segment: _Segment, entries: deque[Entry]) -> None:
        entries.popleft()
        segment.unread -= 1

    @staticmethod
    def _forget(segment: _Segment) -> None:
        segment.entries = deque()
        segment.unread = 0

    def _let_go(self, segment: _Segment) -> None:
        """Remove a segment that has nothing to send, unless later ones are to count on from it."""
        if self._active is not None and segment is not self._active:
            self._remove(segment)

    def _remove(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        self._bytes -= max(FILE_BYTES, segment.size)
        self._stop_reading(segment.ordinal)
        # A file that cannot be removed now is removed at the next start: all in it is acknowledged.
        with contextlib.suppress(OSError):
            self._path(segment.ordinal).unlink(missing_ok=True)

    # --- room

    def _make_room(self) -> bool:
        """Drop the oldest readings, or, where there are none, the oldest events. False: there is nothing to drop."""
        if len(self._segments) == 1 and self._active is not None and self._active.unread:
            self.open_segment()
        old = [s for s in self._segments if s is not self._active]
        if not old:
            return False
        with_readings = next((s for s in old if s.readings), None)
        if with_readings is not None and self._keep_events(with_readings):
            return True
        victim = with_readings or old[0]
        self._lose("full", victim.unread)
        self._remove(victim)
        return True

    def _keep_events(self, segment: _Segment) -> bool:
        """Rewrite a segment without its readings; False where that cannot be done."""
        kept: list[Record] = []
        dropped = stripped = 0
        try:
            for entry in tuple(self._entries(segment)):
                body = self._body(segment, entry)
                if entry.flags & HAS_READINGS and not entry.flags & HAS_EVENTS:
                    dropped += 1
                    continue
                if entry.flags & HAS_READINGS:
                    batch = decode(body)
                    body = encode(msgspec.structs.replace(batch, tables=(), facts=(), subjects=()))
                    stripped += 1
                kept.append(Record(HAS_EVENTS, entry.sequence, body))
            if kept:
                self._write_segment(segment, kept)
        except (OSError, GiveUp):
            return False
        if not kept:
            self._remove(segment)
        self._lose("full", dropped)
        self._lose("readings_dropped", stripped)
        return True

    def _lose(self, cause: str, count: int) -> None:
        if count:
            self._losses[cause] += count

    # --- platter and end

    def files_to_sync(self) -> tuple[int, ...]:
        """Copies of the files that hold what is not on the platter yet; the caller syncs and closes them."""
        if not self._dirty or self._fd < 0:
            return ()
        self._dirty = False
        return os.dup(self._fd), os.dup(self._folder)

    def close(self) -> None:
        """Let go of all files and of the lock."""
        for fd in (self._fd, self._acknowledged_fd, self._reading[1], self._folder):
            if fd >= 0:
                os.close(fd)
        self._fd = self._acknowledged_fd = self._folder = -1
        self._reading = (-1, -1)

    def _path(self, ordinal: int) -> Path:
        return self._directory / f"{ordinal:020d}{SUFFIX}"
