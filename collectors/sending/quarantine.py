"""Batches that the agent refused for good, put aside with the reason beside them, so that the next can go on.

Each is two files, `<when>-<spool id>-<sequence>.batch` (the body as it was sent) and the same name with `.reason`
(one line of text). Bounded in bytes and in number; the oldest go first.
"""

import logging
import os
from pathlib import Path

from collectors.sending.disk import Waiting

_LOG = logging.getLogger(__name__)

QUARANTINE_BYTES = 32 * 2**20
QUARANTINE_BATCHES = 1_000
BATCH_SUFFIX = ".batch"
REASON_SUFFIX = ".reason"


class Quarantine:
    """A folder of refused batches. A disk that fails costs the copy, never the way on."""

    def __init__(
        self, directory: Path, *, max_bytes: int = QUARANTINE_BYTES, max_batches: int = QUARANTINE_BATCHES
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_batches = max_batches
        self.refused = 0
        """Batches refused for good since the start, kept or not."""

    def put(self, waiting: Waiting, reason: str, now_ns: int) -> None:
        """Put one aside. `reason` is one line, `now_ns` Unix ns."""
        self.refused += 1
        path = self._directory / f"{now_ns:020d}-{waiting.spool_id}-{waiting.sequence}{BATCH_SUFFIX}"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if len(waiting.body) <= self._max_bytes:
                _write(path.with_suffix(REASON_SUFFIX), reason.encode("utf-8", "replace") + b"\n")
                _write(path, waiting.body)
            self._make_room()
        except OSError as error:
            _LOG.error("quarantine %s: %s; a refused batch was dropped without a copy", self._directory, error.strerror)

    def batches(self) -> list[Path]:
        """The bodies that lie here, oldest first."""
        return sorted(self._directory.glob(f"*{BATCH_SUFFIX}"))

    def _make_room(self) -> None:
        sizes = {path: path.stat().st_size for path in self.batches()}
        total = sum(sizes.values())
        for number, (path, size) in enumerate(sizes.items()):
            if len(sizes) - number <= self._max_batches and total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            path.with_suffix(REASON_SUFFIX).unlink(missing_ok=True)
            total -= size


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) != len(data):
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)
