"""Where a fleet takes requests: a Unix socket for this user alone; the kernel says who is at the other end."""

import contextlib
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.inject.control import MOST_BYTES, TIMEOUT_SECONDS, Laid, Request, socket_path
from collectors.errors import FixConfiguration

_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end (SO_PEERCRED)."""
Asked = tuple[Request, "queue.SimpleQueue[Laid]"]


class Desk:
    """Listens on a thread of its own; what is asked is handed to `take`, whose answer is waited for."""

    def __init__(self, directory: Path, take: Callable[[Asked], None]) -> None:
        """FixConfiguration where the socket cannot be made, or another fleet listens there."""
        self.path = socket_path(directory)
        self._take = take
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(self.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self.path))
        except OSError as error:
            self._listener.close()
            raise FixConfiguration(f"{self.path}: {error.strerror}; name another folder") from None
        finally:
            os.umask(before)
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT_SECONDS)
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection, contextlib.suppress(OSError):
                connection.settimeout(TIMEOUT_SECONDS)
                connection.sendall(msgspec.json.encode(self._answer(connection)) + b"\n")

    def _answer(self, connection: socket.socket) -> Laid:
        _, user, _ = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if user != os.getuid():
            return Laid(refused="this fleet belongs to another user")
        try:
            request = msgspec.json.decode(_line(connection), type=Request)
        except msgspec.MsgspecError as error:
            return Laid(refused=f"not a request that this fleet knows: {error}")
        answer: queue.SimpleQueue[Laid] = queue.SimpleQueue()
        self._take((request, answer))
        try:
            return answer.get(timeout=TIMEOUT_SECONDS / 2)
        except queue.Empty:
            return Laid(refused="the fleet is behind its clock and did not get to it; ask again")


def _line(connection: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\n") and len(said) <= MOST_BYTES:
        part = connection.recv(4096)
        if not part:
            break
        said += part
    return said


def _make_room(path: Path) -> None:
    """Take away the socket of a fleet that is no more."""
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
        try:
            there.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise FixConfiguration(f"{path}: {error.strerror}; remove it, or name another folder") from None
    raise FixConfiguration(f"{path}: another fleet listens there; end that one first")
