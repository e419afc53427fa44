"""`watchstander agent` in a process of its own, beside a real API server, and what a collector would send it."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from migrated_stores import migrated

from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind
from collectors.wire import encode
from testcluster.space import Space

POLICY = """\
version: 1
rules:
  - name: gpu-off-the-bus
    description: For tests, without a wait, on one witness.
    kinds: [xid, gpu_lost]
    when: 79 in xid.codes
    actions: [notify, cordon]
    wait_seconds: 0
    sources: 1
guards:
  unavailable: {fleet: {count: 1000, share: 1.0}}
  rate: {acts: 1000}
  cluster: {unwell_share: 1.0}
"""


@dataclass
class AgentProcess:
    """Started by `start`."""

    process: subprocess.Popen[bytes]
    data: Path
    port: int
    settings: dict[str, Any]
    log: Path

    @classmethod
    def start(
        cls, folder: Path, cluster: Space, *, policy_text: str = POLICY, **groups: dict[str, Any]
    ) -> "AgentProcess":
        """With settings by group; `policy_text`: the text of its policy file. Waits until it listens."""
        folder.mkdir(parents=True, exist_ok=True)
        plane = cluster.plane
        port_file = folder / "port"
        port_file.unlink(missing_ok=True)
        (folder / "policy.yaml").write_text(policy_text)
        settings: dict[str, Any] = {
            "listen": {"address": f"127.0.0.1:{groups.pop('port', 0)}"},
            "inventory": {
                "cluster": "prod",
                "kubernetes": True,
                "kubernetes_url": plane.url,
                "kubernetes_token_file": str(plane.token_file()),
                "kubernetes_ca_file": str(plane.ca_file),
            },
            "policy": {"file": str(folder / "policy.yaml"), "mode": "enforce"},
            "actions": {"lease_namespace": cluster.namespace, "lease_seconds": 5.0},
        }
        for group, values in groups.items():
            settings[group] = {**settings.get(group, {}), **values}
        (folder / "settings.yaml").write_bytes(msgspec.yaml.encode(settings))
        log, data = folder / "log", folder / "data"
        if "store" not in groups and not data.exists():
            migrated(data / "watchstander.db")
        command = ["-m", "agent.cli.main", "agent", "--data", data, "--settings", folder / "settings.yaml"]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *map(str, command), "--port-file", str(port_file)], stdout=out, stderr=out
            )
        until(lambda: port_file.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        return cls(process, data, int(port_file.read_text()), settings, log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    def ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> tuple[int, Any]:
        """Status and JSON (or text)."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
        sent = {"authorization": f"Bearer {token or self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, raw, sent)
            answer = connection.getresponse()
            text = answer.read()
            self.location = answer.getheader("location", "")
        finally:
            connection.close()
        try:
            return answer.status, msgspec.json.decode(text)
        except msgspec.DecodeError:
            return answer.status, text.decode()

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer

    def send(self, batch: Batch) -> int:
        """As a collector does; the status."""
        return self.ask("POST", "/v1/batch", encode(batch), content_encoding="zstd")[0]

    def kill(self) -> None:
        """-9."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


def xid(node_uid: str, sequence: int = 1, code: int = 79, gpu: str = "") -> Batch:
    """A batch of a node with one Xid of a card of its own."""
    node = Subject("prod", SubjectKind.NODE, node_uid)
    card = Subject("prod", SubjectKind.GPU, gpu or f"GPU-{node_uid}")
    now_ns = time.time_ns()
    said = f"NVRM: Xid (PCI:0000:18:00): {code}, GPU has fallen off the bus."
    event = Event(EventKind.XID, card, now_ns, EventSource.KERNEL_LOG, {"code": float(code)}, line=said)
    return Batch(1, Origin.LIVE, node, "boot", "spool", sequence, now_ns, (node, card), events=(event,))


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for it; what it gave."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found
