"""`watchstander collect` as a process on this node: looks, follows logs, says goodbye."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from collect_process import end, settings_file, start, until
from raw_server import RawServer, answer

from collectors.model import Batch, Event, EventKind, Origin
from collectors.wire import decode

pytestmark = pytest.mark.slow


def events(server: RawServer) -> list[Event]:
    return [event for request in server.requests for event in decode(request.body).events]


def kinds(server: RawServer) -> list[EventKind]:
    return [event.kind for event in events(server)]


def steps(server: RawServer) -> list[float]:
    return [event.values["step"] for event in events(server) if event.kind is EventKind.TRAINING_STEP]


def has(server: RawServer, kind: EventKind) -> Callable[[], bool]:
    return lambda: kind in kinds(server)


def line(step: int) -> str:
    return f"{{'loss': 5.1, 'grad_norm': 9.3, 'step': {step}}}\n"


def test_it_begins_with_a_start_ends_with_a_goodbye_and_exits_0(tmp_path: Path) -> None:
    with RawServer() as server:
        process = start("--settings", settings_file(tmp_path, server.url))
        until(has(server, EventKind.COLLECTOR_START), process)
        code, _, err = end(process, signal.SIGTERM)
        arrived: list[Batch] = [decode(request.body) for request in server.requests]
    assert code == 0, err
    assert kinds(server)[0] is EventKind.COLLECTOR_START
    assert kinds(server)[-1] is EventKind.COLLECTOR_GOODBYE
    assert {Origin.LIVE} == {batch.origin for batch in arrived}
    assert {"node-1"} == {batch.node.id for batch in arrived}
    assert {Path("/proc/sys/kernel/random/boot_id").read_text().strip()} == {batch.boot_id for batch in arrived}
    assert list(range(len(arrived))) == [batch.sequence for batch in arrived]


def test_lines_of_a_log_are_told_once_across_an_orderly_restart(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(line(1))
    settings = {"logs": [{"path": str(log), "job": "job-1"}]}
    with RawServer() as server:
        process = start("--settings", settings_file(tmp_path, server.url, **settings))
        until(has(server, EventKind.COLLECTOR_START), process)
        with log.open("a") as file:
            file.write(line(2))
        until(lambda: 2 in steps(server), process)
        end(process, signal.SIGTERM)
        with log.open("a") as file:
            file.write(line(3))
        process = start("--settings", settings_file(tmp_path, server.url, **settings))
        until(lambda: 3 in steps(server), process)
        end(process, signal.SIGTERM)
        # Line 1 stood there before the first start.
        assert steps(server) == [2, 3]
        told = next(event for event in events(server) if event.kind is EventKind.TRAINING_STEP)
        assert (told.subject.kind.value, told.subject.id) == ("job", "job-1")


def test_without_an_agent_an_orderly_stop_is_in_time_and_the_next_start_sends_what_was_left(tmp_path: Path) -> None:
    with RawServer(lambda _: answer(503)) as server:
        path = settings_file(tmp_path, server.url)
        process = start("--settings", path)
        until(lambda: bool(server.requests), process)
        code, _, err = end(process, signal.SIGTERM)
        assert code == 0
        assert "wait on disk" in err
        server.requests.clear()
        server.behaviour = lambda _: answer(200)
        process = start("--settings", path)
        until(lambda: kinds(server).count(EventKind.COLLECTOR_START) == 2, process)
        end(process, signal.SIGTERM)
    wanted = [EventKind.COLLECTOR_START, EventKind.COLLECTOR_GOODBYE] * 2
    assert wanted == [kind for kind in kinds(server) if kind in wanted]
    sequences = [decode(request.body).sequence for request in server.requests]
    assert list(range(len(sequences))) == sequences


def test_the_token_is_in_no_log_line(tmp_path: Path) -> None:
    with RawServer(lambda _: answer(401, body=b"who are you?")) as server:
        process = start("--settings", settings_file(tmp_path, server.url), "--verbose")
        until(lambda: bool(server.requests), process)
        _, out, err = end(process, signal.SIGTERM)
    assert "a-token" not in out + err
    assert "answers 401 Said: who are you?" in err


def test_two_collectors_on_one_spool_are_refused(tmp_path: Path) -> None:
    with RawServer() as server:
        path = settings_file(tmp_path, server.url)
        process = start("--settings", path)
        until(has(server, EventKind.COLLECTOR_START), process)
        code, _, err = end(start("--settings", path))
        assert code == 3
        assert "is in use by another collector" in err.splitlines()[-1]
        end(process, signal.SIGTERM)


def test_check_says_what_this_node_can_see(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    logs = [{"path": str(log), "job": "a"}, {"path": str(tmp_path / "*.none"), "job": "b"}]
    # As an agent does: the credential first, then the body, which is no batch.
    with RawServer(lambda r: answer(400 if r.headers["authorization"] == "Bearer a-token" else 401)) as server:
        path = settings_file(tmp_path, server.url, logs=logs)
        code, out, err = end(start("--settings", path, "--check", "--json"))
        checked = json.loads(out)
        human_code, human, _ = end(start("--settings", path, "--check"))
        (tmp_path / "token").write_text("wrong")
        bad_code, bad, _ = end(start("--settings", path, "--check"))
    verdicts = [(one["name"], one["verdict"]) for one in checked["checks"]]
    assert (code, human_code, err) == (0, 0, "")
    assert checked["ok"]
    assert verdicts == [
        ("node", "yes"),
        ("NVML", "note"),
        ("kernel log", "note"),
        ("log", "yes"),
        ("log", "note"),
        ("spool", "yes"),
        ("agent", "yes"),
        ("token", "yes"),
    ]
    assert len(human.splitlines()) == 8
    assert bad_code == 1
    assert "NO    token          the agent answers 401 to it; put a token with the role ingest into" in bad


def test_check_without_anything_fails_line_by_line_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = {
        "agent": {"url": "http://127.0.0.1:1", "token_file": str(tmp_path / "none")},
        "spool": {"directory": str(tmp_path / "file" / "spool")},
        "dcgm_exporter": "http://127.0.0.1:1/metrics",
        "kmsg": str(tmp_path / "no-kmsg"),
    }
    code, out, err = end(start("--settings", settings_file(tmp_path, "", **settings), "--check", "--json"))
    checked = json.loads(out)
    assert (code, err, checked["ok"]) == (1, "", False)
    failing = {one["name"] for one in checked["checks"] if one["verdict"] == "no"}
    assert failing == {"dcgm-exporter", "kernel log", "spool", "token", "agent"}
