"""Runs `watchstander collect` as a process of its own."""

import gzip
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from collectors.model import Batch
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan

RECORDINGS = Path(__file__).parents[3] / "recordings"
DEADLINE_SECONDS = 60.0


def short_recording(folder: Path, rows: int = 400) -> Path:
    """The beginning of a real recording: 80 s of one GPU at 5 rows a second, 20 batches or so."""
    folder.mkdir()
    with gzip.open(RECORDINGS / "h200-training" / "telemetry.csv.gz", "rt") as whole:
        (folder / "telemetry.csv").write_text("".join(itertools.islice(whole, rows + 1)))
    return folder


def settings_file(folder: Path, url: str, **more: object) -> Path:
    token_file = folder / "token"
    token_file.write_text("a-token")
    settings = {
        "agent": {"url": url, "token_file": str(token_file), "timeout_seconds": 0.5},
        "spool": {"directory": str(folder / "spool"), "max_bytes": 2**20},
        "node": {"id": "node-1", "name": "node-1"},
        "nvml": False,
        "kmsg": None,
        **more,
    }
    path = folder / "settings.yaml"
    path.write_bytes(msgspec.yaml.encode(settings))
    return path


def start(*arguments: object, prelude: str = "") -> subprocess.Popen[str]:
    """`prelude` is Python that runs in the process first."""
    script = f"{prelude}\nimport sys\nfrom agent.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "collect", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out, err


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Look every 10 ms until it holds; fails if the process ends before, or after a minute."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def expected(recording: Path) -> list[Batch]:
    """What has to arrive, in order."""
    return [anonymous(batch) for _, batch in play(Recording(recording), SamplingPlan(), goodbye=True)]


def anonymous(batch: Batch) -> Batch:
    """Without what the spool stamps on it."""
    return msgspec.structs.replace(batch, spool_id="", sequence=0)
