"""What runs beside the control plane: the agent, with its own rights in the cluster, and the fleet."""

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from policies.model import Mode
from testcluster.commands import write_private
from testcluster.control_plane import ControlPlane
from testcluster.fleet.training import TIMEOUT_SECONDS
from testcluster.play.rights import NAMESPACE, agent_token
from testcluster.processes import Component

CLUSTER = "play"
TOKEN_SECONDS = 7 * 86_400
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Choices:
    """How the agent is to run."""

    mode: Mode = Mode.AUDIT
    policy: Path | None = None
    """Its policy file; None: the one that ships."""
    as_live: bool = True
    """Whether it takes what the fleet says for live."""
    port: int = 0
    nccl_timeout_seconds: float = TIMEOUT_SECONDS
    """Of the jobs: so long has an agent before a job that hangs dies by itself."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The two processes, and where to find them."""

    agent: Component
    fleet: Component
    url: str
    state: Path
    """`$XDG_STATE_HOME` under which the command line finds agent and fleet by itself."""

    @property
    def data(self) -> Path:
        """The agent's data directory; the fleet's socket lies there too."""
        return self.state / "watchstander"


def settings_of(plane: ControlPlane, folder: Path, chosen: Choices) -> dict[str, object]:
    """The agent's settings, as YAML or JSON would have them."""
    policy = {"mode": chosen.mode.value} | ({"file": str(chosen.policy)} if chosen.policy is not None else {})
    return {
        "listen": {"address": f"127.0.0.1:{chosen.port}"},
        "access": {
            "tokens": [{"name": "fleet", "path": str(folder / "ingest.token"), "roles": ["ingest"]}],
            "kubernetes": {"enabled": True},
        },
        "watch": {"test_as_live": chosen.as_live},
        "store": {"sightings_seconds": 5.0},
        "policy": policy,
        "actions": {"lease_namespace": NAMESPACE},
        "inventory": {
            "cluster": CLUSTER,
            "kubernetes": True,
            "kubernetes_url": plane.url,
            "kubernetes_token_file": str(folder / "agent.token"),
            "kubernetes_ca_file": str(plane.ca_file),
        },
    }


def start_beside(plane: ControlPlane, folder: Path, chosen: Choices) -> Beside:
    """Start the agent, wait until it is ready, and start the fleet. GiveUp with the end of its log where one fails."""
    state = folder / "state"
    data = state / "watchstander"
    for one in (folder, state, data):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "agent.token", agent_token(plane.admin, TOKEN_SECONDS))
    write_private(folder / "ingest.token", secrets.token_urlsafe(32))
    settings = msgspec.json.encode(settings_of(plane, folder, chosen))
    write_private(folder / "settings.yaml", msgspec.json.format(settings).decode())
    port_file = folder / "agent.port"
    port_file.unlink(missing_ok=True)
    run = [sys.executable, "-m", "agent.cli.main"]
    agent = plane.add(
        "agent",
        [
            *run,
            "agent",
            "--data",
            str(data),
            "--settings",
            str(folder / "settings.yaml"),
            "--port-file",
            str(port_file),
        ],
        _environment(state),
    )
    agent.wait_until(port_file.exists, READY_SECONDS)
    url = f"http://127.0.0.1:{port_file.read_text().strip()}"
    fleet = plane.add(
        "fleet",
        [
            *(sys.executable, "-m", "testcluster.fleet"),
            *("--url", plane.url, "--token-file", str(plane.token_file("kwok")), "--ca-file", str(plane.ca_file)),
            *("--cluster", CLUSTER, "--agent", url, "--agent-token-file", str(folder / "ingest.token")),
            *("--directory", str(data), "--logs", str(folder / "logs")),
            *("--nccl-timeout", str(chosen.nccl_timeout_seconds)),
        ],
        _environment(state),
    )
    fleet.wait_until((data / "fleet.sock").exists, READY_SECONDS)
    return Beside(agent, fleet, url, state)


def _environment(state: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(state), "PYTHONUNBUFFERED": "1"}
