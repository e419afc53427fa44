"""From a recording over a real agent into a bundle, and out of it again in a process that knows nothing else."""

import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recording_cuts import ROOT, overlaid, phases

from agent.cli.exit_codes import FIX_CONFIGURATION, OK, SAID_NO
from agent.cli.main import main
from agent.demo.processes import play, running_agent
from collectors.recording.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FIRST = next(phase for phase in phases("h200-ddp4") if phase["kind"] == "fault")
CLUSTER, NODE, JOB = "acme-zrh-prod", "gpu-zrh-17", "llama-skunk-7b"
NAMES = {
    "cluster": CLUSTER,
    "node": NODE,
    "job": JOB,
    "host": "acme.example.com",
    "address": "10.77.3.41",
    "person": "alice",
}
LINES = (
    (FIRST["start"] - 19, f"saving checkpoint to /data/alice/{JOB}/step_100/model.pt with HF_TOKEN=hf_{'x' * 20}"),
    (
        FIRST["start"] - 18,
        f"torch.cuda.OutOfMemoryError: CUDA out of memory on {NODE}.acme.example.com (10.77.3.41, host={NODE})",
    ),
)
"""Lines that name names; the first holds a secret."""


@dataclass(frozen=True)
class Bundled:
    """What the agent said, and the files that came of it."""

    incident: dict[str, Any]
    findings: list[dict[str, Any]]
    plain: Path
    renamed: Path
    agent: tuple[str, ...]
    """Options that lead to the agent while it runs."""


def played(path: Path, *more: str) -> dict[str, Any]:
    """What `watchstander replay` finds in it, in a process of its own."""
    command = [sys.executable, "-m", "agent.cli.main", "replay", str(path), "--json", *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    """A straggler in a job whose log names names, over HTTP into an agent."""
    tmp = tmp_path_factory.mktemp("bundle")
    begin, end = FIRST["start"] - 60, FIRST["start"] + 20
    folder = overlaid(ROOT / "h200-ddp4", tmp / "recording", end, lambda _: None, log=LINES, from_s=begin)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"cluster": CLUSTER, "node": NODE, "job": JOB}))
    data = tmp / "data"
    data.mkdir()
    with running_agent(data) as client:
        for _ in play(client, data / "token", folder, CLUSTER, 0, tmp / "collector.log"):
            pass
        until = time.monotonic() + 60
        found: list[dict[str, Any]] = []
        while not any(one["kind"] == "straggler" for one in found) and time.monotonic() < until:
            found = client.get("/v1/incidents")["incidents"]
        incident = next(one for one in found if one["kind"] == "straggler")
        agent = ("--agent", client.address, "--token-file", str(data / "token"))
        plain, renamed = tmp / "plain.zip", tmp / "renamed.zip"
        assert main(["bundle", incident["id"], "--out", str(plain), *agent]) == OK
        assert main(["bundle", incident["id"], "--out", str(renamed), "--rename", *agent]) == OK
        detail = client.get(f"/v1/incidents/{incident['id']}")
        yield Bundled(detail["incident"], detail["findings"], plain, renamed, agent)


def unpacked(path: Path) -> bytes:
    """Everything in it, the batches' own packing too."""
    with zipfile.ZipFile(path) as archive:
        members = [archive.read(name) for name in archive.namelist() if name != "batches.wsb"]
    return b"\n".join([*members, *(repr(batch).encode() for _, batch in Bundle(path).play())])


def test_a_bundle_plays_to_the_same_incident_under_the_same_id_and_is_a_replay(bundled: Bundled) -> None:
    told = played(bundled.plain)
    same = next(one for one in told["incidents"] if one["id"] == bundled.incident["id"])

    assert {key: same[key] for key in ("kind", "kinds", "severity", "title", "subject")} == {
        "kind": bundled.incident["kind"],
        "kinds": bundled.incident["kinds"],
        "severity": bundled.incident["severity"],
        "title": bundled.incident["title"],
        "subject": bundled.incident["names"],
    }
    assert {one["id"] for one in bundled.findings} <= {one["id"] for one in told["findings"]}
    assert "not live" in same["decision"]


def test_a_renamed_bundle_plays_to_the_same_incident_under_other_names(bundled: Bundled) -> None:
    one = next(one for one in played(bundled.renamed)["incidents"] if one["kind"] == bundled.incident["kind"])
    names = bundled.incident["names"]

    assert (one["kinds"], one["severity"], one["opened_at"]) == (
        bundled.incident["kinds"],
        bundled.incident["severity"],
        bundled.incident["opened_ns"] / 1e9,
    )
    assert {key: one["subject"][key] for key in ("gpu", "rank")} == {key: names[key] for key in ("gpu", "rank")}
    assert re.fullmatch(r"node-\d{4}", one["subject"]["node"])
    assert re.fullmatch(r"job-\d{4}", one["subject"]["job"])


@pytest.mark.parametrize("what", NAMES)
def test_no_original_name_is_anywhere_in_a_renamed_bundle(bundled: Bundled, what: str) -> None:
    assert NAMES[what].encode() in unpacked(bundled.plain)
    assert NAMES[what].encode() not in unpacked(bundled.renamed).lower()


def test_no_original_uuid_is_anywhere_in_a_renamed_bundle(bundled: Bundled) -> None:
    uuid = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    before, after = (set(uuid.findall(unpacked(path))) for path in (bundled.plain, bundled.renamed))

    assert len(before) >= 4
    assert not before & after


def test_no_secret_is_in_either(bundled: Bundled) -> None:
    for path in (bundled.plain, bundled.renamed):
        assert b"hf_xxxx" not in unpacked(path)


def test_the_file_says_what_it_holds_and_what_it_does_not(bundled: Bundled) -> None:
    with zipfile.ZipFile(bundled.plain) as archive:
        meta = json.loads(archive.read("meta.json"))
        told = json.loads(archive.read("incident.json"))
        lines = [json.loads(line) for line in archive.read("events.jsonl").splitlines()]

    assert {key: meta[key] for key in ("incident", "origin", "renamed", "cluster", "nodes")} == {
        "incident": bundled.incident["id"],
        "origin": "replay",
        "renamed": False,
        "cluster": CLUSTER,
        "nodes": 1,
    }
    assert [source["from"] for source in meta["sources"]] == ["ingest log"]
    assert any("of the history asked for are not there" in line for line in meta["missing"])
    assert told["incident"] == bundled.incident
    assert told["decisions"]
    assert any("OutOfMemoryError" in line["line"] for line in lines)


def test_the_demo_plays_a_bundle_into_an_agent_of_its_own(bundled: Bundled, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent.cli.main", "demo", "--recording", str(bundled.plain), "--speed", "1000"]
    command += ["--json", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)
    assert summary["recording"] == "plain.zip"
    assert summary["incidents"] >= 1


def test_a_file_that_is_there_is_not_written_over(
    bundled: Bundled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "thesis.zip"
    there.write_text("years of work")

    code = main(["bundle", bundled.incident["id"], "--out", str(there), *bundled.agent])
    assert (code, there.read_text()) == (FIX_CONFIGURATION, "years of work")
    assert "is there already" in capsys.readouterr().err


def test_an_incident_that_is_not_there_is_said_in_one_line_and_leaves_no_file(
    bundled: Bundled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "INC-NOTHERE", "--out", str(tmp_path / "x.zip"), *bundled.agent]) == SAID_NO
    assert "no such incident" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
