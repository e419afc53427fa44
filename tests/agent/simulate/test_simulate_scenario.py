"""Scenario files: what is wrong is said in one line with path and key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.simulate.built_in import BUILT_IN, DEFAULTS
from agent.simulate.fault_kinds import KINDS
from agent.simulate.parameters import FAULT_WEIGHTS
from agent.simulate.placement import fill
from agent.simulate.scenario import checked, read_scenario
from collectors.errors import FixConfiguration

SCENARIOS = Path(__file__).parents[3] / "benchmarks" / "scenarios"
GOOD = """
name: mine
nodes: 4
hours: 0.1
jobs:
  - {name: llm, ranks: 16, tensor: 8}
faults:
  - {kind: collective_hang, at: 60, job: llm, rank: 3}
"""


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)

    scenario = read_scenario(path)
    assert (scenario.nodes, scenario.jobs[0].ranks, scenario.faults[0].kind) == (4, 16, "collective_hang")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("nodes: 4", "nodes: many"), "nodes"),
        (("nodes: 4", "nodes: 0"), "nodes"),
        (("hours: 0.1", "hours: -1"), "hours"),
        (("hours: 0.1", "weeks: 1"), "top"),
        (("tensor: 8", "tensor: 3"), "jobs[0].ranks"),
        (("ranks: 16", "ranks: 64"), "jobs"),
        (("ranks: 16", "ranks: [1]"), "jobs[0].ranks"),
        (("tensor: 8", "log: perl"), "jobs[0].log"),
        (("tensor: 8", "colour: red"), "jobs[0]"),
        (("kind: collective_hang", "kind: meteor"), "faults[0].kind"),
        (("kind: collective_hang", "kind: rack_cooling"), "faults[0].rack"),
        (("at: 60", "at: 9999"), "faults[0].at"),
        (("at: 60", "at: soon"), "faults[0].at"),
        (("job: llm, rank", "job: other, rank"), "faults[0].job"),
        (("job: llm, rank: 3", "job: llm, node: 9"), "faults[0].node"),
        (("name: mine", "name: ../etc"), "name"),
        (("name: mine", "name: mine\nkinds: [meteor]"), "kinds[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1].replace("\n", " "),
)
def test_a_bad_key_is_named_with_its_path_in_one_line(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace(*change))

    with pytest.raises(FixConfiguration) as caught:
        checked(read_scenario(path), str(path))
    assert str(caught.value).startswith(f"{path}: {key}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\x00", "!!python/object:os.system x", "- " * 200], ids=range(6))
def test_what_is_no_scenario_gets_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)

    with pytest.raises(FixConfiguration) as caught:
        read_scenario(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@given(nodes=st.integers(1, 3000))
def test_every_cluster_is_filled_with_jobs_that_fit(nodes: int) -> None:
    jobs = fill(nodes, 8)

    assert jobs and sum(job.ranks for job in jobs) <= nodes * 8
    assert len({job.name for job in jobs}) == len(jobs)


def test_the_day_has_jobs_from_8_to_1024_ranks() -> None:
    ranks = {job.ranks for job in fill(200, 8)}

    assert (min(ranks), max(ranks)) == (8, 1024)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("nodes", [1, 2, 7, 200])
def test_every_scenario_that_ships_is_sound_at_every_size(name: str, nodes: int) -> None:
    _, hours = DEFAULTS[name]

    assert checked(BUILT_IN[name](nodes, hours), name).nodes == nodes


def test_every_kind_that_is_drawn_can_be_brought_about() -> None:
    assert set(FAULT_WEIGHTS) == set(KINDS) - {"rack_cooling"}


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_the_benchmarks_is_one_and_bears_the_name_of_its_file(path: Path) -> None:
    assert read_scenario(path).name == path.stem


def test_the_simulator_page_names_every_scenario_of_the_benchmarks() -> None:
    page = (SCENARIOS.parents[1] / "docs" / "simulator.md").read_text()

    assert [path.stem for path in SCENARIOS.glob("*.yaml") if f"`{path.stem}` (" not in page] == []
