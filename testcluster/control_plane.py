"""A running control plane.

    with ControlPlane.start() as plane:
        plane.admin.create(gpu_node("gpu-node-01"))

Everything lies in one temporary folder, listens on loopback or a Unix socket, and asks for a credential; all of it is
gone after `stop`, and also when this process is killed.
"""

import json
import secrets
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.errors import FixConfiguration, GiveUp
from testcluster import commands
from testcluster.admin import Admin
from testcluster.commands import Layout
from testcluster.parts import KEYS, OPTIONAL, binary
from testcluster.processes import Component, Warden, free_port

ADMIN = "admin"
SYSTEM: Mapping[str, Sequence[str]] = {
    ADMIN: ("system:masters",),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    **dict.fromkeys(["kwok", *OPTIONAL], ("system:masters",)),
}
"""Users of the components; the API server binds the system ones to their own roles."""
LONGEST_FOLDER = 80
"""A Unix socket's path may have 107 characters."""
READY_SECONDS = 60.0


@dataclass(frozen=True)
class Write:
    """A write as the API server's audit log has it."""

    user: str
    verb: str
    resource: str
    """With its subresource: `pods/eviction`."""
    namespace: str
    name: str
    code: int
    """HTTP status: a refused write is here too."""


class ControlPlane:
    """etcd, API server, controller manager, scheduler and KWOK, each a `Component`."""

    def __init__(self, folder: Path, users: Mapping[str, Sequence[str]], audit: bool) -> None:
        if len(str(folder)) > LONGEST_FOLDER:
            raise FixConfiguration(f"{folder}: longer than {LONGEST_FOLDER} characters; a Unix socket would not fit in")
        self.at = Layout(folder)
        self.users = {**SYSTEM, **users}
        self._audit = audit
        self._tokens = {name: secrets.token_urlsafe(24) for name in self.users}
        self._warden = Warden(folder)
        self._port = 0
        self.components: dict[str, Component] = {}
        """By name, in the order of their start."""

    @classmethod
    def start(
        cls,
        folder: Path | None = None,
        *,
        users: Mapping[str, Sequence[str]] | None = None,
        audit: bool = True,
        ready_seconds: float = READY_SECONDS,
    ) -> "ControlPlane":
        """A new one, ready. `folder` is removed at the end; None: a temporary one. `users`: further names -> groups.

        FixConfiguration where the binaries are not built; GiveUp with the end of its log where a component fails.
        """
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="testcluster-"))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        plane = cls(folder, users or {}, audit)
        try:
            plane._start(ready_seconds)
        except BaseException:
            plane.stop()
            raise
        return plane

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        """What its certificate is verified by."""
        return self.at.ca

    @property
    def admin(self) -> Admin:
        """With all rights."""
        return self.client(self.token())

    def token(self, user: str = ADMIN) -> str:
        """The static token of a user."""
        return self._tokens[user]

    def client(self, token: str) -> Admin:
        """Whoever the token says."""
        return Admin(self.url, token, self.ca_file)

    def token_file(self, user: str = ADMIN) -> Path:
        """A file with the user's token alone, mode 0600."""
        path = self.at.folder / f"{user.rpartition(':')[2]}.token"
        if not path.exists():
            commands.write_private(path, self._tokens[user])
        return path

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """A kubeconfig of the user, mode 0600."""
        path = self.at.kubeconfig(user)
        commands.write_kubeconfig(path, self.url, self.ca_file, user, self._tokens[user])
        return path

    @property
    def api_server(self) -> Component:
        """To `pause` and `resume`; for stopping and starting see `stop_api_server`."""
        return self.components["kube-apiserver"]

    def stop_api_server(self) -> None:
        """Killed, as in a crash: it refuses connections from now on; everything else runs on."""
        self.api_server.kill()

    def start_api_server(self, ready_seconds: float = READY_SECONDS) -> None:
        """Again, at the same address with the same data; ready when this returns."""
        self.api_server.start()
        self.api_server.wait_until(self.admin.ready, ready_seconds)

    def restart_api_server(self) -> None:
        """Both."""
        self.stop_api_server()
        self.start_api_server()

    def writes(self, user: str = "") -> list[Write]:
        """Every write so far, refused ones too, in order; of one user, or of all, the system's own included."""
        if not self._audit:
            raise GiveUp("this control plane keeps no audit log; start it with audit=True")
        found = []
        for line in self.at.audit_log.read_text().splitlines():
            entry = json.loads(line)
            name = entry.get("impersonatedUser", entry["user"])["username"]
            what = entry.get("objectRef", {})
            resource = "/".join(filter(None, (what.get("resource", ""), what.get("subresource", ""))))
            code = entry.get("responseStatus", {}).get("code", 0)
            write = Write(name, entry["verb"], resource, what.get("namespace", ""), what.get("name", ""), code)
            if user in ("", write.user):
                found.append(write)
        return found

    def add(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Component:
        """A further process that belongs to the cluster and ends with it, started."""
        component = Component(name, command, self.at.folder / f"{name}.log", self._warden, environment)
        self.components[name] = component
        component.start()
        return component

    def stop(self) -> None:
        """End all of it and remove the folder. Killed, not asked: nothing of it is needed again."""
        for component in reversed(self.components.values()):
            component.kill()
        self._warden.dismiss()

    def _start(self, ready_seconds: float) -> None:
        at = self.at
        subprocess.run([binary(KEYS, "keys"), at.folder], check=True)
        commands.write_files(at, self.users, self._tokens)
        self.add("etcd", commands.etcd(at))
        self._start_api_server(ready_seconds)
        for user in SYSTEM:
            self.kubeconfig(user)
        self.add("kube-controller-manager", commands.controller_manager(at))
        self.add("kube-scheduler", commands.scheduler(at))
        self.add("kwok", commands.kwok(at))
        # Pods are refused until the controller manager has made their namespace's account.
        admin = self.admin
        self.components["kube-controller-manager"].wait_until(
            lambda: admin.find("ServiceAccount", "default", "default") is not None, ready_seconds
        )

    def _start_api_server(self, ready_seconds: float) -> None:
        """A free port may be taken before the server has it: then try another."""
        for attempts_left in (2, 1, 0):
            self._port = free_port()
            server = self.add("kube-apiserver", commands.api_server(self.at, self._port, self._audit))
            try:
                server.wait_until(self.admin.ready, ready_seconds)
            except GiveUp:
                if not attempts_left or "address already in use" not in server.tail():
                    raise
            else:
                return
