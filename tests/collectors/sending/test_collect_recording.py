"""`watchstander collect --recording` as a process: killed, misled and starved, and every batch arrives all the same."""

import json
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from collect_process import anonymous, end, expected, settings_file, short_recording, start
from raw_server import CLOSE, HANG, OK, RawServer, Request, answer

from collectors.model import Batch, EventKind, Origin
from collectors.wire import decode

pytestmark = pytest.mark.slow


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return short_recording(tmp_path / "recording")


def batches(requests: list[Request]) -> list[Batch]:
    return [decode(request.body) for request in requests]


def test_a_recording_arrives_whole_and_in_order_with_a_goodbye(tmp_path: Path, recording: Path) -> None:
    with RawServer() as server:
        settings = settings_file(tmp_path, server.url)
        code, out, err = end(start("--settings", settings, "--recording", recording, "--speed", 0, "--progress-json"))
        arrived = batches(server.requests)
    assert code == 0, err
    assert expected(recording) == [anonymous(batch) for batch in arrived]
    assert {Origin.REPLAY} == {batch.origin for batch in arrived}
    assert arrived[-1].events[-1].kind is EventKind.COLLECTOR_GOODBYE
    progress = [json.loads(line) for line in out.splitlines()]
    assert progress[-1]["done"]
    assert progress[-1]["played_s"] == progress[-1]["total_s"] > 79
    assert progress[-1]["batches"] == len(arrived)


def test_a_recording_can_be_given_another_cluster(tmp_path: Path, recording: Path) -> None:
    with RawServer() as server:
        settings = settings_file(tmp_path, server.url)
        code, _, err = end(start("--settings", settings, "--recording", recording, "--speed", 0, "--cluster", "demo"))
        assert code == 0, err
        assert {"demo"} == {batch.node.cluster for batch in batches(server.requests)}


def test_killed_at_any_moment_and_restarted_nothing_is_lost(tmp_path: Path, recording: Path) -> None:
    """The agent misbehaves too; what it acknowledged is what counts."""
    chance = random.Random(8)
    wanted = expected(recording)
    acknowledged: list[Batch] = []
    trouble = [CLOSE, answer(500), answer(429, retry_after="0"), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]

    arrivals = threading.Semaphore(0)

    def behave(request: Request) -> bytes:
        arrivals.release()
        if chance.random() < 0.1:
            return chance.choice(trouble)
        acknowledged.append(decode(request.body))
        return OK

    kills = 0
    with RawServer(behave) as server:
        settings = settings_file(tmp_path, server.url)
        while len({batch.sequence for batch in acknowledged}) < len(wanted):
            process = start(
                "--settings", settings, "--recording", recording, "--speed", 60, "--spool", tmp_path / "spool"
            )
            # counted in what has arrived, not in seconds: a slow machine must get on between two kills too
            wanted_arrivals = chance.randint(0, 3) if kills < 4 else chance.randint(5, 40)
            for _ in range(wanted_arrivals):
                while not arrivals.acquire(timeout=0.05) and process.poll() is None:
                    pass
            if process.poll() is None:
                end(process, signal.SIGKILL)
                kills += 1
            else:
                code, _, err = end(process)
                assert code == 0, err
    assert kills >= 1
    assert len({batch.spool_id for batch in acknowledged}) == 1
    assert set(range(len(wanted))) == {batch.sequence for batch in acknowledged}
    for batch in acknowledged:
        assert wanted[batch.sequence] == anonymous(batch)


@pytest.mark.parametrize(
    "trouble",
    [
        answer(500),
        answer(401),
        answer(429, retry_after="0"),
        answer(404),
        HANG,
        CLOSE,
        answer(200, body=b"x" * 99)[:-9],
    ],
    ids=["500", "401", "429", "404", "hangs", "closes", "closes mid-body"],
)
def test_an_agent_that_recovers_gets_everything_in_order(tmp_path: Path, recording: Path, trouble: bytes) -> None:
    acknowledged: list[Batch] = []
    refusals = [trouble, trouble]

    def behave(request: Request) -> bytes:
        if refusals:
            return refusals.pop()
        acknowledged.append(decode(request.body))
        return OK

    with RawServer(behave) as server:
        settings = settings_file(tmp_path, server.url)
        code, _, err = end(start("--settings", settings, "--recording", recording, "--speed", 0))
    assert code == 0, err
    assert expected(recording) == [anonymous(batch) for batch in acknowledged]


