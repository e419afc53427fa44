"""Two agents, one PostgreSQL: the first is killed, the second goes on with what was open."""

import http.client
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fast_agent import fast_clock
from running_agent import wait_for

from agent.cli.client import AgentClient
from collectors.errors import RetryLater
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from collectors.wire import encode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.xdist_group("postgres"),
    pytest.mark.timeout(300),
]

SPEED = 10.0
"""Seconds of the agents' clock in one of ours. A machine that stands still for 3 s makes nodes fall silent."""
TOKEN = "t" * 40
NODES = [Subject("prod", SubjectKind.NODE, f"node-{letter}") for letter in "abc"]
GPUS = [Subject("prod", SubjectKind.GPU, f"GPU-{letter}") for letter in "abc"]
XID = "NVRM: Xid (PCI:0000:3b:00): 119, pid=2119, name=python, Timeout after 6s of waiting for RPC response."


@dataclass
class Fleet:
    """Three nodes of one card each, and the agents that they send to."""

    folder: Path
    store_url: str
    base_ns: int = field(default_factory=time.time_ns)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    sequence: int = 0
    silent: set[int] = field(default_factory=set)

    def start(self, name: str) -> AgentClient:
        """An agent with a data folder of its own."""
        token = self.folder / "collectors"
        token.write_text(TOKEN)
        token.chmod(0o600)
        settings = self.folder / f"{name}.yaml"
        settings.write_bytes(
            msgspec.yaml.encode(
                {
                    "listen": {"address": "127.0.0.1:0"},
                    "store": {"url": self.store_url},
                    "access": {"tokens": [{"name": "collectors", "path": str(token), "roles": ["admin"]}]},
                }
            )
        )
        port, log = self.folder / f"{name}.port", self.folder / f"{name}.log"
        command = [sys.executable, str(Path(__file__).with_name("fast_agent.py")), str(self.folder / name)]
        command += [str(settings), str(port), str(self.base_ns), str(SPEED)]
        with log.open("wb") as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.processes.append(process)
        wait_for(lambda: port.exists() or process.poll() is not None, "an agent that listens")
        assert process.poll() is None, log.read_text()
        return AgentClient(f"http://127.0.0.1:{int(port.read_text())}", TOKEN)

    def kill(self) -> None:
        """The agent that was started last, without a word."""
        self.processes[-1].kill()
        self.processes[-1].wait()

    def send(self, agent: AgentClient, *events: Event, node: int | None = None) -> None:
        """A calm batch of each node that is not silent; the events leave with the first."""
        for at in range(len(NODES)) if node is None else [node]:
            if at not in self.silent:
                self._post(agent, encode(self._batch(at, events)))
                events = ()

    def send_for(self, agent: AgentClient, seconds: float) -> None:
        """Calm batches for so long by the agents' clock."""
        until_ns = self.now_ns() + int(seconds * 10**9)
        while self.now_ns() < until_ns:
            self.send(agent)
            time.sleep(2 / SPEED)

    def now_ns(self) -> int:
        """The agents' clock."""
        return fast_clock(self.base_ns, SPEED)

    def _batch(self, at: int, events: tuple[Event, ...]) -> Batch:
        now_ns, node, gpu = self.now_ns(), NODES[at], GPUS[at]
        self.sequence += 1
        facts = (
            SubjectFacts(node, node.id),
            SubjectFacts(gpu, gpu.id, node, {"index": "0", "pci_bus_id": "0000:3b:00.0"}),
        )
        metrics = ("gpu_utilization_ratio", "gpu_power_watts")
        table = Table(metrics, (1,), (now_ns,), array("f", [0.0, 70.0]).tobytes())
        return Batch(
            WIRE_VERSION,
            Origin.LIVE,
            node,
            "boot",
            "spool",
            self.sequence,
            now_ns,
            (node, gpu),
            facts,
            (table,),
            events,
        )

    def _post(self, agent: AgentClient, body: bytes) -> None:
        connection = http.client.HTTPConnection(agent.address.removeprefix("http://"), timeout=30)
        headers = {"authorization": f"Bearer {TOKEN}", "content-encoding": "zstd"}
        connection.request("POST", "/v1/batch", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: Any) -> Iterator[Fleet]:
    name = postgres_server.make_database()
    made = Fleet(tmp_path, postgres_server.url(name))
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    postgres_server.drop_database(name)


