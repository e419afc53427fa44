"""The way to a fleet: one line of JSON each way over a Unix socket that only this user can open.

The socket lies in the data directory (mode 0700), has mode 0600, and the fleet asks the kernel who is at the other end.
"""

import contextlib
import socket
from pathlib import Path

import msgspec

from agent.inject.faults import FAULTS
from collectors.errors import FixConfiguration, GiveUp, RetryLater

SOCKET = "fleet.sock"
MOST_BYTES = 64 * 1024
TIMEOUT_SECONDS = 10.0
LONGEST_PATH = 107
"""Of a Unix socket, by the kernel."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of the fleet. Without a fault: how it stands."""

    fault: str = ""
    node: str = ""
    gpu: int = 0
    lasts_seconds: float = 0.0
    """0: as the fault has it."""


class Laid(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the fleet did, or why not."""

    at_ns: int = 0
    """By the fleet's clock."""
    said: str = ""
    """One line for people."""
    refused: str = ""
    """Why nothing was done; empty where it was."""
    job: str = ""
    """The job on the node, where there is one."""


def socket_path(directory: Path) -> Path:
    """Where the fleet of a data directory listens. FixConfiguration where no socket can have that name."""
    path = directory / SOCKET
    if len(str(path)) > LONGEST_PATH:
        raise FixConfiguration(f"{path}: longer than the {LONGEST_PATH} characters of a socket's name; move the folder")
    return path


def known(fault: str) -> str:
    """The fault's first name. FixConfiguration for one that there is not."""
    try:
        return FAULTS[fault].name
    except KeyError:
        raise FixConfiguration(f"no such fault: {fault}; there are {', '.join(FAULTS)}") from None


def ask(path: Path, request: Request) -> Laid:
    """Ask, and wait for the answer. RetryLater where no fleet listens, GiveUp where it says no."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # one that refuses us may have hung up by now: its answer is there to be read all the same
                connection.sendall(msgspec.json.encode(request) + b"\n")
            answer = _line(connection)
        except (FileNotFoundError, ConnectionRefusedError):
            raise RetryLater(
                f"no fleet listens at {path}: start one with `make cluster`, or name its folder with --fleet; "
                "docs/inject.md has more"
            ) from None
        except OSError as error:
            raise RetryLater(f"the fleet at {path}: {error.strerror or error}; ask again") from None
    try:
        laid = msgspec.json.decode(answer, type=Laid)
    except msgspec.MsgspecError:
        raise GiveUp(f"whatever listens at {path} is no fleet of this version") from None
    if laid.refused:
        raise GiveUp(laid.refused)
    return laid


def _line(connection: socket.socket) -> bytes:
    parts = b""
    while not parts.endswith(b"\n") and len(parts) <= MOST_BYTES:
        part = connection.recv(4096)
        if not part:
            break
        parts += part
    return parts
