"""The agent's data directory: who may look into it, what lies where, and that one agent at a time works in it."""

import fcntl
import os
import socket
from pathlib import Path
from uuid import uuid4

import msgspec

from collectors.errors import FixConfiguration


class DataFolder:
    """Made with mode 0700 and held by a lock that the kernel drops when its holder dies."""

    def __init__(self, path: Path) -> None:
        """FixConfiguration where the folder cannot be used or another agent works in it."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.stat().st_mode & 0o077:
                path.chmod(0o700)
            self._lock = os.open(path / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FixConfiguration(f"data directory {path}: {error.strerror}; name another with --data") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise FixConfiguration(f"data directory {path}: another agent works in it; stop that one first") from None

    @property
    def token(self) -> Path:
        """The command line's token, mode 0600."""
        return self.path / "token"

    @property
    def ingest_log(self) -> Path:
        """Folder of what was acknowledged lately."""
        return self.path / "ingest"

    @property
    def checkpoint(self) -> Path:
        """How far the ingest log has been worked through."""
        return self.path / "checkpoint"

    @property
    def store_url(self) -> str:
        """The store, where the settings name no other."""
        return f"sqlite:///{self.path.resolve() / 'watchstander.db'}"

    @property
    def agent_name(self) -> str:
        """Of whoever works in this folder, the same after a restart; made up where there is none. What the store knows
        the last leader by."""
        path = self.path / "agent-name"
        try:
            known = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            known = ""
        if not known:
            known = f"{socket.gethostname()[:40]}-{uuid4().hex[:12]}"
            write_file(path, known.encode("ascii", "replace"))
        return known

    def write_address(self, url: str) -> None:
        """`agent.json`: how commands on this machine find the agent."""
        write_file(self.path / "agent.json", msgspec.json.encode({"address": url}))

    def forget_address(self) -> None:
        """The agent has stopped."""
        (self.path / "agent.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Let another agent in."""
        os.close(self._lock)


def write_file(path: Path, content: bytes) -> None:
    """Put a small file in place in one step: who waits for it never sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.rename(path)
