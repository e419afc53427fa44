"""A real agent in a process of its own, and collectors that talk to it, for the measurements that need one."""

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ingest_rate import ask, request
from collectors.model import Batch
from collectors.wire import encode


@dataclass(frozen=True)
class Running:
    """An agent that listens."""

    pid: int
    port: int
    token: str
    data: Path

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def rows(self, question: str) -> list[tuple]:
        """Ask the store beside the agent, reading only."""
        with sqlite3.connect(f"file:{self.data / 'watchstander.db'}?mode=ro", uri=True, timeout=10) as store:
            return store.execute(question).fetchall()


@contextmanager
def running(folder: Path | None = None) -> Iterator[Running]:
    """The agent as `watchstander agent` runs it, with every detector, on loopback; its data are deleted afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        data = Path(name) / "data"
        command = [sys.executable, "-m", "benchmarks.ingest_rate", "--with-watch", "--any-core", "--serve", str(data)]
        agent = subprocess.Popen(command)
        try:
            while not (Path(name) / "port").exists():
                if agent.poll() is not None:
                    raise SystemExit("the agent did not start")
                time.sleep(0.05)
            token = (data / "token").read_text().strip()
            yield Running(agent.pid, int((Path(name) / "port").read_text()), token, data)
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()


async def send(
    agent: Running, due: Iterator[tuple[float, Batch]], connections: int = 32, most_seconds: float = float("inf")
) -> list[float]:
    """Post batches, each when it is due (seconds from now); the acknowledgements' latencies, counted from then.

    After `most_seconds` no more are sent: an agent that cannot keep up ends the measurement too. A refusal ends it at
    once: what a real collector would send again would blur what is measured.
    """
    latencies: list[float] = []
    began = time.perf_counter()
    lock = asyncio.Lock()
    numbered = itertools.chain(due)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        while True:
            async with lock:  # in order: whoever is free takes the next that is due
                late = time.perf_counter() - began > most_seconds
                item = None if late else next(numbered, None)
                if item is not None:
                    await asyncio.sleep(max(0.0, began + item[0] - time.perf_counter()))
            if item is None:
                break
            status = await ask(reader, writer, request(encode(item[1]), agent.token))
            if status != 200:
                raise SystemExit(f"the agent answered {status}")
            latencies.append(time.perf_counter() - began - item[0])
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return latencies
