"""A port that is found free stays so until its process has bound it."""

import socket
from pathlib import Path

import pytest

from collectors.errors import GiveUp
from testcluster import processes
from testcluster.processes import PORTS, free_port

HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_free_port_is_none_that_the_kernel_gives_to_a_connection_that_goes_out() -> None:
    first, _ = map(int, HANDED_OUT.read_text().split())

    assert max(PORTS) < first
    assert {free_port() in PORTS for _ in range(50)} == {True}


def test_a_port_that_somebody_holds_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        port = free_port()
        held.bind(("127.0.0.1", port))
        monkeypatch.setattr(processes, "PORTS", range(port, port + 1))

        with pytest.raises(GiveUp, match=f"no free port found among {port} to {port} "):
            free_port()
