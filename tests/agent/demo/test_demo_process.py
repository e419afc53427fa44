"""The demo as people run it: real processes, over a short piece of a recording."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from recording_cuts import ROOT, cut, phases

from agent.cli.commands.demo import MARKER, command_to_show
from agent.cli.exit_codes import FIX_CONFIGURATION
from agent.server.data_folder import DataFolder

pytestmark = pytest.mark.slow


def demo(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "agent.cli.main", "demo", *map(str, arguments)]
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=110)


def test_a_demo_of_a_short_recording_tells_what_was_done_and_leaves_an_agents_folder(tmp_path: Path) -> None:
    first = next(p for p in phases("h200-ddp4") if p["kind"] == "fault")
    folder = cut(ROOT / "h200-ddp4", tmp_path / "short", first["start"] + 20, from_s=first["start"] - 40)
    truth = {"phases": [{**first, "end": first["start"] + 20}]}
    (folder / "truth.json").write_text(json.dumps(truth))
    done = demo("--recording", folder, "--speed", 200, "--json", "--data", tmp_path / "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)
    assert summary["recording"] == "short"
    found = {key: summary["truth"][key] for key in ("faults", "found", "named", "false")}
    assert found == {"faults": 1, "found": 1, "named": 1, "false": 0}
    assert summary["gpu_seconds_lost"]
    assert (tmp_path / "data" / "token").exists()


@pytest.mark.parametrize("name", ["thesis.txt", "token"], ids=["a-persons-folder", "an-agents-own"])
def test_a_folder_that_is_not_the_demos_own_is_not_emptied(name: str, tmp_path: Path) -> None:
    precious = tmp_path / "data"
    precious.mkdir()
    (precious / name).write_text("years of work")
    done = demo("--recording", ROOT / "h200-ddp", "--data", precious, cwd=tmp_path)
    assert done.returncode == FIX_CONFIGURATION
    assert "not a folder of an earlier demo" in done.stderr
    assert (precious / name).read_text() == "years of work"


def test_the_folder_of_a_demo_in_which_an_agent_works_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("")
    (tmp_path / "watchstander.db").write_text("what was found")
    held = DataFolder(tmp_path)
    done = demo("--recording", ROOT / "h200-ddp", "--data", tmp_path, cwd=tmp_path)
    held.close()
    assert done.returncode == FIX_CONFIGURATION
    assert done.stderr == f"watchstander: data directory {tmp_path}: another agent works in it; stop that one first\n"
    assert (tmp_path / "watchstander.db").read_text() == "what was found"


def test_a_recording_that_cannot_be_played_costs_nothing_of_the_last_demo(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("")
    good = ["--recording", ROOT / "h200-ddp"]
    done = demo(*good, "--recording", tmp_path / "away", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode == FIX_CONFIGURATION
    assert done.stderr == f"watchstander: {tmp_path}/away: no such folder: name one that holds a recording\n"
    assert (tmp_path / MARKER).exists()


@pytest.mark.parametrize("speed", ["0", "-1", "1001", "nan"])
def test_a_speed_that_makes_no_sense_is_refused(speed: str, tmp_path: Path) -> None:
    done = demo("--recording", ROOT / "h200-ddp", f"--speed={speed}", "--data", tmp_path / "data", cwd=tmp_path)
    assert done.returncode != 0
    assert "--speed" in done.stderr


@pytest.mark.parametrize(
    ("called", "data", "shown"),
    [
        (".venv/bin/watchstander", "demo-data", ".venv/bin/watchstander agent --data demo-data"),
        ("/x/agent/cli/main.py", "demo-data", "watchstander agent --data demo-data"),
        ("watchstander", "my demo", "watchstander agent --data 'my demo'"),
    ],
)
def test_the_command_that_opens_the_page_can_be_pasted_into_a_shell(called: str, data: str, shown: str) -> None:
    assert command_to_show(Path(called), Path(data)) == shown
