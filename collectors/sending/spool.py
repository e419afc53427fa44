"""The spool: every batch lies here, in order, from the moment it is made until the agent has acknowledged it.

What it promises, and what it does not:

- A batch that `append` took survives the collector's death at any moment (kill -9 included): it is in the page cache
  before `append` returns. A torn tail costs the torn record only, and that one was never sent.
- Power cuts: the sender calls `sync` (fdatasync) when an attempt has failed, so a batch is on the platter before it
  waits for long, and a healthy node, whose batches are acknowledged within a fraction of a second, never fsyncs. A
  power cut while the agent is within reach can lose what the last second held.
- Sequence numbers go on across restarts. A spool that vanished (an emptied folder) begins anew under a new `spool_id`,
  so (node, boot id, spool id, sequence) never names two batches.
- Bounded in bytes. When full, the oldest readings go first while events stay, then the oldest events; all of it is
  counted, and `take_losses` tells it so that a `spool_lost` event can say so.
- Full or failing disk: batches are kept in memory, bounded too, under a `spool_id` of their own (numbers given out in
  memory are unknown to the disk and would be given out again after a restart). Log and losses say so.
- One process a folder, by a lock on the folder itself.

Threads: `append` on the sampling thread, `oldest`, `acknowledge` and `sync` on the sender's. One lock, and no fsync
under it but when a segment of a backlog is full.
"""

import errno
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration, GiveUp
from collectors.model import Batch
from collectors.sending.disk import Disk, Waiting, Write
from collectors.sending.memory import MemoryQueue
from collectors.sending.segment import HAS_EVENTS, HAS_READINGS, HEADER_BYTES, RECORD_BYTES, Record
from collectors.wire import encode

_LOG = logging.getLogger(__name__)

SPOOL_BYTES = 256 * 2**20
MEMORY_BYTES = 8 * 2**20
SEGMENT_BYTES = 2**20
"""A segment grows to about this; acknowledged batches are freed by whole segments."""
RETRY_DISK_SECONDS = 5.0
_SETTING_IS_WRONG = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
_IN_MEMORY = -1


