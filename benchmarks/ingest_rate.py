"""How many batches a second one agent takes in, with every acknowledgement on disk.

    python -m benchmarks.ingest_rate [--seconds 10] [--connections 64] [--rate 1000] [--with-watch]

The agent runs in a process of its own on one core, the load on another, over kept-alive connections, each the collector
of one node: batches of 8 GPUs x 25 metrics x 2 looks (400 samples). First as fast as answers come, then at a fixed rate
(1,000 a second are 5,000 nodes every 5 s), where the time from the moment a request was due counts, so that a server
that stalls cannot hide it. Without `--with-watch` batches are decoded, logged, flushed, acknowledged and handed to a
watch that does nothing: what ingest itself costs.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.rows import table
from collectors.model import CATALOGUE, Batch, MetricType, Origin, Subject, SubjectKind, Table
from collectors.wire import encode

GPUS, METRICS, LOOKS = 8, 25, 2
SAMPLES = GPUS * METRICS * LOOKS
CORES = sorted(os.sched_getaffinity(0))
"""Those that this process may use: the agent gets the first, the load the last."""


class NoWatch:
    """Takes everything and says nothing."""

    def receive(self, batch, received_ns: int) -> None:
        """Nothing."""

    def tick(self, now_ns: int):
        """Nothing."""
        from agent.watch import Changes

        return Changes()

    advance = tick


def serve(data: Path, with_watch: bool, one_core: bool) -> None:
    """The agent, in its own process."""
    from agent.server.serve import run
    from agent.settings import ListenSettings, Settings

    if one_core:
        os.sched_setaffinity(0, {CORES[0]})
    sys.setswitchinterval(0.0005)
    settings = Settings(listen=ListenSettings("127.0.0.1:0"))
    make_watch = None if with_watch else lambda _origin, _cluster: NoWatch()
    run(settings, data, make_watch=make_watch, port_file=data.parent / "port", announce=lambda _: None, routes=[])


def bodies(node: int, count: int, first: int) -> list[bytes]:
    """`count` batches of one node, numbered from `first`."""
    cluster, names = "bench", [m.name for m in CATALOGUE.values() if m.type is MetricType.GAUGE][:METRICS]
    here = Subject(cluster, SubjectKind.NODE, f"node-{node}")
    subjects = (here, *(Subject(cluster, SubjectKind.GPU, f"gpu-{node}-{n}") for n in range(GPUS)))
    chance = np.random.default_rng(node)
    made = []
    for sequence in range(first, first + count):
        now = time.time_ns() + sequence * 5 * 10**9 // 1000
        values = np.round(chance.normal(0.9, 0.02, (LOOKS, len(names), GPUS)), 3).astype("<f4")
        table = Table(tuple(names), tuple(range(1, GPUS + 1)), (now - 10**9, now), values.tobytes())
        made.append(encode(Batch(1, Origin.LIVE, here, "boot", "spool", sequence, now, subjects, tables=(table,))))
    return made


def request(body: bytes, token: str) -> bytes:
    """The whole HTTP request."""
    head = (
        f"POST /v1/batch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
        f"content-encoding: zstd\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> int:
    """One request; its status."""
    writer.write(raw)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def closed_loop(port: int, requests: list[list[bytes]], seconds: float) -> tuple[int, float, list[float]]:
    """Each connection asks again as soon as it has its answer; answers, seconds, latencies."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def one(mine: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for raw in mine:
            if time.perf_counter() - began > seconds:
                break
            asked = time.perf_counter()
            status = await ask(reader, writer, raw)
            assert status == 200, status
            latencies.append(time.perf_counter() - asked)
        writer.close()

    await asyncio.gather(*(one(mine) for mine in requests))
    return len(latencies), time.perf_counter() - began, latencies


async def fixed_rate(port: int, requests: list[list[bytes]], rate: float) -> tuple[int, float, list[float]]:
    """Requests due at even distances; latency counts from when they were due."""
    latencies: list[float] = []
    connections = len(requests)
    began = time.perf_counter() + 0.5

    async def one(index: int, mine: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn, raw in enumerate(mine):
            due = began + (turn * connections + index) / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status = await ask(reader, writer, raw)
            assert status == 200, status
            latencies.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(one(index, mine) for index, mine in enumerate(requests)))
    return len(latencies), time.perf_counter() - began, latencies


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(answers: int, seconds: float, latencies: list[float], cpu: float) -> dict[str, str]:
    """Of one run."""
    p50, p99, worst = (float(np.percentile(latencies, q)) * 1e3 for q in (50, 99, 100))
    return {
        "batches a second": f"{answers / seconds:,.0f}",
        "samples a second": f"{answers * SAMPLES / seconds / 1e6:.2f} million",
        "acknowledgement p50": f"{p50:.1f} ms",
        "acknowledgement p99": f"{p99:.1f} ms",
        "acknowledgement, worst": f"{worst:.0f} ms",
        "agent's CPU": f"{cpu / seconds:.0%} of a core",
        "agent's CPU a batch": f"{cpu / answers * 1e6:.0f} us",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--folder", type=Path, help="where the ingest log goes: a real disk, please")
    parser.add_argument("--with-watch", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--any-core", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.with_watch, not args.any_core)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        data = Path(folder) / "data"
        command = [sys.executable, "-m", "benchmarks.ingest_rate", "--serve", str(data)]
        agent = subprocess.Popen(command + (["--with-watch"] if args.with_watch else []))
        try:
            while not (Path(folder) / "port").exists():
                if agent.poll() is not None:
                    raise SystemExit("the agent did not start")
                time.sleep(0.05)
            os.sched_setaffinity(0, {CORES[-1]})
            measure(args, agent.pid, int((Path(folder) / "port").read_text()), (data / "token").read_text().strip())
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()


def measure(args: argparse.Namespace, pid: int, port: int, token: str) -> None:
    """Both runs."""
    many = int(args.seconds * 8000 / args.connections)
    few = int(args.seconds * args.rate / args.connections)
    as_fast = [[request(body, token) for body in bodies(node, many, 0)] for node in range(args.connections)]
    steady = [[request(body, token) for body in bodies(node, few, many)] for node in range(args.connections)]
    size = sum(len(raw) for raw in as_fast[0]) // many
    runs = {}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        before = cpu_seconds(pid)
        result = runner.run(closed_loop(port, as_fast, args.seconds))
        runs["as fast as it goes"] = figures(*result, cpu_seconds(pid) - before)
        before = cpu_seconds(pid)
        result = runner.run(fixed_rate(port, steady, args.rate))
        runs[f"{args.rate:,.0f} a second"] = figures(*result, cpu_seconds(pid) - before)
    about = f"{SAMPLES} samples a batch, {size} bytes a request, {args.connections} connections"
    for row in table(about, {f"{run}: {what}": said for run, told in runs.items() for what, said in told.items()}):
        print(row)


if __name__ == "__main__":
    main()
