"""`watchstander replay`: exit codes, what it prints, and what it says of folders that are no recordings."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from agent.cli.exit_codes import OK, USAGE
from agent.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[2] / "recordings"))
from recording_cuts import ROOT, cut, phases

FIRST = next(p for p in phases("h200-ddp4") if p["kind"] == "fault")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-five seconds with one fault: a straggler."""
    folder = tmp_path_factory.mktemp("replay") / "short"
    return cut(ROOT / "h200-ddp4", folder, FIRST["start"] + 15, from_s=FIRST["start"] - 30)


def test_json_holds_findings_and_incidents_and_nothing_else(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(short), "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"findings", "incidents"}
    (finding,) = told["findings"]
    (incident,) = told["incidents"]
    assert (
        finding["kind"],
        {key: finding["subject"][key] for key in ("gpu", "rank")},
    ) == ("straggler", {"gpu": 3, "rank": 3})
    assert FIRST["start"] - 3 <= finding["since"] <= finding["opened_at"] <= FIRST["start"] + 15
    assert (incident["kind"], incident["kinds"], incident["state"]) == ("straggler", ["straggler"], "open")
    assert incident["decision"]


def test_people_are_told_line_by_line(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(short)]) == OK
    told = capsys.readouterr().out
    assert "OPENS" in told
    assert "1 finding in 1 incident;" in told


def test_findings_go_to_a_file_one_a_line(short: Path, tmp_path: Path) -> None:
    assert main(["replay", str(short), "--json", "--findings-jsonl", str(tmp_path / "f.jsonl")]) == OK
    (line,) = (tmp_path / "f.jsonl").read_text().splitlines()
    wanted = {"id", "kind", "opened_at", "since", "cleared_at", "subject", "severity", "confidence", "summary"}
    assert wanted <= set(json.loads(line))


def test_nothing_found_is_no_failure(short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(short), "--json", "--until", str(FIRST["start"] - 5)]) == OK
    assert json.loads(capsys.readouterr().out) == {"findings": [], "incidents": []}


def test_rows_that_cannot_be_read_cost_themselves_alone(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import gzip

    folder = tmp_path / "short"
    shutil.copytree(short, folder)
    with gzip.open(short / "telemetry.csv.gz", "rt") as file:
        lines = file.read().splitlines()
    bad = ["", "garbage", "nan,0,1,2", "\x00\x00", ",,,,", "9e99,3,1", lines[5][:20]]
    mixed = lines[:1] + [
        line for k, row in enumerate(lines[1:]) for line in ([row, bad[k % 7]] if k % 9 == 0 else [row])
    ]
    (folder / "telemetry.csv.gz").unlink()
    (folder / "telemetry.csv").write_text("\n".join(mixed))
    assert main(["replay", str(folder), "--json"]) == OK
    said = capsys.readouterr()
    assert [f["kind"] for f in json.loads(said.out)["findings"]] == ["straggler"]
    assert f"{folder / 'telemetry.csv'}: passed over" in said.err


@pytest.mark.parametrize("what", ["missing", "empty", "a-file", "no-times", "bad-meta"])
def test_a_folder_that_is_no_recording_is_named_in_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "recording"
    if what == "a-file":
        folder.write_text("not a folder")
    elif what != "missing":
        folder.mkdir()
    if what == "no-times":
        (folder / "telemetry.csv").write_text("gpu,power_mw\n0,1\n")
    if what == "bad-meta":
        (folder / "meta.json").write_text("{")
    assert main(["replay", str(folder)]) != OK
    said = capsys.readouterr()
    assert said.out == ""
    assert str(folder) in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_findings_file_that_cannot_be_written_is_named(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "no" / "such" / "folder.jsonl"
    assert main(["replay", str(short), "--findings-jsonl", str(target)]) != OK
    said = capsys.readouterr()
    # before the recording is played, which may take an hour
    assert (said.out, said.err) == (
        "",
        f"watchstander: {target}: cannot be written (No such file or directory); name another file\n",
    )


@pytest.mark.parametrize("option", ["--until", "--speed"])
@pytest.mark.parametrize("word", ["nan", "-1", "inf", "soon"])
def test_a_number_that_makes_no_sense_is_refused(
    option: str, word: str, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(short), f"{option}={word}"]) == USAGE
    assert f"argument {option}: {word!r}: give a number of 0 or more" in capsys.readouterr().err


def test_the_last_line_of_a_recording_is_heard_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(ROOT / "h200-xid"), "--findings-jsonl", str(tmp_path / "f.jsonl")]) == OK
    summaries = [json.loads(line)["summary"] for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [summary.split(" on ")[0] for summary in summaries] == ["Xid 31", "Xid 43", "Xid 13"]
