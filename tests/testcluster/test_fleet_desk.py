"""The way to a fleet: a socket for this user alone, one line each way, and a reason where it says no."""

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.inject.control import LONGEST_PATH, Laid, Request, ask, known, socket_path
from collectors.errors import FixConfiguration, GiveUp, RetryLater
from testcluster.fleet.desk import Asked, Desk


def answer(asked: Asked) -> None:
    request, line = asked
    line.put(
        Laid(refused="no such node") if request.node == "nowhere" else Laid(7, f"{request.fault} on {request.node}")
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "d", answer)
    yield made
    made.close()


def test_a_request_is_answered(desk: Desk) -> None:
    assert ask(desk.path, Request("xid-79", "gpu-1", 3)) == Laid(7, "xid-79 on gpu-1")


def test_what_the_fleet_refuses_is_the_answer(desk: Desk) -> None:
    with pytest.raises(GiveUp, match="no such node"):
        ask(desk.path, Request("xid-79", "nowhere"))


def test_nobody_else_can_open_the_socket(desk: Desk) -> None:
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.path.parent.stat().st_mode) == 0o700


def test_another_user_who_got_hold_of_it_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(GiveUp, match="another user"):
        ask(desk.path, Request("xid-79", "gpu-1"))


@pytest.mark.parametrize(
    "said", [b"\n", b"{}}\n", b'{"fault": 7}\n', b'{"shell": "rm"}\n', b"\xff\xfe\n", b"x" * 70_000]
)
def test_what_is_no_request_is_refused_and_the_next_is_answered(desk: Desk, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(desk.path))
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        assert b"not a request" in connection.recv(4096)
    assert ask(desk.path, Request("xid-79", "gpu-1")).at_ns == 7


def test_without_a_fleet_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RetryLater, match="make cluster"):
        ask(tmp_path / "fleet.sock", Request())


def test_the_socket_of_a_fleet_that_died_is_taken_over_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    desk = Desk(tmp_path, answer)
    try:
        with pytest.raises(FixConfiguration, match="another fleet"):
            Desk(tmp_path, answer)
    finally:
        desk.close()
    assert not path.exists()


def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration, match="move the folder"):
        socket_path(tmp_path / ("x" * LONGEST_PATH))


def test_a_fault_is_known_by_each_of_its_names_and_no_other() -> None:
    assert (known("ecc-uncorrectable"), known("xid-48")) == ("xid-48", "xid-48")
    with pytest.raises(FixConfiguration, match="no such fault: xid-80; there are xid-79"):
        known("xid-80")


def test_the_no_of_one_that_hangs_up_before_it_has_heard_all_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(msgspec.json.encode(Laid(refused="this fleet belongs to another user")) + b"\n")

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with pytest.raises(GiveUp, match="another user"):
            ask(path, Request("xid-79", "n" * 4_000_000))  # more than the socket holds: the sender is cut off
        refusing.join()
