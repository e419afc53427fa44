"""Small clusters from end to end: simulated, replayed, scored."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.replay import open_recording, replay
from agent.simulate.built_in import BUILT_IN
from agent.simulate.scenario import FaultSpec, JobSpec, Scenario
from agent.simulate.simulation import simulate
from agent.watch import Changes
from collectors.errors import FixConfiguration
from collectors.model import EventKind, SubjectKind
from collectors.recording.batches import BatchRecording

pytestmark = pytest.mark.slow

HANG = Scenario(
    name="small",
    nodes=2,
    hours=0.05,
    jobs=(
        JobSpec(
            name="llm",
            ranks=16,
            start_seconds=5,
            step_seconds=0.5,
            log="torchtitan",
            log_every=1,
            watts=692,
            save_every_seconds=600,
            evaluation_every_seconds=3000,
        ),
    ),
    faults=(FaultSpec(kind="collective_hang", at=70, lasts=40, job="llm", rank=11),),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodes for three minutes, with one hang."""
    folder = tmp_path_factory.mktemp("small") / "out"
    simulate(HANG, 7, folder)
    return folder


@pytest.fixture(scope="module")
def played(small: Path) -> list[tuple[int, Changes]]:
    """All that its replay says."""
    return list(replay(open_recording(small)))


def truth(folder: Path) -> list[dict[str, Any]]:
    phases: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text())["phases"]
    return phases


