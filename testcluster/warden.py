"""A small process beside the control plane that ends it when its owner dies, kill -9 included.

Run as `python warden.py FOLDER` by `Processes`, with a pipe as standard input. Lines `+PID` and `-PID` say whom to look
after. When the owner is gone, all of them are killed, the stopped ones too, and FOLDER is removed. Not
PR_SET_PDEATHSIG: that fires when the starting thread ends, not the process, and test runners start things from threads.
"""

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path


def started_at(pid: int) -> str:
    """The process's start in clock ticks since boot, which tells it from a later one with its id; empty: gone."""
    try:
        # The second field, the name, may hold blanks and brackets: count from behind its last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def watch(folder: Path) -> None:
    """Until the owner is gone or closes the pipe."""
    owner = os.pidfd_open(os.getppid())
    charges: dict[int, str] = {}
    text = b""
    while True:
        ready, _, _ = select.select([0, owner], [], [])
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, text = (text + more).split(b"\n")
            for line in lines:
                pid = int(line[1:])
                if line.startswith(b"+"):
                    charges[pid] = started_at(pid)
                else:
                    charges.pop(pid, None)
        else:
            break
    for pid, start in charges.items():
        if start and started_at(pid) == start:
            os.kill(pid, signal.SIGKILL)
    _wait_until_gone(charges)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_until_gone(charges: dict[int, str]) -> None:
    """So that none writes a file into the folder while it is removed."""
    end = time.monotonic() + 10
    while time.monotonic() < end and any(started_at(pid) == start != "" for pid, start in charges.items()):
        time.sleep(0.05)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
