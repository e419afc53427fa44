"""Starts, asks and ends the NVML child, and never waits for it longer than it is told."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, cast

import msgspec

from collectors.gpu.nvml_frames import OutOfStep, frame, take
from collectors.gpu.nvml_words import Word, read_word

CHILD_COMMAND = (sys.executable, "-I", "-m", "collectors.gpu.nvml_child")
CLOSE_SECONDS = 1.0


class NvmlProcess:
    """One child process and the pipes to it. `alive` turns False for good when it has ended or made no sense."""

    def __init__(self, command: Sequence[str] = CHILD_COMMAND) -> None:
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, close_fds=True
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._input.fileno(), False)
        os.set_blocking(self._output.fileno(), False)
        self._heard = bytearray()
        self.alive = True
        self.pid = self._process.pid

    def ask(self, number: int, metrics: tuple[str, ...]) -> None:
        """Send one question. At most one is under way, so that the pipe cannot fill."""
        question = frame(msgspec.json.encode({"id": number, "metrics": metrics}))
        try:
            if os.write(self._input.fileno(), question) != len(question):
                self.alive = False
        except (BlockingIOError, BrokenPipeError):
            self.alive = False

    def hear(self, wait_seconds: float) -> list[Word]:
        """What the child has said, waiting at most so long for the first word; empty where it says nothing."""
        if not self.alive:
            return []
        deadline = time.monotonic() + wait_seconds
        while True:
            words = self._words()
            if words or not self.alive:
                return words
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._output], [], [], left)
            if not ready:
                return []
            more = os.read(self._output.fileno(), 1 << 16)
            if not more:
                self.alive = False
                return []
            self._heard += more

    def _words(self) -> list[Word]:
        words: list[Word] = []
        try:
            while (body := take(self._heard)) is not None:
                words.append(read_word(body))
        except (OutOfStep, msgspec.DecodeError, RecursionError):
            # Something else than the child wrote into its output. Nothing after it can be trusted.
            self.alive = False
        return words

    def kill(self) -> None:
        """Ask the kernel to end it; a process that sleeps in the driver ends later, or never. Does not wait."""
        self.alive = False
        self._close_pipes()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def retire(self) -> None:
        """Let it end by itself: its input ends."""
        self.alive = False
        self._close_pipes()

    def gone(self) -> bool:
        """Whether the process has ended; reaps it. Never waits."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End it at our own end: a word first, then the kernel's, never a wait without an end."""
        self.retire()
        for _ in range(2):
            try:
                self._process.wait(CLOSE_SECONDS)
                return
            except subprocess.TimeoutExpired:
                self.kill()

    def _close_pipes(self) -> None:
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()