def inventory(folder: Path) -> list[dict[str, str]]:
    with (folder / "inventory.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    simulate(HANG, 7, tmp_path / "again")

    assert files(tmp_path / "again") == files(small)


def test_another_seed_gives_another_course(small: Path, tmp_path: Path) -> None:
    simulate(HANG, 8, tmp_path / "other")

    assert files(tmp_path / "other")["batches.wsb"] != files(small)["batches.wsb"]


def test_the_inventory_lists_every_card_with_its_job_and_rank(small: Path) -> None:
    cards = inventory(small)

    assert [(row["node"], row["gpu"], row["rank"]) for row in cards] == [
        (f"node-{n:04d}", str(g), str(8 * n + g)) for n in range(2) for g in range(8)
    ]
    assert {row["rack"] for row in cards} == {"rack-00"}
    assert len({row["uuid"] for row in cards}) == 16 and len({row["job"] for row in cards}) == 1


def test_the_truth_blames_the_rank_that_was_stopped(small: Path) -> None:
    [fault] = [phase for phase in truth(small) if phase["kind"] == "fault"]

    assert fault["guilty"] == {"node": "node-0001", "gpu": 3, "rank": 11}
    assert (fault["label"], fault["root"], fault["job"]) == ("collective_hang", "collective_hang", "llm")
    assert fault["end"] - fault["start"] == pytest.approx(40, abs=0.01)


def test_what_is_played_comes_from_every_node_with_the_job_known(small: Path) -> None:
    recording = open_recording(small)
    assert isinstance(recording, BatchRecording)
    batches = [batch for _, batch in recording.play()]

    assert len({batch.node for batch in batches}) == 2
    names = {facts.name for batch in batches for facts in batch.facts if facts.subject.kind is SubjectKind.JOB}
    kinds = {event.kind for batch in batches for event in batch.events}
    assert names == {"llm"}
    assert {EventKind.COLLECTOR_START, EventKind.TRAINING_START, EventKind.TRAINING_STEP} <= kinds
    assert not recording.bad


def test_the_replay_finds_the_hang_and_its_rank(played: list[tuple[int, Changes]]) -> None:
    incidents = {i.id: i for _, changes in played for i in changes.incidents}

    [one] = incidents.values()
    assert one.kind.value == "collective_hang"
    assert {"node": "node-0001", "gpu": "3", "rank": "11", "job": "llm", "rack": "rack-00"}.items() <= one.names.items()


def test_a_replay_cut_at_a_time_says_what_the_whole_one_said_before_it(
    small: Path, played: list[tuple[int, Changes]]
) -> None:
    recording = open_recording(small)
    until_ns = recording.start_ns + 90 * 10**9

    def told(changes: Iterable[tuple[int, Changes]]) -> set[str]:
        return {f.id for _, change in changes for f in change.findings if f.opened_ns < until_ns}

    assert told(replay(recording, until_ns=until_ns)) == told(played) != set()


def test_rows_cannot_be_played_natively_where_there_are_none(small: Path) -> None:
    with pytest.raises(FixConfiguration, match="without --native"):
        next(replay(open_recording(small), native=True))


@pytest.mark.slow
def test_the_commands_write_incidents_and_score_them(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "incidents.jsonl"

    assert main(["replay", str(small), "--incidents-jsonl", str(lines)]) == 0
    [said] = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {"id", "kind", "subject", "opened_at", "since", "resolved_at", "kinds"} <= said.keys()
    assert {"node": "node-0001", "gpu": 3, "rank": 11, "job": "llm"}.items() <= said["subject"].items()
    capsys.readouterr()
    assert main(["score", str(small), "--incidents", str(lines), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    wanted = {"causes": 1, "found": 1, "false": 0, "root_right": 1, "guilty_right": 1, "split": 0, "merged": 0}
    assert {key: figures[key] for key in wanted} == wanted
    assert main(["score", str(small)]) == 0
    assert "1 incidents for 1 true causes: 1 found" in capsys.readouterr().out


def test_a_folder_in_use_is_refused(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "quiet", "--nodes", "1", "--hours", "0.01", "--out", str(small)]) == 3
    assert capsys.readouterr().err == f"watchstander: {small}: is not empty; name a new folder\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["day", "--nodes", "0"], "--nodes 0"),
        (["day", "--hours", "-1"], "--hours -1.0"),
        (["day", "--seed", "-1"], "--seed -1"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
    ids=["nodes", "hours", "seed", "file"],
)
def test_a_bad_command_line_gets_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments, "--out", str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("day", 1), ("day", 2), ("quiet", 1), ("wave", 1)])
def test_every_phase_lies_inside_the_run_and_every_guilty_card_exists(name: str, seed: int, tmp_path: Path) -> None:
    scenario = BUILT_IN[name](12, 0.25)
    simulate(scenario, seed, tmp_path / "out")
    cards, phases = inventory(tmp_path / "out"), truth(tmp_path / "out")
    start, end = 1_795_392_000, 1_795_392_000 + 900
    known = {(row["node"], int(row["gpu"])) for row in cards}
    nodes, racks = {row["node"] for row in cards}, {row["rack"] for row in cards}

    for phase in phases:
        guilty = phase.get("guilty", {})
        assert start <= phase["start"] <= phase["end"] <= end
        assert "gpu" not in guilty or (guilty["node"], guilty["gpu"]) in known
        assert guilty.get("node") in nodes | {None} and guilty.get("rack") in racks | {None}
        assert phase["kind"] == "benign" or phase["root"]
    assert name != "quiet" or all(phase["kind"] == "benign" for phase in phases)


@pytest.mark.slow
def test_a_cascade_is_one_cause_with_a_long_story(tmp_path: Path) -> None:
    simulate(BUILT_IN["cascade"](3, 0.45), 1, tmp_path / "out")
    [fault] = truth(tmp_path / "out")
    log = (tmp_path / "out" / "logs" / "llm.log").read_text()

    assert (fault["label"], fault["root"]) == ("gpu_lost", "gpu_lost")
    assert [step["what"] for step in fault["story"]] == [
        "the others wait; time-out after 600 s",
        "started again on the same card",
        "started again elsewhere",
    ]
    assert log.count("***** Running training *****") == 2  # the second attempt dies before it says so
    assert log.count("Watchdog caught collective operation timeout") == 15
    assert "CUDA-capable device(s) is/are busy or unavailable" in log
    assert 600 < fault["end"] - fault["start"] < 1200
