"""The played cluster as a person uses it: the command line, the API, and what the API server itself has seen."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.cli.client import AgentClient
from collectors.errors import RetryLater
from policies.cluster.rbac import AGENT
from policies.model import Mode
from testcluster.control_plane import Write
from testcluster.play import scene
from testcluster.play.beside import Choices
from testcluster.play.rights import NAMESPACE
from testcluster.play.run import Playground, playing

T = TypeVar("T")
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{AGENT}"
ASKS = {"tokenreviews", "subjectaccessreviews"}
"""Created to ask the API server something; nothing of them is kept."""
SECONDS = 120.0
NCCL_DEFAULT_SECONDS = 600.0


@dataclass
class Played:
    """One cluster and what can be done with it."""

    play: Playground
    folder: Path

    @property
    def client(self) -> AgentClient:
        """As the agent's own command line token."""
        return self.as_token(self.play.beside.data / "token")

    def as_token(self, path: Path) -> AgentClient:
        """As somebody else."""
        return AgentClient(self.play.beside.url, path.read_text().strip())

    def person(self, name: str) -> AgentClient:
        """As a user of the cluster, with the token of a kubeconfig."""
        return self.as_token(self.folder / f"{name}.token")

    def watchstander(self, *arguments: str) -> str:
        """The command line's standard output; it must succeed."""
        environment = {**os.environ, "XDG_STATE_HOME": str(self.play.beside.state)}
        command = [sys.executable, "-m", "agent.cli.main", *arguments]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def pods(self) -> list[dict[str, Any]]:
        """Of the job, those that run."""
        found = self.play.plane.admin.list("Pod", scene.NAMESPACE)
        running = [pod for pod in found if pod["status"].get("phase") == "Running"]
        return [pod for pod in running if "deletionTimestamp" not in pod["metadata"]]

    def places(self) -> list[str]:
        """The nodes on which the job runs."""
        return sorted(pod["spec"]["nodeName"] for pod in self.pods())

    def cordoned(self) -> list[str]:
        """Nodes that take no pods."""
        nodes = self.play.plane.admin.list("Node")
        return [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]

    def step(self) -> int:
        """The job's newest step, as the agent knows it."""
        jobs = [job for job in self.client.get("/v1/jobs")["jobs"] if job["name"] == "training/llama"]
        return max((job["last_step"] or 0 for job in jobs), default=0)

    def incidents(self, origin: str = "test") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/v1/incidents", {"origin": origin})["incidents"]
        return found

    def state_of(self, incident: str) -> str:
        state: str = self.client.get(f"/v1/incidents/{incident}")["incident"]["state"]
        return state

    def plans(self, state: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/v1/plans", {"state": state} if state else None)["plans"]
        return found

    def decisions(self, incident: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(f"/v1/incidents/{incident}")["decisions"]
        return sorted(found, key=lambda decision: decision["decided_ns"])

    def writes(self) -> list[Write]:
        """What the agent's account has written, or tried to."""
        return [w for w in self.play.plane.writes(ACCOUNT) if w.resource not in ASKS | {"leases"}]

    def steady(self) -> list[str]:
        """Wait until the job's habit is known; where it runs."""
        until(lambda: self.step() >= 25, "25 steps of the job")
        return self.places()


def until(holds: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """What it gives once that is true; an API that is away for a moment is asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := holds():
                return found
        except RetryLater:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.25)


@contextmanager
def played(folder: Path, mode: Mode, *, policy: str = "", as_live: bool = True) -> Iterator[Played]:
    """Eight nodes, the job, an agent in a mode, the fleet.

    On a busy machine the agent may need more than the minute after which a played job that hangs dies by itself, and is
    made anew by its controller: that would be another story.
    """
    path = folder / "policy.yaml"
    if policy:
        path.write_text(policy)
    chosen = Choices(mode, path if policy else None, as_live, nccl_timeout_seconds=NCCL_DEFAULT_SECONDS)
    with playing(folder / "play", chosen, nodes=8) as play:
        yield Played(play, folder / "play")
