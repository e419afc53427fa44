"""A small client to a running agent: http.client and the standard library's TLS, no redirects followed.

Which agent and which token, first word wins:

1. `--agent URL`, and `--token-file FILE` or `--kubeconfig FILE`;
2. the environment, WATCHSTANDER_AGENT and WATCHSTANDER_TOKEN_FILE;
3. the data directory, `$XDG_STATE_HOME/watchstander` (`~/.local/state/watchstander`), where the agent of this machine
   leaves `agent.json` (`{"address": "http://127.0.0.1:8480"}`) and `token` (mode 0600).
"""

import argparse
import http.client
import os
import socket
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from agent.cli.exit_codes import NotFound
from collectors.errors import FixConfiguration, GiveUp, RetryLater, WatchError

AGENT_VARIABLE = "WATCHSTANDER_AGENT"
TOKEN_VARIABLE = "WATCHSTANDER_TOKEN_FILE"  # noqa: S105 - the name of a variable
CA_VARIABLE = "WATCHSTANDER_CA_FILE"
TIMEOUT_SECONDS = 30.0
DOWNLOAD_SECONDS = 600.0
"""A bundle is gathered whole before its first byte comes."""
PIECE_BYTES = 256 * 1024
MOST_BYTES = 64 * 2**20
"""A reply beyond this is not ours."""
TOKEN_MOST_BYTES = 16 * 2**10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Query = Mapping[str, str | int | list[str] | None]


class AgentFile(msgspec.Struct):
    """`agent.json` in the data directory."""

    address: str
    ca_file: str = ""


def add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that talks to an agent."""
    group = parser.add_argument_group("the agent")
    group.add_argument("--agent", metavar="URL", help=f"its address; else {AGENT_VARIABLE}, else this machine's agent")
    group.add_argument(
        "--token-file", metavar="FILE", help=f"file with the token; else {TOKEN_VARIABLE}, else this machine's"
    )
    group.add_argument(
        "--kubeconfig", metavar="FILE", help="send the token of this kubeconfig instead: you as the cluster knows you"
    )
    group.add_argument("--context", metavar="NAME", help="of --kubeconfig; else its current context")
    group.add_argument("--ca-file", metavar="FILE", help=f"CA that signed its TLS certificate; else {CA_VARIABLE}")
    group.add_argument(
        "--plain-http",
        action="store_true",
        help="send the token without TLS also to an address that is not loopback",
    )


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the agent of this machine keeps its state."""
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "watchstander"


