"""Reads lists and watches from a Kubernetes API server. GET only: nothing here can change the cluster.

Plain `http.client`: the official client's model objects take ten times the memory (912 MB for 12,500 nodes) and its
watch loses its place. Every request has a time-out.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from collectors.errors import FixConfiguration, RetryLater

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MOST_PAGE_BYTES = 256 * 2**20
"""500 nodes take about 7 MB, 500 pods 5 MB."""
MOST_LINE_BYTES = 8 * 2**20
"""One object; etcd takes 1.5 MB at most."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Gone(RetryLater):
    """The place to go on from is no longer known (410): list anew."""


class Missing(RetryLater):
    """404: no such object, or no such kind in this cluster."""


@dataclass(slots=True)
class KubeApi:
    """One API server and the credentials for it; the token is read anew for each connection, since it rotates."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 30.0
    _open: set[socket.socket] = field(default_factory=set)
    """Sockets themselves: a connection forgets its own once an answer says that it will be closed."""
    _hung_up: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Over `_open` and `_hung_up`: either the cut meets the socket, or whoever brings the socket meets the flag."""

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str], timeout_seconds: float = 30.0) -> "KubeApi":
        """The API server that a pod finds in its environment. FixConfiguration where there is none."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise FixConfiguration(
                "inventory.kubernetes is on, but KUBERNETES_SERVICE_HOST is not set: run the agent in a pod, or set "
                "inventory.kubernetes_url, kubernetes_token_file and kubernetes_ca_file"
            )
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt", timeout_seconds)

    def get(self, path: str, query: Mapping[str, str], timeout_seconds: float | None = None) -> bytes:
        """The whole answer. RetryLater where there is none, Missing for 404, Gone for 410, FixConfiguration for 401
        and 403. `timeout_seconds`: shorter or longer than usual."""
        connection = self._connection(timeout_seconds)
        try:
            answer = self._ask(connection, path, query, timeout_seconds or self.timeout_seconds)
            body = answer.read(MOST_PAGE_BYTES + 1)
            if len(body) > MOST_PAGE_BYTES:
                raise RetryLater(f"{self.url}{path}: a page of more than {MOST_PAGE_BYTES} bytes; ask for less at once")
            return body
        except (OSError, http.client.HTTPException) as error:
            raise RetryLater(f"{self.url}{path}: {_why(error)}; tried again by itself") from None
        finally:
            self._close(connection)

    def lines(self, path: str, query: Mapping[str, str], silence_seconds: float) -> Iterator[bytes]:
        """The lines of a stream until it ends, is cut, or says nothing for so long; an empty one when it has begun.
        Errors as `get`."""
        connection = self._connection()
        try:
            answer = self._ask(connection, path, query, silence_seconds)
            yield b""
            while True:
                line = answer.readline(MOST_LINE_BYTES + 1)
                if not line.endswith(b"\n"):
                    if len(line) > MOST_LINE_BYTES:
                        raise RetryLater(f"{self.url}{path}: a line of more than {MOST_LINE_BYTES} bytes; listed anew")
                    return  # ended; half a line was never told
                yield line
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise RetryLater(f"{self.url}{path}: {_why(error)}; tried again by itself") from None
        finally:
            self._close(connection)

    def hang_up(self) -> None:
        """Cut all connections for good, from any thread: who reads from one sees it end, who opens one fails."""
        with self._lock:
            self._hung_up = True
            cut = tuple(self._open)
        for one in cut:
            _shut(one)

    def _connection(self, timeout_seconds: float | None = None) -> "_Plain | _Tls":
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            except (OSError, ssl.SSLError) as error:
                raise FixConfiguration(f"{self.ca_file}: {_why(error)}; name the API server's CA") from None
            return _Tls(self, host, parts.port, timeout_seconds, context)
        if parts.scheme != "http" or host not in _LOOPBACK:
            raise FixConfiguration(
                f"inventory.kubernetes_url {self.url!r}: must be https:// (http:// on loopback only)"
            )
        return _Plain(self, host, parts.port, timeout_seconds)

    def _ask(
        self, connection: "_Plain | _Tls", path: str, query: Mapping[str, str], silence_seconds: float
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "watchstander"}
        if self.token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
            except (OSError, UnicodeDecodeError) as error:
                raise FixConfiguration(f"{self.token_file}: {_why(error)}; name a readable token file") from None
        connection.connect()
        connection.sock.settimeout(silence_seconds)
        connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        if answer.status == 200:
            return answer
        answer.read(65536)
        where = f"{self.url}{path}: {answer.status} {answer.reason}"
        if answer.status == 410:
            raise Gone(f"{where}; listed anew")
        if answer.status == 404:
            raise Missing(f"{where}; tried again by itself")
        if answer.status in (401, 403):
            raise FixConfiguration(f"{where}: the agent may not read this; grant it in its ClusterRole")
        raise RetryLater(f"{where}; tried again by itself")

    def enter(self, opened: socket.socket) -> None:
        """A socket that may be cut from now on; OSError where all were cut while it was being opened."""
        with self._lock:
            if not self._hung_up:
                self._open.add(opened)
                return
        opened.close()
        raise ConnectionAbortedError("hung up")

    def leave(self, opened: socket.socket) -> None:
        """A socket of which nobody reads any more."""
        with self._lock:
            self._open.discard(opened)

    def _close(self, connection: "_Plain | _Tls") -> None:
        if connection.entered is not None:
            self.leave(connection.entered)
        connection.close()


class _Plain(http.client.HTTPConnection):
    """A connection whose socket can be cut from the moment that it stands."""

    def __init__(self, api: KubeApi, host: str, port: int | None, timeout_seconds: float | None) -> None:
        super().__init__(host, port, timeout=timeout_seconds or api.timeout_seconds)
        self.api = api
        self.entered: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        self.api.enter(self.sock)
        self.entered = self.sock


class _Tls(http.client.HTTPSConnection):
    """The same with TLS: entered before the handshake, in which a server can keep one waiting too."""

    def __init__(
        self, api: KubeApi, host: str, port: int | None, timeout_seconds: float | None, context: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=timeout_seconds or api.timeout_seconds, context=context)
        self.api = api
        self.tls = context
        self.entered: socket.socket | None = None

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        wrapped = self.tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = wrapped
        self.api.enter(wrapped)
        self.entered = wrapped
        wrapped.do_handshake()


def _shut(one: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown: it takes the TLS state away under the thread that is reading.
        socket.socket.shutdown(one, socket.SHUT_RDWR)
    except OSError:
        return  # the other end was quicker


def _why(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
