"""The wheel: built here, installed beside the base dependencies alone, and used."""

import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from project_files import PACKAGES, ROOT, tracked

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]
BASE = [
    Requirement(line).name for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
]


def run(*command: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Away from the checkout, so that nothing of it is found by accident."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout without network: hatchling is one of the pinned packages."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        folder,
        ROOT,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def node(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and the base dependencies, as on a node."""
    folder = tmp_path_factory.mktemp("node")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    for name in BASE:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder / "bin"


class Acknowledging(BaseHTTPRequestHandler):
    """An agent that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: a request line a batch is no news."""


@pytest.fixture
def agent() -> Iterator[str]:
    """The address of such an agent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Acknowledging) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_wheel_holds_every_file_of_the_four_packages(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())

    assert [str(path) for path in tracked() if path.parts[0] in PACKAGES and str(path) not in packed] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "agent/web/templates/*.html",
        "agent/web/static/*.css",
        "agent/store/migrations/versions/*.py",
        "policies/default.yaml",
        "collectors/py.typed",
        "watchstander-*.dist-info/licenses/LICENSE",
    ],
)
def test_the_wheel_holds_what_is_no_module(wheel: Path, pattern: str) -> None:
    assert any(Path(name).match(pattern) for name in zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_nothing_but_the_four_packages(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert set(PACKAGES) == {top for top in tops if not top.endswith(".dist-info")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["version"], "watchstander", id="version"),
        pytest.param(["--help"], "collect", id="help"),
        pytest.param(["collect", "--help"], "--settings FILE", id="collect"),
    ],
)
def test_a_node_s_command_runs_with_the_base_dependencies_alone(node: Path, arguments: list[str], says: str) -> None:
    ran = run(node / "watchstander", *arguments)

    assert says in ran.stdout


def test_what_needs_more_names_the_extra(node: Path) -> None:
    ran = run(node / "watchstander", "agent", "--data", node, check=False)

    assert ran.returncode == 3
    assert "pip install 'watchstander[agent]'" in ran.stderr


def test_a_recording_is_played_with_the_base_dependencies_alone(node: Path, agent: str, tmp_path: Path) -> None:
    """Parsers, sampling, encoding, spool and sender all load."""
    token = tmp_path / "token"
    token.write_text("t" * 43)
    token.chmod(0o600)
    play = ["collect", "--recording", ROOT / "recordings/h200-training", "--speed", "0", "--spool", tmp_path / "spool"]
    ran = run(node / "watchstander", *play, "--agent", agent, "--token-file", token, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
