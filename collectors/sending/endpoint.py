"""Where the agent is and how to prove who asks: URL, CA, token file. Makes connections; sends nothing by itself."""

import http.client
import ipaddress
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from collectors.errors import FixConfiguration

BATCH_PATH = "/v1/batch"
TIMEOUT_SECONDS = 10.0
_TOKEN_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One agent. Made by `Endpoint.parse`."""

    scheme: str
    host: str
    port: int
    path: str
    """What stands before `/v1/...`; empty, or with a slash in front and none behind."""
    token_file: Path
    ca_file: Path | None = None
    allow_plain_http: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS

    @classmethod
    def parse(
        cls,
        url: str,
        token_file: Path,
        *,
        ca_file: Path | None = None,
        allow_plain_http: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> "Endpoint":
        """Raises FixConfiguration for a URL that cannot be used, or that would bear the token in the clear."""
        shown = repr(url)[:200]
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FixConfiguration(f"agent.url {shown}: {error}; write https://host:port") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FixConfiguration(f"agent.url {shown}: write https://host:port")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise FixConfiguration("agent.url: no user, password, query or fragment; the token goes into a file")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise FixConfiguration(f"agent.url {shown}: printable ASCII without blanks only")
        if parts.scheme == "http" and not allow_plain_http and not is_loopback(parts.hostname):
            raise FixConfiguration(
                f"agent.url {shown}: http:// would send the token in the clear; use https:// "
                "(or set agent.allow_plain_http where something else encrypts)"
            )
        default_port = 443 if parts.scheme == "https" else 80
        return cls(
            parts.scheme,
            parts.hostname,
            port or default_port,
            parts.path.rstrip("/"),
            token_file,
            ca_file,
            allow_plain_http,
            timeout_seconds,
        )

    def elsewhere(self, url: str) -> "Endpoint":
        """The same credentials at the address that an agent named as its leader's.

        Raises FixConfiguration where that would be less safe than here: from https only to https, and the same rule
        for http as anywhere.
        """
        other = Endpoint.parse(
            url,
            self.token_file,
            ca_file=self.ca_file,
            allow_plain_http=self.allow_plain_http,
            timeout_seconds=self.timeout_seconds,
        )
        if self.scheme == "https" and other.scheme != "https":
            raise FixConfiguration(f"the agent names a leader at {other}: not followed from https to http")
        path = other.path.removesuffix(BATCH_PATH)
        return replace(other, path=path)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is opened by its first request. Raises FixConfiguration if the CA file is no good."""
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_seconds)
        context = self._tls()
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout_seconds, context=context)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is None:
            context.load_default_certs()
            return context
        try:
            context.load_verify_locations(cafile=str(self.ca_file))  # one CA costs 1.2 MiB less than all
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "no certificate in PEM form"
            raise FixConfiguration(f"agent.ca_file {self.ca_file}: {reason}; give the CA's certificate") from None
        return context

    def read_token(self) -> str:
        """The bearer token, read anew each time, since projected tokens are exchanged while we run.

        Raises FixConfiguration, without the content, if there is none.
        """
        try:
            with self.token_file.open("rb") as file:
                raw = file.read(_TOKEN_BYTES + 1)
        except OSError as error:
            raise FixConfiguration(
                f"agent.token_file {self.token_file}: {error.strerror}; write the ingest token there"
            ) from None
        token = raw.strip()
        if not token or len(raw) > _TOKEN_BYTES or any(byte <= 0x20 or byte >= 0x7F for byte in token):
            raise FixConfiguration(
                f"agent.token_file {self.token_file}: holds no token; it must be one line of printable ASCII"
            )
        return token.decode("ascii")


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
