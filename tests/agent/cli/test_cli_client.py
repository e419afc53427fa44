import argparse
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from served_agent import ADMIN_TOKEN, ServedAgent

from agent.cli.client import AgentClient, connect, data_directory, read_token
from agent.cli.exit_codes import NotFound
from collectors.errors import FixConfiguration, GiveUp, RetryLater


def options(**given: object) -> argparse.Namespace:
    values = {"agent": None, "token_file": None, "ca_file": None, "plain_http": False}
    values |= {"kubeconfig": None, "context": None}
    return argparse.Namespace(**(values | given))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{ADMIN_TOKEN}\n")
    path.chmod(0o600)
    return path


class Canned(BaseHTTPRequestHandler):
    """Answers `/<status>` with that status and a body, and keeps what it was sent."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["authorization"]))
        status, _, body = self.path.lstrip("/").partition("/")
        self.send_response(int(status))
        if status.startswith("3") or status == "421":
            self.send_header("location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(b'{"error": {"what": "w", "where": "h", "do": "d"}}' if body == "said" else b"<html>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def canned() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Canned) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/401", FixConfiguration, "refuses the token; give the right one with --token-file"),
        ("/403/said", FixConfiguration, "does not allow this: w (h); d"),
        ("/404/said", NotFound, "w (h); d"),
        ("/400/said", GiveUp, "w (h); d"),
        ("/421", RetryLater, "is a standby; the leader is at http://127.0.0.1:9/elsewhere"),
        ("/429", RetryLater, "is busy (429)"),
        ("/503/said", RetryLater, "is busy (503): w (h); d"),
        ("/500", GiveUp, "failed (500); its log says why"),
        ("/302", GiveUp, "refuses the request (302)"),
        ("/200", GiveUp, "not as a Watchstander agent does"),
    ],
)
def test_a_refusal_says_what_to_do_by_its_class(canned: str, path: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        AgentClient(canned, ADMIN_TOKEN).get(path)

    assert says in str(caught.value)
    assert ADMIN_TOKEN not in str(caught.value)


def test_a_redirect_is_not_followed_so_the_token_goes_nowhere_else(canned: str) -> None:
    Canned.seen.clear()
    with pytest.raises(GiveUp):
        AgentClient(canned, ADMIN_TOKEN).get("/307")

    assert Canned.seen == [("/307", f"Bearer {ADMIN_TOKEN}")]


def test_an_agent_that_does_not_run_is_named_with_what_to_do(token_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(RetryLater, match=f"no agent is running at http://127.0.0.1:{port}; start one"):
        AgentClient(f"http://127.0.0.1:{port}", ADMIN_TOKEN).get("/")


def test_what_is_no_http_server_is_told_apart(token_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(GiveUp, match="does not speak HTTP"):
            AgentClient(f"http://127.0.0.1:{server.getsockname()[1]}", ADMIN_TOKEN).get("/")
        thread.join()


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8470", "ftp://x", "http://", "http://h:port", "http://h:99999999", "http://user:pw@127.0.0.1:1"],
)
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(FixConfiguration, match="not an agent's address"):
        AgentClient(address, ADMIN_TOKEN)


def test_the_token_does_not_leave_this_machine_unencrypted_unasked() -> None:
    with pytest.raises(FixConfiguration, match="unencrypted"):
        AgentClient("http://agent.example:8470", ADMIN_TOKEN)
    AgentClient("http://agent.example:8470", ADMIN_TOKEN, plain_http=True)
    AgentClient("https://agent.example:8470", ADMIN_TOKEN)


def test_the_command_line_goes_before_the_environment_before_the_data_directory(
    agent: ServedAgent, token_file: Path, tmp_path: Path
) -> None:
    home = {"XDG_STATE_HOME": str(tmp_path / "state")}
    directory = data_directory(home)
    directory.mkdir(parents=True)
    (directory / "agent.json").write_text(f'{{"address": "{agent.address}"}}')
    (directory / "token").write_text(ADMIN_TOKEN)
    (directory / "token").chmod(0o600)
    environment = home | {"WATCHSTANDER_AGENT": "http://127.0.0.1:2", "WATCHSTANDER_TOKEN_FILE": str(token_file)}

    assert connect(options(), home).get("/v1/version")["version"]
    assert connect(options(), environment).address == "http://127.0.0.1:2"
    assert connect(options(agent="http://127.0.0.1:3"), environment).address == "http://127.0.0.1:3"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "no agent known: ", id="absent"),
        pytest.param("{", "cannot be read", id="torn"),
        pytest.param('{"port": 1}', "cannot be read", id="another shape"),
    ],
)
def test_without_a_usable_agent_file_the_line_says_how_to_name_one(
    tmp_path: Path, content: str | None, says: str
) -> None:
    home = {"XDG_STATE_HOME": str(tmp_path)}
    if content is not None:
        data_directory(home).mkdir()
        (data_directory(home) / "agent.json").write_text(content)

    with pytest.raises(FixConfiguration, match=says) as caught:
        connect(options(), home)
    assert "--agent" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        pytest.param(ADMIN_TOKEN, 0o644, "open to every user of this machine; chmod 600", id="readable by all"),
        pytest.param("", 0o600, "does not hold one token", id="empty"),
        pytest.param("two words", 0o600, "does not hold one token", id="two words"),
        pytest.param("a\r\nx-evil: 1", 0o600, "does not hold one token", id="a header smuggled"),
        pytest.param("é" * 40, 0o600, "does not hold one token", id="not ASCII"),
        pytest.param("a" * 20_000, 0o600, "does not hold one token", id="too long"),
    ],
)
def test_a_bad_token_file_is_refused_without_its_content(tmp_path: Path, content: str, mode: int, says: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)

    with pytest.raises(FixConfiguration, match=says) as caught:
        read_token(path)
    assert not content or content not in str(caught.value)


def test_an_absent_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration, match="token does not exist; give --token-file"):
        read_token(tmp_path / "token")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An HTTPS server with a certificate of its own making."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), Canned) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", certificate
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_tls_is_checked_against_the_ca_file_and_says_so_without_one(tls: tuple[str, Path]) -> None:
    address, ca_file = tls

    with pytest.raises(NotFound):
        AgentClient(address, ADMIN_TOKEN, ca_file=ca_file).get("/404")
    with pytest.raises(FixConfiguration, match=r"is not trusted .*; give --ca-file"):
        AgentClient(address, ADMIN_TOKEN).get("/404")


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")

    with pytest.raises(FixConfiguration, match=r"the CA file .*ca.pem cannot be used"):
        AgentClient("https://127.0.0.1:1", ADMIN_TOKEN, ca_file=tmp_path / "ca.pem")


def test_plain_http_where_tls_was_asked_for_is_told(canned: str) -> None:
    with pytest.raises(FixConfiguration, match="no TLS at https://"):
        AgentClient(canned.replace("http://", "https://"), ADMIN_TOKEN).get("/200")


def test_the_token_of_a_kubeconfig_is_sent_when_that_is_asked_for(agent: ServedAgent, tmp_path: Path) -> None:
    config = tmp_path / "config"
    user = {"name": "jane", "user": {"token": ADMIN_TOKEN}}
    cluster = {"name": "prod", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "prod", "context": {"cluster": "prod", "user": "jane"}}
    config.write_text(
        json.dumps({"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "prod"})
    )
    client = connect(options(agent=agent.address, kubeconfig=str(config)), {"HOME": str(tmp_path)})

    assert client.get("/v1/version")["version"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kubeconfig": "a", "token_file": "b"}, "--kubeconfig and --token-file both name a token; give one of them"),
        ({"context": "a"}, "--context names a context of --kubeconfig; give that too"),
    ],
)
def test_options_about_the_token_that_do_not_go_together_are_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(FixConfiguration, match=says):
        connect(options(agent="http://127.0.0.1:1", **given), {})