def connect(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> "AgentClient":
    """The client that the options of `add_agent_arguments`, the environment or the data directory ask for."""
    directory = data_directory(environment)
    address = args.agent or environment.get(AGENT_VARIABLE, "")
    ca_file = args.ca_file or environment.get(CA_VARIABLE, "")
    if not address:
        here = _agent_file(directory / "agent.json")
        address, ca_file = here.address, ca_file or here.ca_file
    return AgentClient(
        address,
        _token(args, environment, directory),
        ca_file=Path(ca_file) if ca_file else None,
        plain_http=args.plain_http,
    )


def _token(args: argparse.Namespace, environment: Mapping[str, str], directory: Path) -> str:
    if args.kubeconfig and args.token_file:
        raise FixConfiguration("--kubeconfig and --token-file both name a token; give one of them")
    if args.context and not args.kubeconfig:
        raise FixConfiguration("--context names a context of --kubeconfig; give that too")
    if args.kubeconfig:
        from policies.cluster.kubeconfig import token_of  # the official client takes 0.3 s to import

        return token_of(Path(args.kubeconfig), args.context)
    return read_token(Path(args.token_file or environment.get(TOKEN_VARIABLE) or directory / "token"))


def _agent_file(path: Path) -> AgentFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=AgentFile)
    except FileNotFoundError:
        raise FixConfiguration(
            f"no agent known: {path} does not exist; start one with `watchstander agent`, "
            f"or name one with --agent or {AGENT_VARIABLE}",
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise FixConfiguration(f"{path} cannot be read ({error}); restart the agent, or give --agent") from None


def read_token(path: Path) -> str:
    """The token in a file that others cannot read; FixConfiguration otherwise."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(TOKEN_MOST_BYTES + 1).strip()
    except FileNotFoundError:
        raise FixConfiguration(
            f"no token: {path} does not exist; give --token-file or {TOKEN_VARIABLE}",
        ) from None
    except OSError as error:
        raise FixConfiguration(f"the token file {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise FixConfiguration(f"the token file {path} is open to every user of this machine; chmod 600 it")
    if not token or len(token) > TOKEN_MOST_BYTES or not token.isascii() or any(byte <= 0x20 for byte in token):
        raise FixConfiguration(f"the token file {path} does not hold one token on one line")
    return token.decode("ascii")


class AgentClient:
    """One agent. A call per connection: the command line makes one or two.

        client = AgentClient("http://127.0.0.1:8480", token)
        client.get("/v1/incidents", {"limit": 5})["incidents"]

    Raises NotFound (404), RetryLater (not running, busy, standby), FixConfiguration (token, right, TLS, address) and
    GiveUp (a request that the agent refuses), each with one line.
    """

    def __init__(self, address: str, token: str, *, ca_file: Path | None = None, plain_http: bool = False) -> None:
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.username is not None:
            raise FixConfiguration(f"not an agent's address: {address!r}; write http(s)://host:port")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not plain_http:
            raise FixConfiguration(
                f"{address} would get the token unencrypted; use https, a port-forward, or say --plain-http",
            )
        self.address = address.rstrip("/")
        self._host, self._port, self._base = parts.hostname, port, parts.path.rstrip("/")
        self._token = token
        self._tls = _tls(ca_file) if parts.scheme == "https" else None

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path, decoded."""
        return self._json(self._call("GET", path, query)[0])

    def raw(self, path: str, query: Query | None = None) -> bytes:
        """The JSON at a path as the agent wrote it."""
        return self._call("GET", path, query)[0]

    def download(self, path: str, query: Query | None, target: IO[bytes]) -> int:
        """Write the file at a path; returns its bytes. RetryLater where it was cut on its way."""
        return self._call("GET", path, query, into=target, seconds=DOWNLOAD_SECONDS)[1]

    def post(self, path: str, body: Any = None) -> Any:
        """POST JSON, and the JSON that comes back."""
        return self._json(self._call("POST", path, None, msgspec.json.encode(body if body is not None else {}))[0])

    def _json(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise GiveUp(f"{self.address} answers, but not as a Watchstander agent does; check the address") from None

    def _call(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None = None,
        *,
        into: IO[bytes] | None = None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> tuple[bytes, int]:
        """The answer's bytes, and how many went `into` a file instead."""
        if path != "/" and "" in path.split("/")[1:]:
            raise GiveUp("an empty ID names nothing; give one, or the beginning of one")
        kept = {key: value for key, value in (query or {}).items() if value is not None}
        target = self._base + quote(path, safe="/:") + (f"?{urlencode(kept, doseq=True)}" if kept else "")
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        connection = self._connection(seconds)
        data, written = b"", 0
        try:
            connection.request(method, target, body=body, headers=headers)
            with connection.getresponse() as response:
                if into is None or response.status >= 300:
                    data = response.read(MOST_BYTES + 1)
                else:
                    while piece := response.read(PIECE_BYTES):
                        written += _write(into, piece)
                    if response.length:  # what was announced and did not come
                        raise http.client.IncompleteRead(b"", response.length)
        except ssl.SSLCertVerificationError as error:
            raise FixConfiguration(
                f"the TLS certificate of {self.address} is not trusted ({error.verify_message}); give --ca-file",
            ) from None
        except ssl.SSLError as error:
            raise FixConfiguration(f"no TLS at {self.address} ({error.reason}); is it http://?") from None
        except TimeoutError:
            raise RetryLater(f"the agent at {self.address} did not answer within {seconds:.0f} s") from None
        except ConnectionRefusedError:
            raise RetryLater(
                f"no agent is running at {self.address}; start one with `watchstander agent`, or give --agent",
            ) from None
        except socket.gaierror:
            raise FixConfiguration(f"no such host: {self._host}; check --agent or {AGENT_VARIABLE}") from None
        except http.client.IncompleteRead:
            raise RetryLater(f"the answer of {self.address} was cut on its way; ask again") from None
        except http.client.HTTPException:
            raise GiveUp(f"{self.address} does not speak HTTP as an agent does; https:// perhaps?") from None
        except OSError as error:
            raise RetryLater(f"the agent at {self.address} cannot be reached: {error.strerror or error}") from None
        finally:
            connection.close()
        if len(data) > MOST_BYTES:
            raise GiveUp(f"{self.address} sent more than 64 MiB; ask for less (--limit)")
        if response.status >= 300:
            raise self._refusal(response, data)
        return data, written

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def _refusal(self, response: http.client.HTTPResponse, data: bytes) -> WatchError:
        said, status = _said(data), response.status
        if status == 401:
            return FixConfiguration(
                f"the agent at {self.address} refuses the token; give the right one with --token-file",
            )
        if status == 403:
            return FixConfiguration(f"the agent at {self.address} does not allow this: {said or 'a right is missing'}")
        if status == 404:
            return NotFound(said or f"the agent at {self.address} has nothing there")
        if status == 421:
            leader = response.getheader("location", "")
            return RetryLater(f"{self.address} is a standby" + (f"; the leader is at {leader}" if leader else ""))
        if status in (429, 502, 503, 504):
            return RetryLater(f"the agent at {self.address} is busy ({status}){': ' + said if said else ''}")
        if status >= 500:
            return GiveUp(f"the agent at {self.address} failed ({status}); its log says why")
        return GiveUp(said or f"the agent at {self.address} refuses the request ({status})")


def _write(target: IO[bytes], piece: bytes) -> int:
    """A disk that is full is not the agent's fault."""
    try:
        return target.write(piece)
    except OSError as error:
        raise FixConfiguration(f"{target.name}: cannot be written ({error.strerror}); name another file") from None


class _Said(msgspec.Struct):
    what: str = ""
    where: str = ""
    do: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Said


def _said(data: bytes) -> str:
    """The agent's own words on why not, on one line; empty where there are none."""
    try:
        error = msgspec.json.decode(data, type=_ErrorBody).error
    except msgspec.MsgspecError:
        return ""
    where = f" ({error.where})" if error.where else ""
    return f"{error.what}{where}" + (f"; {error.do}" if error.do else "")


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise FixConfiguration(f"the CA file {ca_file} cannot be used: {error}; it must be PEM") from None
