"""A bundle: everything around one incident in one file, a zip archive whose members make a recording of batches.

| member | what | at most |
| --- | --- | --- |
| `meta.json` | format, version, incident, cluster, times, what could not be had | 1 MiB |
| `batches.wsb` | every batch, as `collectors.recording.batches` writes them; stored, never compressed a second time | |
| `inventory.csv`, `inventory.json` | racks, domains and pools by node; what the cluster's API said | 64 MiB |
| `incident.json`, `events.jsonl` | what the agent made of it, for people | 64 MiB |

A bundle comes from somebody else, so everything about it is hostile: nothing is ever unpacked to disk, no path of the
archive is ever used, members that no bundle has are refused by name, sizes are checked before and while reading, and
nothing in it is a program (a pickle is refused unopened).
"""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import msgspec

from collectors.errors import FixConfiguration
from collectors.recording.batches import FILE, META, BatchRecording

FORMAT = "watchstander bundle"
VERSION = 1
INVENTORY_CSV = "inventory.csv"
INVENTORY_JSON = "inventory.json"
INCIDENT = "incident.json"
EVENTS = "events.jsonl"
_MIB = 2**20
SMALL = {META: _MIB, INVENTORY_CSV: 64 * _MIB, INVENTORY_JSON: 64 * _MIB, INCIDENT: 64 * _MIB, EVENTS: 64 * _MIB}
"""Members that are read whole, and the most that they may hold."""
MOST_MEMBERS = len(SMALL) + 1

_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
_LOCAL = struct.Struct("<4s22sHH")
"""Of a member's own header: magic, what the index says as well, lengths of its name and of what follows it."""
_LONGEST_COMMENT = 65_535
_LARGEST_INDEX = 64 * 1024
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError)
"""What `zipfile` raises for archives that are not what they say."""


class _About(msgspec.Struct):
    """What is asked of `meta.json` first."""

    format: str = ""
    version: int = 0
    incident: str = ""
    missing: list[str] = []


class Bundle(BatchRecording):
    """Reads such a file; `play` as of a recording of batches."""

    def __init__(self, path: Path) -> None:
        """Raises FixConfiguration, one line with the file's name, for everything that is no whole, sound bundle."""
        self.path = path
        _look(path)
        self._archive = self._opened()
        self._members = self._checked()
        about = self._about()
        self.incident = about.incident
        """Id of the incident that it was made for."""
        self.missing = about.missing
        """What could not be had when it was made, one line each."""
        super().__init__(path)

    def place_of(self, name: str) -> str:
        """How people find one of its members."""
        return f"{self.path}: {name}"

    def small(self, name: str) -> bytes | None:
        """One of its small members, whole; None where it has none. FixConfiguration: damaged, or too large."""
        if name not in self._members:
            return None
        most = SMALL[name]
        try:
            with self._archive.open(name) as file:
                data = file.read(most + 1)
        except (*_BROKEN, OSError) as error:
            raise self._refused(f"{name} is damaged ({_one_line(error)}); fetch it again") from None
        if len(data) > most:
            raise self._refused(f"{name} unpacks to more than {most // _MIB} MiB: refused")
        return data

    def open_batches(self) -> IO[bytes]:
        """Past the archive's own checksum, which covers all or nothing: each batch bears one."""
        info = self._members[FILE]
        try:
            file = self.path.open("rb")
            file.seek(info.header_offset)
            head = file.read(_LOCAL.size)
            if len(head) == _LOCAL.size:
                magic, _, name, extra = _LOCAL.unpack(head)
                if magic == b"PK\x03\x04" and file.read(name) == FILE.encode():
                    file.seek(extra, 1)
                    return io.BufferedReader(_Part(file, info.file_size))
            file.close()
        except OSError as error:
            raise self._refused(f"cannot be read ({error.strerror})") from None
        raise self._refused(f"{FILE} is not where the index says; fetch it again")

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (*_BROKEN, OSError) as error:
            raise self._refused(f"is cut or damaged ({_one_line(error)}); fetch it again") from None

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            name = info.filename
            if name != FILE and name not in SMALL:
                raise self._refused(f"holds {name[:80]!r}, which no bundle has; nothing of it was opened")
            if name in members:
                raise self._refused(f"holds {name} twice; nothing of it was opened")
            if info.flag_bits & 0x1:
                raise self._refused(f"{name} is encrypted; no bundle is")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self._refused(f"{name} is packed in a way that no bundle is ({info.compress_type})")
            if name == FILE and (info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size):
                raise self._refused(f"{name} is compressed; in a bundle it is stored as it is")
            if name in SMALL and info.file_size > SMALL[name]:
                raise self._refused(
                    f"{name} says that it unpacks to {info.file_size:,} bytes, at most {SMALL[name]:,} are read"
                )
            members[name] = info
        for name in (META, FILE):
            if name not in members:
                raise self._refused(f"holds no {name}, so it is no bundle")
        return members

    def _about(self) -> _About:
        try:
            about = msgspec.json.decode(self.small(META) or b"", type=_About)
        except (ValueError, RecursionError) as error:
            raise self._refused(f"{META} cannot be read ({_one_line(error)})") from None
        if about.format != FORMAT:
            raise self._refused(f"{META} does not say {FORMAT!r}, so it is no bundle")
        if about.version != VERSION:
            side = "watchstander" if about.version > VERSION else "the bundle: make it anew"
            raise self._refused(f"is a bundle of version {about.version}, this reads {VERSION}; upgrade {side}")
        return about

    def _refused(self, what: str) -> FixConfiguration:
        return FixConfiguration(f"{self.path}: {what}")


class _Part(io.RawIOBase):
    """The next bytes of a file, and no more."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size, self._left = file, size, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # any buffer, as a memoryview here
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def tell(self) -> int:
        return self._size - self._left

    def close(self) -> None:
        self._file.close()
        super().close()


def _look(path: Path) -> None:
    """Before anything reads it as an archive: is it a file, what kind, and is its index of a bundle's size?"""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FixConfiguration(f"{path}: is neither a folder nor a plain file: name a recording or a bundle")
        with path.open("rb") as file:
            head = file.read(4)
            size = file.seek(0, 2)
            file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
            tail = file.read()
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror})") from None
    if head[:1] == b"\x80":
        raise FixConfiguration(f"{path}: is a pickle, which is a program: never opened; bundles are zip archives")
    if head != b"PK\x03\x04":
        raise FixConfiguration(f"{path}: is no bundle (it does not begin as a zip archive does)")
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) < at + _END.size:
        raise FixConfiguration(f"{path}: is cut off (its index, at the end, is missing); fetch it again")
    _, _, _, _, members, index_bytes, _, _ = _END.unpack_from(tail, at)
    if members > MOST_MEMBERS or index_bytes > _LARGEST_INDEX:
        raise FixConfiguration(
            f"{path}: its index has {members} members in {index_bytes:,} bytes, a bundle has at most {MOST_MEMBERS}"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