def incidents(agent: AgentClient) -> dict[str, dict[str, Any]]:
    """The two that are brought about, by kind."""
    try:
        told = agent.get("/v1/incidents")["incidents"]
    except RetryLater:
        return {}
    return {one["kind"]: one for one in told if one["subject"]["id"] in (GPUS[0].id, NODES[2].id)}


def decided(agent: AgentClient) -> list[tuple[str, str]]:
    """What the audit has about decisions on these two: about what, and in full."""
    entries = agent.get("/v1/audit", {"order": "oldest", "limit": 1000})["entries"]
    ours = {one["id"] for one in incidents(agent).values()}
    decisions = [(one["about"], one["detail"]) for one in entries if one["what"] == "decision"]
    return [(about, detail) for about, detail in decisions if json_of(detail)["incident"] in ours]


def open_two(fleet: Fleet, agent: AgentClient) -> dict[str, dict[str, Any]]:
    """A card whose firmware no longer answers, and a node that fell silent."""
    fleet.send_for(agent, 20)
    fleet.silent.add(2)
    xid = Event(
        EventKind.XID, GPUS[0], fleet.now_ns(), EventSource.KERNEL_LOG, {"code": 119.0},
        {"pci_bus_id": "0000:3b:00"}, XID,
    )  # fmt: skip
    fleet.send(agent, xid)
    for _ in range(40):
        fleet.send_for(agent, 5)
        if {"xid", "telemetry_lost"} <= incidents(agent).keys():
            break
    fleet.send_for(agent, 80)  # the rule's own wait of 60 s is over, and with it what would be decided anew anyway
    return incidents(agent)


def what(incident: dict[str, Any]) -> dict[str, Any]:
    """What a failover must not change."""
    keys = ("id", "state", "kind", "subject", "severity", "title", "root", "findings", "opened_ns", "since_ns")
    return {key: incident[key] for key in keys}


def test_incidents_go_on_under_their_ids_and_nothing_is_decided_or_resolved_by_the_change(fleet: Fleet) -> None:
    first = fleet.start("first")
    before = open_two(fleet, first)
    assert {kind: one["state"] for kind, one in before.items()} == {"xid": "open", "telemetry_lost": "open"}
    audit = decided(first)
    assert sorted({json_of(detail)["incident"] for _, detail in audit}) == sorted(one["id"] for one in before.values())
    fleet.kill()

    second = fleet.start("second")
    assert {kind: what(one) for kind, one in incidents(second).items()} == {k: what(o) for k, o in before.items()}
    fleet.send_for(second, 100)

    after = incidents(second)
    assert {kind: what(one) for kind, one in after.items()} == {kind: what(one) for kind, one in before.items()}
    assert decided(second) == audit
    assert second.get("/v1/audit/verify")["holds"] is True


def test_what_the_first_agent_did_not_acknowledge_comes_to_the_second_and_is_the_same_incident(fleet: Fleet) -> None:
    first = fleet.start("first")
    before = open_two(fleet, first)
    audit = decided(first)
    fleet.kill()
    second = fleet.start("second")
    again = Event(
        EventKind.XID, GPUS[0], before["xid"]["since_ns"], EventSource.KERNEL_LOG, {"code": 119.0},
        {"pci_bus_id": "0000:3b:00"}, XID,
    )  # fmt: skip
    fleet.send(second, again)
    fleet.send_for(second, 20)

    assert what(incidents(second)["xid"]) == what(before["xid"])
    assert decided(second) == audit


def test_what_ends_after_the_change_is_resolved_by_the_second_agent(fleet: Fleet) -> None:
    first = fleet.start("first")
    before = open_two(fleet, first)
    fleet.kill()
    second = fleet.start("second")
    fleet.silent.clear()
    for _ in range(40):
        fleet.send_for(second, 10)
        if incidents(second)["telemetry_lost"]["state"] == "resolved":
            break

    after = incidents(second)
    assert (after["telemetry_lost"]["id"], after["telemetry_lost"]["state"]) == (
        before["telemetry_lost"]["id"],
        "resolved",
    )
    assert what(after["xid"]) == what(before["xid"])


def json_of(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text)
