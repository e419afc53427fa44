"""The demo's processes: an agent of its own on a free loopback port, and a collector that plays a recording to it."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.cli.client import AgentClient, read_token
from collectors.errors import GiveUp, RetryLater

START_S = 60.0
"""A cold start compiles and migrates; on two slow cores it takes 3 s."""
_COMMAND = (sys.executable, "-m", "agent.cli.main")


@contextmanager
def running_agent(data: Path) -> Iterator[AgentClient]:
    """An agent over `data` for as long as the block lasts; its log goes to `data`/agent.log."""
    port_file, log_path = data / "port", data / "agent.log"
    port_file.unlink(missing_ok=True)
    command = [*_COMMAND, "agent", "--data", str(data), "--listen", "127.0.0.1:0", "--port-file", str(port_file)]
    with log_path.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield _connected(process, port_file, data / "token", log_path)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _connected(process: "subprocess.Popen[bytes]", port_file: Path, token: Path, log: Path) -> AgentClient:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise GiveUp(f"the agent ended at its start with code {process.returncode}: {last[0]}")
        if port_file.exists() and port_file.read_text().strip() and token.exists():
            return AgentClient(f"http://127.0.0.1:{int(port_file.read_text())}", read_token(token))
        time.sleep(0.05)
    raise RetryLater(f"the agent did not start within {START_S:.0f} s; see {log}")


def play(client: AgentClient, token: Path, recording: Path, cluster: str, speed: float, log: Path) -> Iterator[float]:
    """Play a recording into the agent through a collector process; yields the share played, at least twice a second."""
    command = [*_COMMAND, "collect", "--recording", str(recording), "--speed", f"{speed:g}", "--cluster", cluster]
    command += ["--agent", client.address, "--token-file", str(token), "--progress-json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        if process.stdout is None:
            raise GiveUp("the collector's output cannot be read")
        share = 0.0
        try:
            while True:
                ready, _, _ = select.select([process.stdout], [], [], 0.5)
                if ready:
                    line = process.stdout.readline()
                    if not line:
                        break
                    share = _share(line, share)
                yield share
            if process.wait(60) != 0:
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
                raise GiveUp(f"the collector ended with code {process.returncode}: {last[0]}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
            process.stdout.close()


def _share(line: bytes, before: float) -> float:
    try:
        told = json.loads(line)
        return max(before, min(1.0, float(told["played_s"]) / max(float(told["total_s"]), 1e-9)))
    except (ValueError, KeyError, TypeError):
        return before