def test_what_is_refused_for_good_is_put_aside_and_the_exit_code_says_so(tmp_path: Path, recording: Path) -> None:
    wanted = expected(recording)
    acknowledged: list[Batch] = []

    def behave(request: Request) -> bytes:
        batch = decode(request.body)
        if batch.sequence == 3:
            return answer(413, "Too Large", body=b'{"error":{"what":"too large","where":"/v1/batch","do":"send less"}}')
        acknowledged.append(batch)
        return OK

    with RawServer(behave) as server:
        settings = settings_file(tmp_path, server.url)
        spool = tmp_path / "spool"
        code, _, err = end(start("--settings", settings, "--recording", recording, "--speed", 0, "--spool", spool))
    assert code == 5
    assert "the agent refused 1 batches for good" in err.splitlines()[-1]
    assert [b for i, b in enumerate(wanted) if i != 3] == [anonymous(batch) for batch in acknowledged]
    (aside,) = (spool / "quarantine").glob("*.batch")
    assert wanted[3] == anonymous(decode(aside.read_bytes()))
    assert "answers 413 Too Large: too large; send less" in aside.with_suffix(".reason").read_text()


def test_an_agent_that_is_away_makes_the_run_end_with_what_to_do(tmp_path: Path, recording: Path) -> None:
    with RawServer() as server:
        settings = settings_file(tmp_path, server.url)
    spool = tmp_path / "spool"
    prelude = "import collectors.run_recording as r; r.LONGEST_FLUSH_SECONDS = 0.5"
    arguments = ("--settings", settings, "--recording", recording, "--speed", 0, "--spool", spool)
    code, _, err = end(start(*arguments, prelude=prelude))
    assert code == 4
    assert "batches have not arrived" in err.splitlines()[-1]
    assert "run it again" in err.splitlines()[-1]
    with RawServer() as server:
        settings_file(tmp_path, server.url)
        code, _, err = end(start(*arguments))
        assert code == 0, err
        assert expected(recording) == [anonymous(batch) for batch in batches(server.requests)]


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path, recording: Path) -> None:
    with RawServer() as server:
        settings = settings_file(tmp_path, server.url)
        arguments = ("--settings", settings, "--recording", recording, "--spool", tmp_path / "spool", "--speed")
        process = start(*arguments, 20)
        deadline = time.monotonic() + 60
        while len(server.requests) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        code, _, err = end(process, signal.SIGTERM)
        assert code == 130, err
        assert len(server.requests) < len(expected(recording))
        code, _, err = end(start(*arguments, 0))
        assert code == 0, err
        assert expected(recording) == [anonymous(batch) for batch in batches(server.requests)]


def test_a_run_that_arrived_can_be_played_again(tmp_path: Path, recording: Path) -> None:
    with RawServer() as server:
        settings = settings_file(tmp_path, server.url)
        for _ in range(2):
            code, _, err = end(
                start("--settings", settings, "--recording", recording, "--speed", 0, "--spool", tmp_path / "spool")
            )
            assert code == 0, err
        arrived = batches(server.requests)
    wanted = expected(recording)
    assert wanted + wanted == [anonymous(batch) for batch in arrived]
    assert len({(batch.spool_id, batch.sequence) for batch in arrived}) == 2 * len(wanted)


def test_a_disk_that_refuses_is_bridged_in_memory(tmp_path: Path, recording: Path) -> None:
    """No file may grow beyond 4 kB here, so that writes fail as they do on a full disk."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    refusals = [answer(500)] * 3
    acknowledged: list[Batch] = []

    def behave(request: Request) -> bytes:
        if refusals:
            return refusals.pop()
        acknowledged.append(decode(request.body))
        return OK

    with RawServer(behave) as server:
        settings = settings_file(tmp_path, server.url)
        code, _, err = end(start("--settings", settings, "--recording", recording, "--speed", 0, prelude=limit))
    assert code == 0, err
    assert "bytes of batches in memory until it works again" in err
    assert expected(recording) == [anonymous(batch) for batch in acknowledged]
    assert len({(batch.spool_id, batch.sequence) for batch in acknowledged}) == len(acknowledged)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--recording", "/nonexistent"], 3, "/nonexistent: no such folder"),
        (["--speed", "-1"], 2, "argument --speed"),
        (["--agent", "http://agent.example"], 3, "would send the token in the clear"),
        (["--agent", ""], 3, "agent.url is not set"),
        (["--log", "nonsense"], 3, "write PATTERN=JOB"),
        (["--settings", "/nonexistent.yaml"], 3, "settings /nonexistent.yaml: No such file"),
        (["--spool", "/dev/null"], 3, "spool folder /dev/null: File exists; give this user access"),
    ],
)
def test_a_wrong_command_line_ends_in_one_line_and_its_code(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    settings = settings_file(tmp_path, "http://127.0.0.1:1")
    ended, out, err = end(start("--settings", settings, *arguments))
    assert (code, "") == (ended, out)
    assert says in err
    assert len(err.splitlines()) == 1
