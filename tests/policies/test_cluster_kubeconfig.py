"""The token of a kubeconfig."""

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.errors import FixConfiguration
from policies.cluster.kubeconfig import token_of

PLUGIN = """#!/bin/sh
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-a-plugin"}}'
"""


def kubeconfig(folder: Path, **users: Any) -> Path:
    """One context for each user; the first is the current one."""
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "prod", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": name, "user": user} for name, user in users.items()],
                "contexts": [{"name": name, "context": {"cluster": "prod", "user": name}} for name in users],
                "current-context": next(iter(users)),
            }
        )
    )
    return path


def test_it_is_the_one_of_the_current_context_or_of_the_one_that_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, jane={"token": "janes"}, joe={"token": "joes"})

    assert (token_of(path), token_of(path, "joe")) == ("janes", "joes")


def test_a_token_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")

    assert token_of(kubeconfig(tmp_path, jane={"tokenFile": str(tmp_path / "token")})) == "from-a-file"


def test_a_plugin_is_run_as_kubectl_runs_it(tmp_path: Path) -> None:
    plugin = tmp_path / "login"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o700)
    how = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}

    assert token_of(kubeconfig(tmp_path, jane={"exec": how})) == "from-a-plugin"


@pytest.mark.parametrize(
    ("user", "says"),
    [
        pytest.param({}, "no token is in it", id="nothing"),
        pytest.param({"client-certificate-data": "Zg==", "client-key-data": "Zg=="}, "no token is in it", id="a key"),
        pytest.param({"token": "two words"}, "the token is not one word", id="no token at all"),
    ],
)
def test_where_there_is_none_the_line_says_how_to_get_one(tmp_path: Path, user: dict[str, str], says: str) -> None:
    with pytest.raises(FixConfiguration, match=says):
        token_of(kubeconfig(tmp_path, jane=user))


@pytest.mark.parametrize(
    ("text", "context"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("", None, id="empty"),
        pytest.param("not: [yaml", None, id="torn"),
        pytest.param("just words", None, id="words"),
        pytest.param("{}", "prod", id="no such context"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, text: str | None, context: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FixConfiguration) as caught:
        token_of(path, context)

    assert (str(path) in str(caught.value), "\n" in str(caught.value)) == (True, False)
