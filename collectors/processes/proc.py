"""Reads a process from /proc. Whatever cannot be read is unknown; nothing here raises for a process's sake."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from collectors.processes.cgroup import CgroupOwner, read_owner
from collectors.processes.ranks import Ranks, read_ranks

MOST_ENVIRON_BYTES = 8 << 20
"""A longer environment than the kernel lets a program have by default (a quarter of its stack) is not read."""
MOST_STATUS_BYTES = 64 << 10
ANCESTORS = 5
"""Levels above a process in which the log may be open: launcher, its shell, srun."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for good: its number is given out again after it, its number and start time are not."""

    pid: int
    start_ticks: int
    """Clock ticks since boot."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says, of it what is needed here."""

    id: ProcessId
    comm: str
    """Name of the program, at most 15 characters. Anybody may choose it."""
    parent: int
    dead: bool
    """Ended, and not yet waited for by its parent."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process that works on a GPU."""

    id: ProcessId
    comm: str
    owner: CgroupOwner
    ranks: Ranks


def read_stat(pid: int, text: str) -> Stat | None:
    """The text of /proc/PID/stat; None where it is none. The program's name may hold blanks and brackets.

    >>> read_stat(7, "7 (a) b) S 1 " + "0 " * 17 + "900 0").id
    ProcessId(pid=7, start_ticks=900)
    """
    head, opened, rest = text.partition(" (")
    comm, closed, rest = rest.rpartition(") ")
    fields = rest.split()
    if not opened or not closed or head != str(pid) or len(fields) < 20:
        return None
    parent, start = fields[1], fields[19]
    if not (_is_figure(parent) and _is_figure(start)):
        return None
    return Stat(ProcessId(pid, int(start)), comm, int(parent), dead=fields[0] in ("Z", "X", "x"))


def _is_figure(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


class Proc:
    """A /proc, the machine's own or the host's, mounted elsewhere."""

    def __init__(self, root: str | Path = "/proc") -> None:
        self._root = str(root)

    def __str__(self) -> str:
        return self._root

    def stat(self, pid: int) -> Stat | None:
        """Who that is now; None where there is no such process."""
        raw = self._read(pid, "stat", MOST_STATUS_BYTES)
        return None if raw is None else read_stat(pid, raw.decode("utf-8", "replace"))

    def process(self, pid: int) -> Process | None:
        """A process with owner and ranks; None where it has ended, or became another one while it was read."""
        before = self.stat(pid)
        if before is None or before.dead:
            return None
        cgroup = self._read(pid, "cgroup", MOST_STATUS_BYTES)
        process = Process(
            before.id,
            before.comm,
            CgroupOwner() if cgroup is None else read_owner(cgroup.decode("utf-8", "replace")),
            self.ranks(pid) or Ranks(),
        )
        after = self.stat(pid)
        return process if cgroup is not None and after is not None and after.id == before.id else None

    def ranks(self, pid: int) -> Ranks | None:
        """By the environment the program was started with; None where that may not be read (CAP_SYS_PTRACE)."""
        environ = self._read(pid, "environ", MOST_ENVIRON_BYTES)
        return None if environ is None else read_ranks(environ)

    def read_ranks_again(self, process: Process) -> Process:
        """A process met between its fork and its exec has another's environment, or none yet."""
        ranks = self.ranks(process.id.pid)
        return process if ranks is None or not self.is_alive(process.id) else replace(process, ranks=ranks)

    def is_alive(self, process: ProcessId) -> bool:
        """Whether it is this process that now bears its number, and it has not ended."""
        stat = self.stat(process.pid)
        return stat is not None and stat.id == process and not stat.dead

    def lineage(self, pid: int) -> list[int]:
        """The process and its ancestors, nearest first, at most `ANCESTORS` of them, without init."""
        pids: list[int] = []
        while pid > 1 and pid not in pids and len(pids) <= ANCESTORS:
            pids.append(pid)
            stat = self.stat(pid)
            if stat is None:
                break
            pid = stat.parent
        return pids

    def outputs(self, pid: int, names: set[str]) -> set[tuple[int, int]]:
        """(device, inode) of the files that are its stdout and stderr, of those whose last part of the path is one of
        `names`. Others are not looked at: a file on a dead network mount would hold up whoever asks about it."""
        files: set[tuple[int, int]] = set()
        for number in (1, 2):
            link = f"{self._root}/{pid}/fd/{number}"
            try:
                if os.readlink(link).rpartition("/")[2] in names:  # noqa: PTH115 - text, as the kernel writes it
                    status = os.stat(link)  # noqa: PTH116
                    files.add((status.st_dev, status.st_ino))
            except (OSError, ValueError):
                continue
        return files

    def _read(self, pid: int, name: str, most: int) -> bytes | None:
        """None also where it is longer than `most`: half a file says what the whole may not."""
        try:
            fd = os.open(f"{self._root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        parts: list[bytes] = []
        try:
            while most >= 0 and (part := os.read(fd, min(most + 1, 1 << 18))):
                parts.append(part)
                most -= len(part)
        except OSError:
            return None
        finally:
            os.close(fd)
        return b"".join(parts) if most >= 0 else None
