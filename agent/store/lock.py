"""Keeps a second agent off a SQLite store: a lock on a file beside it, which the kernel drops when its holder dies."""

import fcntl
import os
import socket
from pathlib import Path

from collectors.errors import FixConfiguration


class FileLock:
    """Held from construction to `release`. FixConfiguration names who else holds it."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(self._descriptor)
            self._descriptor = None
            raise FixConfiguration(
                f"store {path.with_suffix('')} is in use by {holder}: stop that one, or give this agent its own store"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        """Let go; a second time does nothing. The file stays: removing it would let two hold a lock of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
