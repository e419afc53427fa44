"""A real agent beside a real API server, for the measurements of acting.

`python -m benchmarks.acting_agent --serve ...` is the agent's own process.

Waves can be lifted there: a thousand identical faults in one cluster are one wave and one incident, and held (G13).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.inventory.kube_api import KubeApi
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node
from testcluster.space import is_ready

CLUSTER = "bench"
RULE = """\
version: 1
rules:
  - name: gpu-off-the-bus
    description: Xid 79 cordons its node at once, on one witness.
    kinds: [xid, gpu_lost]
    when: 79 in xid.codes
    actions: [notify, cordon]
    wait_seconds: 0
    sources: 1
"""
LIFTED = """\
guards:
  unavailable:
    fleet: {count: 100000, share: 1.0}
    pool: {count: 100000, share: 1.0}
    rack: {count: 100000, share: 1.0}
    domain: {count: 100000, share: 1.0}
  rate: {acts: 100000}
  cluster: {unwell_share: 1.0}
  wave: {fleet: 100000, rack: 100000, domain: 100000}
"""


@dataclass
class Cordons:
    """When each node was seen cordoned, by a watch of its own."""

    seen: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, plane: ControlPlane, stop: threading.Event) -> None:
        """In a thread."""
        api = KubeApi(plane.url, plane.token_file(), plane.ca_file, 30.0)
        listed = json.loads(api.get("/api/v1/nodes", {"limit": "1"}))
        version = listed["metadata"]["resourceVersion"]
        while not stop.is_set():
            query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "60", "allowWatchBookmarks": "true"}
            for line in api.lines("/api/v1/nodes", query, 90.0):
                now = time.perf_counter()
                if not line:
                    continue
                node = json.loads(line)["object"]
                version = node["metadata"]["resourceVersion"]
                if node.get("spec", {}).get("unschedulable"):
                    with self.changed:
                        self.seen.setdefault(node["metadata"]["name"], now)
                        self.changed.notify_all()
                if stop.is_set():
                    return


@dataclass
class Acting:
    """An agent that leads, and the nodes it may cordon."""

    plane: ControlPlane
    port: int
    token: str
    data: Path
    nodes: dict[str, str]
    """Name to uid."""
    cordons: Cordons

    def ask(self, path: str) -> object:
        """JSON of the API."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"authorization": f"Bearer {self.token}"})
        body = connection.getresponse().read()
        connection.close()
        return json.loads(body)


@contextmanager
def acting(nodes: int, *, racks: int = 0, lifted: bool, policy: str = "") -> Iterator[Acting]:
    """`lifted`: limits, rates and waves do not hold; `policy`: further lines of the policy file."""
    with ControlPlane.start() as plane, tempfile.TemporaryDirectory() as name:
        admin = plane.admin
        for index in range(nodes):
            rack = f"rack-{index % racks:03d}" if racks else ""
            admin.create(gpu_node(f"node-{index:04d}", rack=rack))
        admin.wait_list("Node", lambda found: len(found) == nodes and all(map(is_ready, found)), seconds=300)
        uids = {node["metadata"]["name"]: node["metadata"]["uid"] for node in admin.list("Node")}
        folder = Path(name)
        (folder / "policy.yaml").write_text(RULE + (LIFTED if lifted else "") + policy)
        settings = {
            "listen": {"address": "127.0.0.1:0"},
            "inventory": {
                "cluster": CLUSTER,
                "kubernetes": True,
                "kubernetes_url": plane.url,
                "kubernetes_token_file": str(plane.token_file()),
                "kubernetes_ca_file": str(plane.ca_file),
            },
            "policy": {"file": str(folder / "policy.yaml"), "mode": "enforce"},
        }
        (folder / "settings.yaml").write_bytes(msgspec.yaml.encode(settings))
        command = [sys.executable, "-m", "benchmarks.acting_agent", "--serve", str(folder)]
        agent = subprocess.Popen([*command, *(["--lifted"] if lifted else [])])
        stop = threading.Event()
        cordons = Cordons()
        threading.Thread(target=cordons.follow, args=(plane, stop), daemon=True).start()
        try:
            while not (folder / "port").exists():
                if agent.poll() is not None:
                    raise SystemExit("the agent did not start")
                time.sleep(0.05)
            token = (folder / "data" / "token").read_text().strip()
            made = Acting(plane, int((folder / "port").read_text()), token, folder / "data", uids, cordons)
            while not made.ask("/v1/actions")["leads"]:  # type: ignore[index]
                time.sleep(0.1)
            yield made
        finally:
            stop.set()
            agent.send_signal(signal.SIGTERM)
            agent.wait()


def xid(uid: str) -> Batch:
    """One batch with one Xid 79 of a GPU of its own."""
    node, gpu = Subject(CLUSTER, SubjectKind.NODE, uid), Subject(CLUSTER, SubjectKind.GPU, f"GPU-{uid}")
    now_ns = time.time_ns()
    said = "NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus."
    event = Event(EventKind.XID, gpu, now_ns, EventSource.KERNEL_LOG, {"code": 79.0}, line=said)
    return Batch(1, Origin.LIVE, node, "boot", "spool", 1, now_ns, (node, gpu), events=(event,))


def serve(folder: Path, lifted: bool) -> None:
    """The agent, in its own process."""
    from agent.server.serve import run
    from agent.settings import load_settings
    from detectors.correlation import wave

    if lifted:
        wave.CARD_THRESHOLDS.clear()
    sys.setswitchinterval(0.0005)
    settings = load_settings(folder / "settings.yaml")
    run(settings, folder / "data", port_file=folder / "port", announce=lambda _: None)


def load() -> str:
    """How busy the machine is, to be said beside a figure."""
    return f"{os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--lifted", action="store_true")
    given = parser.parse_args()
    serve(given.serve, given.lifted)
