"""A small server that speaks lists and watches as a Kubernetes API server does, over a real socket, on loopback."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"  # noqa: S105 - of this server alone
LISTS = (
    "/api/v1/nodes",
    "/api/v1/pods",
    "/apis/policy/v1/poddisruptionbudgets",
    "/api/v1/namespaces",
)
CUT = object()
"""Put into a watch: the connection breaks in the middle of a line."""


def node(number: int, *, gpus: int = 8, rack: str | None = None, uid: str | None = None, padding: int = 0) -> Any:
    """A node as the API shows it; `padding` labels and as many images make it as fat as real ones."""
    labels = {
        "kubernetes.io/hostname": f"node-{number:05d}",
        "nvidia.com/gpu.clique": f"c1a2.{number // 18}",
        "eks.amazonaws.com/nodegroup": "h200",
        **{f"feature.node.kubernetes.io/cpu-cpuid.{i}": "true" for i in range(padding)},
    }
    if rack is not None:
        labels["topology.kubernetes.io/rack"] = rack
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"node-{number:05d}",
            "uid": uid or f"{number:08d}-node-4000-8000-000000000000",
            "resourceVersion": str(number + 1),
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:{i}": {} for i in range(padding)}}],
        },
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {
            "capacity": {"cpu": "192", "memory": "2Ti", **({"nvidia.com/gpu": str(gpus)} if gpus else {})},
            "allocatable": {"cpu": "190", "memory": "2Ti", **({"nvidia.com/gpu": str(gpus)} if gpus else {})},
            "nodeInfo": {"bootID": f"boot-{number}", "kernelVersion": "6.8.0"},
            "images": [{"names": [f"registry.example/{i}@sha256:{i:064x}"], "sizeBytes": i} for i in range(padding)],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def pod(
    name: str,
    uid: str,
    *,
    on: str = "",
    gpus: int = 8,
    owner: str = "",
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    padding: int = 0,
) -> Any:
    """A pod as the API shows it."""
    references = [{"kind": "Job", "name": f"job-of-{owner}", "uid": owner, "controller": True}] if owner else []
    limits = {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    env = [{"name": f"VARIABLE_{i}", "value": f"value-{i}"} for i in range(padding)]
    usual = {
        "cni.projectcalico.org/podIP": f"10.{len(uid)}.0.1/32 of {uid}",
        "cni.projectcalico.org/containerID": f"{uid:0>64}",
        "prometheus.io/scrape": "true",
        "sidecar.istio.io/inject": "false",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "train",
            "uid": uid,
            "resourceVersion": "7",
            "labels": labels or {},
            "annotations": usual if padding else {},
            "ownerReferences": references,
            "managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:{i}": {} for i in range(padding)}}],
        },
        "spec": {"nodeName": on, "containers": [{"name": "main", "env": env, "resources": {"limits": limits}}]},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


class KubeServer:
    """Lists that a test lays down, and watches that it tells what to say."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Any]] = {path: [] for path in LISTS}
        self.single: dict[str, Any] = {}
        """Objects that are asked for one by one, by path."""
        self.say: dict[str, queue.SimpleQueue[Any]] = {path: queue.SimpleQueue() for path in self.objects}
        self.asked: queue.SimpleQueue[tuple[str, dict[str, str]]] = queue.SimpleQueue()
        self.expire_continue = False
        """Answer 410 to the next page asked for, once."""
        self.refuse = 0
        """Answer this status to everything."""
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"kube": self})
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def tell(self, path: str, kind: str, value: Any) -> None:
        """One line of the watch."""
        self.say[path].put({"type": kind, "object": value})

    def wait_for_watch(self, path: str) -> dict[str, str]:
        """Until a watch of this path is asked for; its query."""
        while True:
            asked, query = self.asked.get(timeout=20)
            if asked == path and "watch" in query:
                return query

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    kube: KubeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.kube.asked.put((parts.path, query))
        if self.kube.refuse or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(self.kube.refuse or 401, {"kind": "Status"})
        elif "watch" in query:
            self._watch(parts.path)
        elif parts.path in self.kube.single:
            self._answer(200, self.kube.single[parts.path])
        elif parts.path not in self.kube.objects:
            self._answer(404, {"kind": "Status", "code": 404})
        else:
            self._list(parts.path, query)

    def _list(self, path: str, query: dict[str, str]) -> None:
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "500"))
        if start and self.kube.expire_continue:
            self.kube.expire_continue = False
            self._answer(410, {"kind": "Status", "code": 410})
            return
        items = self.kube.objects[path]
        if callable(items):
            self._answer(200, items(start, limit))
            return
        more = str(start + limit) if start + limit < len(items) else ""
        self._answer(
            200, {"metadata": {"resourceVersion": "100", "continue": more}, "items": items[start : start + limit]}
        )

    def _watch(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.kube.closing.is_set():
            try:
                said = self.kube.say[path].get(timeout=0.05)
            except queue.Empty:
                continue
            if said is CUT:
                self._chunk(b'{"type":"ADDED","object":{"metada')
                self.close_connection = True
                return
            if said is None:
                break
            self._chunk(said if isinstance(said, bytes) else json.dumps(said).encode() + b"\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _answer(self, status: int, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
