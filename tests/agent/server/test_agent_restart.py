"""What was acknowledged survives: clean stops, kill -9 at any moment, a full disk."""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from running_agent import RunningAgent, SmallWatch, make_batch, numbered_event, wait_for

from agent.server.checkpoint import load_checkpoint
from agent.settings import Settings, StoreSettings
from agent.store.store import open_store
from collectors.errors import FixConfiguration
from collectors.model import EventKind, Origin
from collectors.wire import encode

pytestmark = pytest.mark.slow

KIND = EventKind.EVALUATION_END
"""Kept in the store and of no interest to detectors."""


def stored_numbers(data: Path) -> list[int]:
    store = open_store(f"sqlite:///{data / 'watchstander.db'}", create=False)
    try:
        events = store.events(since_ns=0, until_ns=2**63 - 1, kinds=[KIND], limit=1_000_000)
        return sorted(int(event.values["step"]) for event in events)
    finally:
        store.close()


def test_a_clean_stop_stores_everything_and_a_start_repeats_nothing(running: RunningAgent) -> None:
    for number in range(10):
        running.send(make_batch(number, events=(numbered_event(number, time.time_ns(), KIND),)))
    running.watches[Origin.LIVE, "prod"].advance(0)
    running.stop()

    first = running.watches.pop((Origin.LIVE, "prod"))
    assert [batch.sequence for batch, _ in first.received] == list(range(10))
    running.start()
    assert running.send(make_batch(3))[1]["duplicate"] is True
    # What the last tick has not seen goes through the watch again; SmallWatch ticks every 5 s, so most of it.
    wait_for(lambda: running.metric("watchstander_ready") == 1, "an agent that is ready")
    again = [batch.sequence for batch, _ in running.watches.get((Origin.LIVE, "prod"), SmallWatch()).received]
    assert again == sorted(set(again))


def test_batches_keep_their_receive_times_over_a_restart(running: RunningAgent) -> None:
    for number in range(5):
        running.send(make_batch(number))
    wait_for(lambda: len(running.watches[Origin.LIVE, "prod"].received) == 5, "all batches")
    before = {batch.sequence: ns for batch, ns in running.watches.pop((Origin.LIVE, "prod")).received}
    running.stop()
    running.start()
    wait_for(lambda: running.metric("watchstander_ready") == 1, "an agent that is ready")

    after = {batch.sequence: ns for batch, ns in running.watches[Origin.LIVE, "prod"].received}

    assert after == before


@pytest.mark.parametrize(
    "agent_settings", [Settings(store=StoreSettings(checkpoint_seconds=0.05))], ids=["checkpoint-often"]
)
def test_the_checkpoint_moves_on_while_the_agent_runs(running: RunningAgent) -> None:
    running.send(make_batch(1))
    path = running.data / "checkpoint"

    wait_for(lambda: path.exists() and "prod" in load_checkpoint(path).ticked_ns, "a checkpoint")
    first = load_checkpoint(path).ticked_ns["prod"]
    wait_for(lambda: load_checkpoint(path).ticked_ns["prod"] > first, "the next one")


def test_a_second_agent_on_the_same_data_is_refused(running: RunningAgent) -> None:
    with pytest.raises(FixConfiguration, match="another agent works in it"):
        RunningAgent(running.data, running.settings).start()


@pytest.mark.parametrize(("content", "words"), [(b"", "checkpoint"), (b"\x81", "checkpoint")], ids=["empty", "garbage"])
def test_a_broken_checkpoint_stops_the_start_by_name(running: RunningAgent, content: bytes, words: str) -> None:
    running.stop()
    (running.data / "checkpoint").write_bytes(content)

    with pytest.raises(FixConfiguration, match=words):
        RunningAgent(running.data, running.settings).start()


@dataclass
class Process:
    """The real command, in a process of its own."""

    data: Path
    process: subprocess.Popen[str] | None = None
    port: int = 0
    said: list[str] = field(default_factory=list)

    def start(self, *more: str) -> None:
        port_file = self.data.parent / "port"
        port_file.unlink(missing_ok=True)
        command = Path(sys.executable).parent / "watchstander"
        arguments = ["agent", "--data", str(self.data), "--listen", "127.0.0.1:0", "--port-file", str(port_file), *more]
        self.process = subprocess.Popen(
            [str(command), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: port_file.exists() or self.process.poll() is not None, "the agent to listen")
        assert self.process.poll() is None, self.process.communicate()[1]
        self.port = int(port_file.read_text())

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def process(tmp_path: Path):
    agent = Process(tmp_path / "data")
    yield agent
    if agent.process is not None and agent.process.poll() is None:
        agent.process.kill()
        agent.process.communicate()


def send_until_it_dies(
    agent: Process, bodies: dict[int, bytes], acknowledged: Counter[int], lock: threading.Lock
) -> None:
    """Take numbers off `bodies` and send them; put back the one whose answer did not come."""
    headers = {"authorization": f"Bearer {(agent.data / 'token').read_text().strip()}", "content-encoding": "zstd"}
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=30)
    while True:
        with lock:
            if not bodies:
                break
            number, body = bodies.popitem()
        try:
            connection.request("POST", "/v1/batch", body, headers)
            answer = connection.getresponse()
            said = msgspec.json.decode(answer.read())
        except (OSError, http.client.HTTPException):
            with lock:
                bodies[number] = body
            break
        assert answer.status == 200, said
        with lock:
            acknowledged[number] += 1
    connection.close()


