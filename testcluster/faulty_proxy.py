"""A real HTTP proxy in front of the API server that goes wrong as told: refuses, cuts connections, answers late.

    with FaultyProxy(plane.url, plane.ca_file) as proxy:
        proxy.add(Fault("PATCH", "/nodes/", cut_after=True))       # the write is applied, its answer never comes
        proxy.add(Fault("POST", "/eviction", status=429, headers={"Retry-After": "7"}, times=2))

Who may do what is the API server's to say: the caller's own token goes through.
"""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "accept-encoding"})
"""Headers that are between neighbours only."""


@dataclass
class Fault:
    """What goes wrong, for requests of a method whose path has a match of `path`."""

    method: str
    path: str
    """Regular expression."""
    times: int = 1
    """How many requests meet it."""
    status: int = 0
    """This answer, and the request never reaches the API server."""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_before: bool = False
    """The connection is closed, and the request never reaches the API server."""
    cut_after: bool = False
    """The request is carried out, and the connection closed without an answer."""
    hold: bool = False
    """The request is carried out, and its answer kept until `release` or the end."""

    def meets(self, method: str, path: str) -> bool:
        """Whether this request is one of those."""
        return self.times > 0 and self.method in ("", method) and re.search(self.path, path) is not None


@dataclass(frozen=True)
class Passed:
    """A request as it came, and what became of it."""

    method: str
    path: str
    status: int
    """What the API server said; 0: it never saw the request."""


class FaultyProxy:
    """Listens on loopback at `url`, from `__enter__` on."""

    def __init__(self, target: str, ca_file: Path) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.passed: list[Passed] = []
        """Every request so far, in order."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, fault: Fault) -> None:
        """From now on; of two that meet a request the older one goes first."""
        with self._lock:
            self._faults.append(fault)

    def release(self) -> None:
        """Give the answers that are held."""
        self._released.set()

    def writes(self) -> list[Passed]:
        """The requests that changed something."""
        return [one for one in self.passed if one.method != "GET" and 200 <= one.status < 300]

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.meets(method, path):
                    fault.times -= 1
                    return fault
        return None

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._fault(request.command, request.path)
        if fault is not None and (fault.cut_before or fault.status):
            self.passed.append(Passed(request.command, request.path, 0))
            if fault.cut_before:
                request.close_connection = True
                return
            _answer(request, fault.status, fault.headers, _status(fault.status))
            return
        status, headers, answer = self._forward(request, body)
        self.passed.append(Passed(request.command, request.path, status))
        if fault is not None and fault.hold:
            self._released.wait()
        if fault is not None and fault.cut_after:
            request.close_connection = True
            return
        _answer(request, status, headers, answer)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=30, context=self._tls)
        try:
            connection.request(request.command, request.path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            return 502, {}, _status(502, str(error))
        finally:
            connection.close()
        return answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in HOP}, text


def _answer(request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes) -> None:
    try:
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
    except OSError:
        request.close_connection = True  # the client did not wait


def _status(code: int, message: str = "said by the faulty proxy") -> bytes:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return json.dumps(status).encode()
