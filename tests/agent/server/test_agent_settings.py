"""Settings, TLS, metrics, and the documents that describe them."""

import inspect
import re
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
from running_agent import RunningAgent, make_batch, numbered_event, wait_for

from agent.ingest.endpoint import IngestEndpoint
from agent.server.metrics import Metrics, by, plain
from agent.server.serve import parse_address
from agent.settings import ListenSettings, Settings, describe, load_settings
from collectors.errors import FixConfiguration

DOCS = Path(__file__).parents[3] / "docs"


def test_settings_come_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("listen:\n  hosts: [a.b]\naccess:\n  tokens:\n  - {name: x, path: /x, roles: [read]}\n")

    settings = load_settings(path)

    assert (settings.listen.hosts, settings.access.tokens[0].name) == (("a.b",), "x")
    assert settings.ingest == Settings().ingest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("listen: {adress: x}", "adress", id="unknown-field"),
        pytest.param("ingest: {commit_seconds: 0.3}", r"\$.ingest.commit_seconds", id="out-of-range"),
        pytest.param("ingest: {body_bytes: many}", r"\$.ingest.body_bytes", id="wrong-type"),
        pytest.param("access: {tokens: [{name: x, path: /x, roles: [king]}]}", "king", id="unknown-role"),
        pytest.param("listen: [", "not YAML", id="no-yaml"),
        pytest.param("listen: {}\nstore: {}\nlisten: {}\n", "line 3: 'listen' stands twice", id="a-key-twice"),
        pytest.param("- 1", "docs/agent.md", id="no-mapping"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)

    with pytest.raises(FixConfiguration, match=words) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_settings_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("\n")
    assert load_settings(path) == Settings()


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (ListenSettings(), ("127.0.0.1", 8480)),
        (ListenSettings("[::1]:0"), ("::1", 0)),
        (ListenSettings("localhost:1"), ("localhost", 1)),
        (ListenSettings("0.0.0.0:8480", behind_tls_proxy=True), ("0.0.0.0", 8480)),
        (ListenSettings("0.0.0.0:8480", "cert", "key"), ("0.0.0.0", 8480)),
        (ListenSettings("0.0.0.0:8480"), None),
        (ListenSettings("10.0.0.1:8480"), None),
        (ListenSettings("[::]:8480"), None),
        (ListenSettings("agent.example.org:8480"), None),
        (ListenSettings("0.0.0.0:8480", tls_certificate="cert"), None),
        (ListenSettings("127.0.0.1"), None),
        (ListenSettings("127.0.0.1:99999"), None),
        (ListenSettings(":8480"), None),
    ],
)
def test_it_listens_in_the_clear_on_loopback_only(listen: ListenSettings, address: tuple[str, int] | None) -> None:
    if address is None:
        with pytest.raises(FixConfiguration):
            parse_address(listen)
    else:
        assert parse_address(listen) == address


@pytest.mark.slow
def test_it_speaks_tls_with_the_files_of_the_settings(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    listen = ListenSettings("localhost:0", str(certificate), str(key))
    agent = RunningAgent(tmp_path / "data", Settings(listen=listen)).start()
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"https://localhost:{agent.port}/healthz", context=context) as answer:
            assert answer.read() == b"ok\n"
        assert agent.said[0].startswith("watchstander agent listens on https://")
    finally:
        agent.stop()


def test_tls_files_that_will_not_do_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no pem")

    with pytest.raises(FixConfiguration, match=r"bad\.pem"):
        RunningAgent(tmp_path / "data", Settings(listen=ListenSettings("localhost:0", str(bad), str(bad)))).start()


def table_rows(text: str) -> dict[str, str]:
    """First cell to the rest of the row, of all rows whose first cell is code."""
    return dict(re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.MULTILINE))


def test_every_setting_stands_in_the_document_with_its_default_and_its_words() -> None:
    expected = {said.name: f" `{said.default}` | {' '.join(said.text.split())} " for said in describe()}

    assert table_rows((DOCS / "agent.md").read_text().partition("## Settings")[2]) == expected
    assert all(said.text for said in describe())


def test_every_metric_stands_in_the_document_with_its_type(running: RunningAgent) -> None:
    text = running.request("GET", "/metrics")[2].decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    documented = table_rows((DOCS / "operations-metrics.md").read_text().partition("## Reasons")[0])

    assert {name: rest.split("|")[0].strip() for name, rest in documented.items()} == types
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())


def test_every_reason_for_a_refusal_stands_in_the_document() -> None:
    source = inspect.getsource(inspect.getmodule(IngestEndpoint))
    reasons = set(re.findall(r'_No\(\s*(?:\d+|said\.status), "(\w+)"', source))
    reasons |= {"credential", "attempts", "role", "identity", "disconnected"}
    documented = set(table_rows((DOCS / "operations-metrics.md").read_text().partition("## Reasons")[2])) - {"reason"}

    assert reasons == documented


def test_metrics_are_written_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.counter("b_total", "Second.", by("reason", lambda: [('a"\n\\', 2)]))
    metrics.gauge("a", "First.", plain(lambda: 0.5))

    assert metrics.text() == (
        "# HELP a First.\n# TYPE a gauge\na 0.5\n"
        '# HELP b_total Second.\n# TYPE b_total counter\nb_total{reason="a\\"\\n\\\\"} 2\n'
    )


def test_the_figures_move_with_what_happens(running: RunningAgent) -> None:
    running.send(make_batch(1, events=(numbered_event(1, 1),)))
    running.send(make_batch(1, events=(numbered_event(1, 1),)))
    running.send(b"garbage")
    wait_for(lambda: running.metric("watchstander_watch_looks_total") > 0, "a look")

    names = ("batches", "duplicates", "events")
    figures = {name: running.metric(f"watchstander_ingest_{name}_total") for name in names}
    assert running.metric('watchstander_ingest_refused_total{reason="malformed"}') == 1
    assert running.metric("watchstander_ingest_log_bytes") > 100
    assert running.metric("watchstander_watch_spaces") == 1
    assert figures == {"batches": 1, "duplicates": 1, "events": 1}