def start_senders(*arguments: object) -> list[threading.Thread]:
    senders = [threading.Thread(target=send_until_it_dies, args=arguments) for _ in range(8)]
    for sender in senders:
        sender.start()
    return senders


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing(process: Process) -> None:
    chance = random.Random(20261122)
    total, acknowledged, lock = 1500, Counter(), threading.Lock()
    begin = time.time_ns()
    bodies = {n: encode(make_batch(n, events=(numbered_event(n, begin + n, KIND),))) for n in range(total)}
    for _ in range(5):
        process.start()
        senders = start_senders(process, bodies, acknowledged, lock)
        # The moment of death is drawn from the number of answers, not from a clock: it falls into the traffic.
        goal = len(acknowledged) + chance.randrange(1, 250)
        wait_for(lambda goal=goal: len(acknowledged) >= goal or not bodies, "some answers")
        process.end(signal.SIGKILL)
        for sender in senders:
            sender.join()
    process.start()
    for sender in start_senders(process, bodies, acknowledged, lock):
        sender.join()
    code, _, errors = process.end(signal.SIGTERM)

    assert (code, "Traceback" in errors) == (0, False), errors
    assert sorted(acknowledged) == list(range(total))
    assert stored_numbers(process.data) == list(range(total))


@pytest.mark.slow
def test_the_command_says_where_it_is_and_ends_in_order(process: Process) -> None:
    process.start()
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
    connection.request("GET", "/readyz")
    assert connection.getresponse().status in (200, 503)
    connection.close()
    where = msgspec.json.decode((process.data / "agent.json").read_bytes())
    modes = {name: (process.data / name).stat().st_mode & 0o777 for name in ("", "token")}

    code, out, errors = process.end(signal.SIGTERM)

    assert code == 0, errors
    assert where == {"address": f"http://127.0.0.1:{process.port}"}
    assert modes == {"": 0o700, "token": 0o600}
    assert out.splitlines()[0] == f"watchstander agent listens on http://127.0.0.1:{process.port}"
    assert re.fullmatch(rf".*http://127.0.0.1:{process.port}/login\?code=\S{{43}}", out.splitlines()[1])
    assert not (process.data / "agent.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--listen", "0.0.0.0:0"], "tokens would travel in the clear", id="open-without-tls"),
        pytest.param(["--listen", "nonsense"], "write host:port", id="no-address"),
        pytest.param(["--settings", "/nowhere.yaml"], "/nowhere.yaml", id="no-settings"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_3(tmp_path: Path, arguments: list[str], words: str) -> None:
    command = [str(Path(sys.executable).parent / "watchstander"), "agent", "--data", str(tmp_path / "data"), *arguments]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr.count("\n"), words in done.stderr) == (3, 1, True), done.stderr


@pytest.mark.slow
def test_a_full_disk_under_the_ingest_log_is_answered_503_and_nothing_is_lost_or_half(
    process: Process, tmp_path: Path
) -> None:
    process.start()
    # A limit on the size of files stands in for the full disk: writes fail in the same place with the same effect.
    body = encode(make_batch(1, events=tuple(numbered_event(n, n, KIND) for n in range(50))))
    log = process.data / "ingest"
    resource_limits(process.process.pid, 4096)
    token = (process.data / "token").read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-encoding": "zstd"}
    answers: list[tuple[int, str | None]] = []
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
    for sequence in range(1, 30):
        connection.request("POST", "/v1/batch", encode(make_batch(sequence, events=some_events(sequence))), headers)
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers.get("retry-after")))
        answer.read()
    taken = sum(status == 200 for status, _ in answers)
    assert 0 < taken < 29
    assert set(answers) == {(200, None), (503, "5")}
    assert sum(file.stat().st_size for file in log.iterdir()) <= 4096 * len(list(log.iterdir()))
    resource_limits(process.process.pid, -1)
    connection.request("POST", "/v1/batch", body, headers)
    assert connection.getresponse().status == 200
    connection.close()


def some_events(sequence: int) -> tuple:
    """Events that do not compress: the log must fill."""
    chance = random.Random(sequence)
    return tuple(numbered_event(chance.randrange(10**9), chance.randrange(10**18), KIND) for _ in range(20))


def resource_limits(pid: int, size: int) -> None:
    """Bound the size of the files that another process writes; -1 lifts the bound."""
    import resource

    unlimited = resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size >= 0 else unlimited, unlimited))


@pytest.mark.slow
def test_headers_without_end_are_hung_up_on(process: Process) -> None:
    process.start()
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(b"x-more: " + b"x" * 4096 + b"\r\n")
                time.sleep(0.001)
    assert os.kill(process.process.pid, 0) is None