class Spool:
    """Encoded batches in order, on disk, and in memory while the disk fails."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = SPOOL_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        write: Write = os.write,
    ) -> None:
        """`max_bytes` bounds the disk, `memory_bytes` what is kept while the disk fails.

        Raises FixConfiguration if the folder can never be used: no permission, no folder, in use by another process.
        A disk that is full or read-only is no such reason.
        """
        self._directory = directory
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._segment_bytes = segment_bytes
        self._monotonic = monotonic
        self._write = write
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()
        self._disk: Disk | None = None
        self._disk_works = False
        self._retry_disk_at = 0.0
        self._memory = MemoryQueue(memory_bytes)
        self._memory_id = ""
        self._memory_sequence = 0
        try:
            self._open_disk().open_segment()
            self._disk_works = True
        except OSError as error:
            if error.errno in _SETTING_IS_WRONG:
                raise FixConfiguration(
                    f"spool folder {directory}: {error.strerror}; give this user access or set spool.directory"
                ) from None
            self._disk_failed(error)

    # --- the sampling thread's side

    def append(self, batch: Batch) -> tuple[str, int]:
        """Stamp a batch with spool id and sequence number, and keep it. Returns the two.

        Raises GiveUp, and uses up no number, for a batch that cannot be encoded or that no spool of this size holds.
        """
        # Facts come again every minute, so that a batch without events is worth as much as its readings.
        flags = HAS_EVENTS if batch.events else 0
        if batch.tables or batch.facts or not flags:
            flags |= HAS_READINGS
        with self._lock:
            self._look_after_disk()
            if self._disk is not None and self._disk_works:
                spool_id, sequence = self._disk.spool_id, self._disk.next_sequence
                try:
                    self._disk.append(self._record(batch, flags, spool_id, sequence, self._max_bytes))
                except OSError as error:
                    self._disk_failed(error)
                else:
                    return spool_id, sequence
            spool_id, sequence = self._memory_id, self._memory_sequence
            self._memory.append(self._record(batch, flags, spool_id, sequence, self._memory_bytes), self._untold)
            self._memory_sequence += 1
            return spool_id, sequence

    def take_losses(self) -> Counter[str]:
        """What was lost since the last call, by cause.

        Batches: `full`, `memory_full`, `unreadable`, `vanished`; batches that lost their readings and kept their
        events: `readings_dropped`; bytes passed over at the start: `damaged_bytes`.
        """
        with self._lock:
            taken = +self._untold
            self._untold.clear()
        return taken

    # --- the sender's side

    def oldest(self) -> Waiting | None:
        """The oldest batch that waits, or None."""
        with self._lock:
            waiting = None
            if self._disk is not None:
                try:
                    waiting = self._disk.oldest()
                except OSError as error:
                    _LOG.warning("spool folder %s: cannot be read (%s)", self._directory, error)
            record = self._memory.oldest()
            if waiting is None and record is not None:  # memory is younger than everything on the disk
                waiting = Waiting(self._memory_id, record.sequence, record.body, _IN_MEMORY)
            return waiting

    def acknowledge(self, waiting: Waiting) -> None:
        """Let go of a batch that has arrived, or that was put aside."""
        with self._lock:
            if waiting.ordinal == _IN_MEMORY:
                if waiting.spool_id == self._memory_id:
                    self._memory.acknowledge(waiting.sequence)
                return
            if self._disk is not None:
                try:
                    self._disk.acknowledge(waiting)
                except OSError as error:
                    self._disk_failed(error)

    def sync(self) -> None:
        """Bring what waits to the platter; costs nothing if there is nothing new."""
        with self._lock:
            try:
                files = self._disk.files_to_sync() if self._disk is not None else ()
            except OSError:
                files = ()
        for fd in files:
            try:
                os.fsync(fd)
            except OSError as error:
                _LOG.warning("spool folder %s: fsync failed (%s)", self._directory, error)
            finally:
                os.close(fd)

    # --- both

    @property
    def spool_id(self) -> str:
        """The id that the next batch gets."""
        with self._lock:
            return self._disk.spool_id if self._disk is not None and self._disk_works else self._memory_id

    @property
    def next_sequence(self) -> int:
        """The number that the next batch gets."""
        with self._lock:
            return self._disk.next_sequence if self._disk is not None and self._disk_works else self._memory_sequence

    @property
    def waiting_batches(self) -> int:
        """How many batches are not acknowledged."""
        with self._lock:
            return len(self._memory) + (self._disk.unread if self._disk is not None else 0)

    @property
    def used_bytes(self) -> int:
        """What the spool takes on the disk."""
        with self._lock:
            return self._disk.used_bytes if self._disk is not None else 0

    @property
    def disk_works(self) -> bool:
        """Whether batches go to the disk now."""
        return self._disk_works

    def close(self) -> None:
        """Let go of the folder. What waits stays there, what is in memory is written out if the disk lets it."""
        with self._lock:
            if len(self._memory):
                self._retry_disk_at = self._monotonic()
                self._look_after_disk()
                self._untold["memory_full"] += len(self._memory)
                if len(self._memory):
                    _LOG.error("%d batches in memory are lost: the disk still fails", len(self._memory))
            if self._disk is not None:
                self._disk.close()
            self._disk, self._disk_works = None, False

    # --- the disk's health

    def _record(self, batch: Batch, flags: int, spool_id: str, sequence: int, max_bytes: int) -> Record:
        body = encode(msgspec.structs.replace(batch, spool_id=spool_id, sequence=sequence))
        if len(body) + RECORD_BYTES + HEADER_BYTES > max_bytes // 2:
            raise GiveUp(f"batch of {len(body)} bytes dropped: a spool of {max_bytes} bytes cannot hold it")
        return Record(flags, sequence, body)

    def _open_disk(self) -> Disk:
        self._disk = Disk(
            self._directory,
            max_bytes=self._max_bytes,
            segment_bytes=self._segment_bytes,
            losses=self._untold,
            write=self._write,
        )
        return self._disk

    def _look_after_disk(self) -> None:
        if self._disk is not None and self._disk_works and self._disk.vanished:
            self._untold["vanished"] += self._disk.unread
            _LOG.error("spool folder %s was emptied; going on under a new spool id", self._directory)
            self._disk.close()
            self._disk, self._disk_works = None, False
            self._start_memory()
            self._retry_disk_at = self._monotonic()
        if not self._disk_works and self._monotonic() >= self._retry_disk_at:
            self._try_disk_again()

    def _disk_failed(self, error: OSError) -> None:
        self._retry_disk_at = self._monotonic() + RETRY_DISK_SECONDS
        if self._disk_works or not self._memory_id:
            _LOG.error(
                "spool folder %s: %s; keeping at most %d bytes of batches in memory until it works again",
                self._directory,
                error.strerror or error,
                self._memory_bytes,
            )
            self._start_memory()
        self._disk_works = False

    def _start_memory(self) -> None:
        self._memory_id, self._memory_sequence = uuid.uuid4().hex, 0

    def _try_disk_again(self) -> None:
        self._retry_disk_at = self._monotonic() + RETRY_DISK_SECONDS
        try:
            disk = self._disk or self._open_disk()
            if len(self._memory):  # first: it is older than whatever comes now
                disk.adopt(self._memory_id, self._memory.records())
                self._memory.clear()
            disk.open_segment()
            self._disk_works = True
        except (OSError, FixConfiguration) as error:
            _LOG.debug("spool folder %s: still fails (%s)", self._directory, error)
        else:
            _LOG.warning("spool folder %s: works again", self._directory)
