"""The format of one spool file: a header, then records, each with its length and checksum.

A segment is only ever appended to. A crash may tear its tail and a power cut may leave a hole of zeros; `parse` keeps
every record whose checksum holds and says how many bytes it passed over.

Why segments and not a file a batch: an append costs 3 us of CPU against 79 us for write and rename, and a day's
backlog takes 27 MB in 27 files against 81 MB in 17,000 (measured on ext4 with batches of 1.4 kB).
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

_HEADER = struct.Struct("<8sB7xQ32s")
_RECORD = struct.Struct("<4sB3xIIQ")
_MAGIC = b"WSSPOOL1"
_RECORD_MAGIC = b"\xf7WSb"

HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size

HAS_READINGS = 1
HAS_EVENTS = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says about itself. `continued`: later segments go on counting from its last sequence number."""

    spool_id: str
    first_sequence: int
    continued: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One encoded batch. `flags` tell what is in it without unpacking."""

    flags: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a record lies in its segment; `offset` is that of its body."""

    flags: int
    sequence: int
    offset: int
    length: int
    checksum: int


def pack_header(header: Header) -> bytes:
    """The first HEADER_BYTES of a segment."""
    return _HEADER.pack(_MAGIC, header.continued, header.first_sequence, header.spool_id.encode("ascii"))


def parse_header(raw: bytes) -> Header | None:
    """The header, or None where these bytes are no segment."""
    if len(raw) < HEADER_BYTES:
        return None
    magic, continued, first_sequence, spool_id = _HEADER.unpack_from(raw)
    if magic != _MAGIC or not spool_id.isalnum():
        return None
    return Header(spool_id.decode("ascii"), first_sequence, bool(continued))


def checksum(flags: int, sequence: int, body: bytes) -> int:
    """CRC-32 over flags, sequence number and body."""
    return zlib.crc32(body, zlib.crc32(struct.pack("<BQ", flags, sequence)))


def pack_record(record: Record) -> bytes:
    """RECORD_BYTES of header and the body."""
    crc = checksum(record.flags, record.sequence, record.body)
    return _RECORD.pack(_RECORD_MAGIC, record.flags, len(record.body), crc, record.sequence) + record.body


def pack_segment(header: Header, records: Iterable[Record]) -> bytes:
    """A whole segment."""
    return b"".join([pack_header(header), *map(pack_record, records)])


def parse(raw: bytes) -> tuple[list[Entry], int]:
    """The sound records of a whole segment, header included, and how many bytes had to be passed over."""
    entries: list[Entry] = []
    offset = HEADER_BYTES
    passed_over = 0
    while offset < len(raw):
        entry = _entry_at(raw, offset)
        if entry is not None:
            entries.append(entry)
            offset = entry.offset + entry.length
            continue
        following = raw.find(_RECORD_MAGIC, offset + 1)
        following = len(raw) if following < 0 else following
        passed_over += following - offset
        offset = following
    return entries, passed_over


def _entry_at(raw: bytes, offset: int) -> Entry | None:
    if len(raw) - offset < RECORD_BYTES:
        return None
    magic, flags, length, crc, sequence = _RECORD.unpack_from(raw, offset)
    start = offset + RECORD_BYTES
    if magic != _RECORD_MAGIC or length > len(raw) - start:
        return None
    if crc != checksum(flags, sequence, raw[start : start + length]):
        return None
    return Entry(flags, sequence, start, length, crc)
