"""Which addresses are used, and which are refused because the token would go over the wire in the clear."""

from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from collectors.sending.endpoint import Endpoint

TOKEN = Path("/nonexistent/token")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://agent.example", "https://agent.example:443"),
        ("https://agent.example:8443/ws/", "https://agent.example:8443/ws"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://localhost", "http://localhost:80"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("http://127.8.8.8:1", "http://127.8.8.8:1"),
    ],
)
def test_good_addresses(url: str, shown: str) -> None:
    assert shown == str(Endpoint.parse(url, TOKEN))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://agent.example", "would send the token in the clear"),
        ("http://127.0.0.1.example.com", "would send the token in the clear"),
        ("http://10.0.0.1:9000", "would send the token in the clear"),
        ("agent.example:9000", "write https://host:port"),
        ("ftp://agent.example", "write https://host:port"),
        ("", "write https://host:port"),
        ("https://", "write https://host:port"),
        ("https://user:secret@agent.example", "no user, password, query or fragment"),
        ("https://agent.example?x=1", "no user, password, query or fragment"),
        ("https://agent.example:99999", "Port out of range"),
        ("https://[::1", "Invalid IPv6"),
        ("https://agent.example/a b", "printable ASCII"),
    ],
)
def test_bad_addresses_are_refused_in_one_line(url: str, message: str) -> None:
    with pytest.raises(FixConfiguration, match=message) as caught:
        Endpoint.parse(url, TOKEN)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_plain_http_can_be_allowed() -> None:
    assert Endpoint.parse("http://agent.example", TOKEN, allow_plain_http=True).scheme == "http"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_is_none_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    endpoint = Endpoint.parse("https://agent.example", TOKEN, ca_file=ca_file)
    with pytest.raises(FixConfiguration, match=r"agent.ca_file .*ca.pem: .*give the CA's certificate"):
        endpoint.connect()
