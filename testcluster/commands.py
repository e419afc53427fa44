"""The command lines of the control plane's components, and the files that they read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testcluster.parts import ETCD, KUBERNETES, KWOK, binary

ISSUER = "https://kubernetes.default.svc"
STAGES = Path(__file__).parent / "stages"
KWOK_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "node/chaos/node-not-ready.yaml",
    "pod/fast/pod-ready.yaml",
)
"""Of KWOK's own. Without pod-complete, jobs go on running; what a deleted pod does is told by `stages/`."""
NOT_READY = {"node-not-ready.stage.kwok.x-k8s.io": "true"}
"""Label of a node whose kubelet says NotReady."""
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Layout:
    """Where the files of one control plane lie."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The CA of the API server's certificate."""
        return self.folder / "ca.crt"

    @property
    def etcd(self) -> str:
        """A Unix socket: etcd knows no passwords, so nobody else on the machine may reach it."""
        return f"unix://{self.folder}/etcd.sock"

    @property
    def audit_log(self) -> Path:
        """JSON lines."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """Of one of the token file's users."""
        return self.folder / f"{user.rpartition(':')[2]}.kubeconfig"


def etcd(at: Layout) -> list[str]:
    """Without fsync: what it holds is thrown away anyway."""
    peer = f"unix://{at.folder}/peer.sock"
    return [
        str(binary(ETCD, "etcd")),
        f"--data-dir={at.folder / 'etcd'}",
        f"--listen-client-urls={at.etcd}",
        f"--advertise-client-urls={at.etcd}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(at: Layout, port: int, audit: bool) -> list[str]:
    """On loopback, with tokens, RBAC and the node authorizer."""
    audited = [f"--audit-policy-file={at.folder / 'audit-policy.json'}", f"--audit-log-path={at.audit_log}"]
    return [
        str(binary(KUBERNETES, "kube-apiserver")),
        f"--etcd-servers={at.etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--tls-cert-file={at.folder / 'tls.crt'}",
        f"--tls-private-key-file={at.folder / 'tls.key'}",
        f"--service-account-key-file={at.folder / 'accounts.key'}",
        f"--service-account-signing-key-file={at.folder / 'accounts.key'}",
        f"--service-account-issuer={ISSUER}",
        f"--api-audiences={ISSUER}",
        f"--token-auth-file={at.folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
        "--profiling=false",
        *(audited if audit else []),
    ]


def controller_manager(at: Layout) -> list[str]:
    """Each controller with the rights of its own service account, as in life; quick, since tests wait for it."""
    return [
        str(binary(KUBERNETES, "kube-controller-manager")),
        f"--kubeconfig={at.kubeconfig('system:kube-controller-manager')}",
        f"--service-account-private-key-file={at.folder / 'accounts.key'}",
        f"--root-ca-file={at.ca}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]


def scheduler(at: Layout) -> list[str]:
    """The default profile."""
    configuration = at.folder / "scheduler.json"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": {
                    "kubeconfig": str(at.kubeconfig("system:kube-scheduler")),
                    "qps": 300,
                    "burst": 600,
                },
                "leaderElection": {"leaderElect": False},
            }
        )
    )
    return [str(binary(KUBERNETES, "kube-scheduler")), f"--config={configuration}", "--secure-port=0"]


def kwok(at: Layout) -> list[str]:
    """All nodes are its own."""
    command = str(binary(KWOK, "kwok"))
    stages = [*(KWOK.built / "stages" / name for name in KWOK_STAGES), *sorted(STAGES.glob("*.yaml"))]
    return [
        command,
        f"--kubeconfig={at.kubeconfig('kwok')}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        *(f"--config={stage}" for stage in stages),
    ]


def write_files(at: Layout, users: Mapping[str, Sequence[str]], tokens: Mapping[str, str]) -> None:
    """The token file (`users`: name -> groups) and the audit policy, readable for us only."""
    lines = [f'{tokens[name]},{name},{name},"{",".join(groups)}"\n' for name, groups in users.items()]
    write_private(at.folder / "tokens.csv", "".join(lines))
    write_private(at.folder / "audit-policy.json", json.dumps(AUDIT_POLICY))


def write_kubeconfig(path: Path, url: str, ca: Path, user: str, token: str) -> None:
    """JSON, which is YAML too."""
    context = {"name": "testcluster", "context": {"cluster": "testcluster", "user": user}}
    cluster = {"name": "testcluster", "cluster": {"server": url, "certificate-authority": str(ca)}}
    text = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [context],
        "current-context": "testcluster",
    }
    write_private(path, json.dumps(text, indent=1))


def write_private(path: Path, text: str) -> None:
    """Mode 0600 from the start."""
    path.touch(mode=0o600)
    path.write_text(text)
