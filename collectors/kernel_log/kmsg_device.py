"""Follows /dev/kmsg without ever waiting for it."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from collectors.errors import FixConfiguration, RetryLater
from collectors.kernel_log.parser import KernelLogParser
from collectors.model import Event

_BUFFER_BYTES = 64 * 1024
"""A record and its tags are at most 8 KiB; the kernel answers EINVAL to a buffer that is too small."""
_RECORDS_PER_POLL = 4096
"""So that a flood of messages cannot hold the collector's loop; the rest waits in the ring."""


@dataclass(frozen=True, slots=True)
class KmsgPosition:
    """How far the log was read. Sequence numbers begin anew at every boot."""

    boot_id: str
    sequence: int


class KmsgDevice:
    """A `LogSource` over /dev/kmsg.

    Without a position it begins at the oldest record that the ring holds: what happened before the collector's first
    start belongs to the as-found report. With one of this boot it goes on behind it. `lost` counts the records that
    were overwritten before they could be read.
    """

    def __init__(
        self,
        parser: KernelLogParser,
        boot_id: str,
        resume: KmsgPosition | None = None,
        path: str = "/dev/kmsg",
        read: Callable[[int, int], bytes] = os.read,
    ) -> None:
        """Open the device. Raises FixConfiguration where it is not there or may not be read."""
        self.lost = 0
        self._parser = parser
        self._boot_id = boot_id
        self._sequence = resume.sequence if resume is not None and resume.boot_id == boot_id else -1
        self._path = path
        self._read = read
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FixConfiguration(
                f"cannot read the kernel log {path}: {error.strerror}; "
                "mount it into the collector and give it CAP_SYSLOG, or switch the kernel log off"
            ) from None

    def poll(self, now_ns: int) -> list[Event]:
        """Events of the records written since the last call. Raises RetryLater where the device fails."""
        events = []
        for _ in range(_RECORDS_PER_POLL):
            try:
                record = self._read(self._fd, _BUFFER_BYTES)
            except BlockingIOError:
                break
            except BrokenPipeError:
                continue  # overwritten while we were away: the next read begins at the oldest one left
            except OSError as error:
                raise RetryLater(f"the kernel log {self._path} could not be read: {error.strerror}") from None
            if not record:
                break
            if self._is_new(record) and (event := self._parser.parse(record, now_ns)) is not None:
                events.append(event)
        return events

    def position(self) -> KmsgPosition:
        """What to hand to the next `KmsgDevice` as `resume`."""
        return KmsgPosition(self._boot_id, self._sequence)

    def close(self) -> None:
        """Close the device; the object is of no further use."""
        os.close(self._fd)

    def _is_new(self, record: bytes) -> bool:
        fields = record[:64].split(b",", 2)
        if len(fields) < 3 or not fields[1].isdigit():
            return False
        sequence = int(fields[1])
        if sequence <= self._sequence:
            return False
        if self._sequence >= 0:
            self.lost += sequence - self._sequence - 1
        self._sequence = sequence
        return True
