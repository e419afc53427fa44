"""Processes of a test cluster: each with a log file, ended by its id, also when their owner dies."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from collectors.errors import GiveUp
from testcluster import warden

TAIL_BYTES = 3000
"""How much of a log an error shows."""
PORTS = range(20_000, 30_000)
"""Below what kernels hand out by themselves, and below a cluster's node ports."""
TRIES = 100


def free_port() -> int:
    """A port of loopback that nobody listens on now.

    Not one that the kernel hands out by itself (from 32768 on Linux): any connection that goes out may take such a one
    before the process that it is meant for has bound it.
    """
    for _ in range(TRIES):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise GiveUp(f"no free port found among {PORTS.start} to {PORTS.stop - 1} in {TRIES} tries")


class Warden:
    """Ends its charges when we die; see warden.py."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-I", str(warden.__file__), str(folder)]
        # A session of its own: Ctrl-C goes to us, and we end the others in order.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)

    def tell(self, line: str) -> None:
        """`+PID` or `-PID`."""
        pipe = self._pipe()
        pipe.write(f"{line}\n".encode())

    def dismiss(self) -> None:
        """It ends what it still looks after, and removes the folder."""
        self._pipe().close()
        self._process.wait(timeout=30)

    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        return self._process.stdin


class Component:
    """One process of the cluster, which can be stopped, paused and started again with the same arguments."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, warden: Warden, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._warden = warden
        self._environment = dict(environment) if environment is not None else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """None where it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """GiveUp where it runs already."""
        if self._process is not None:
            raise GiveUp(f"{self.name} runs already, as process {self._process.pid}")
        environment = {**os.environ, **self._environment} if self._environment is not None else None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.log.parent,
                start_new_session=True,
            )
        self._warden.tell(f"+{self._process.pid}")

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL where that does not end it in time. Nothing where it does not run."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGCONT)  # a paused one would not see the SIGTERM
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._forget(process)

    def kill(self) -> None:
        """SIGKILL: as in a crash."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._forget(process)

    def alive(self) -> bool:
        """Whether it runs, and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._running().send_signal(signal.SIGCONT)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Until `ready`; GiveUp with the end of the log where it ends before, or takes longer."""
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise GiveUp(f"{self.name} was not ready within {seconds:.0f} s; {self.tail()}")
            time.sleep(0.05)

    def check(self) -> None:
        """GiveUp with the end of the log where it has ended by itself."""
        process = self._running()
        code = process.poll()
        if code is not None:
            self._forget(process)
            raise GiveUp(f"{self.name} ended with exit code {code}; {self.tail()}")

    def tail(self) -> str:
        """Where its log lies, and its end."""
        try:
            text = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        except FileNotFoundError:
            text = ""
        return f"the end of {self.log}:\n{text or '(empty)'}"

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise GiveUp(f"{self.name} does not run")
        return self._process

    def _forget(self, process: "subprocess.Popen[bytes]") -> None:
        self._warden.tell(f"-{process.pid}")
        self._process = None
