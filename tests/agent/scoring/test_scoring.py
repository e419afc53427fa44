"""Incidents against truth: what counts as found, right, merged, split and false."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scoring.bound import most_events, percentile
from agent.scoring.inventory import Cluster, read_cluster
from agent.scoring.match import match
from agent.scoring.score import Score
from agent.scoring.told import Told, read_incident, read_incidents
from agent.scoring.truth import Cause, read_truth
from collectors.errors import FixConfiguration

RECORDINGS = Path(__file__).parents[3] / "recordings"
CLUSTER = Cluster(4, {"a": "r0", "b": "r0", "c": "r1", "d": "r1"})


def fault(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "fault",
        "label": "collective_hang",
        "start": 100.0,
        "end": 200.0,
        "guilty": {"node": "a", "gpu": 3, "rank": 3},
        "root": "collective_hang",
        "job": "llm",
    } | changes


def incident(number: int = 1, **changes: Any) -> Told:
    said = {
        "id": f"INC-{number}",
        "kind": "collective_hang",
        "subject": {"node": "a", "gpu": 3, "rank": 3, "job": "llm"},
        "opened_at": 110.0,
        "since": 101.0,
        "resolved_at": None,
        "kinds": ["collective_hang"],
    }
    return read_incident(said | changes)


def causes(tmp_path: Path, *phases: Any) -> tuple[Cause, ...]:
    (tmp_path / "truth.json").write_text(json.dumps({"phases": list(phases)}))
    return read_truth(tmp_path).causes


def figures(tmp_path: Path, phases: list[Any], told: list[Told]) -> dict[str, Any]:
    return Score(match(causes(tmp_path, *phases), told, CLUSTER), 4, 86_400.0).figures()


def test_an_incident_at_the_right_card_with_the_right_root_is_all_right(tmp_path: Path) -> None:
    says = figures(tmp_path, [fault()], [incident()])

    assert (says["found"], says["root_right"], says["guilty_right"], says["false"]) == (1, 1, 1, 0)
    assert (says["delay_p50_s"], says["delay_p99_s"], says["incidents"], says["causes"]) == (10.0, 10.0, 1, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "straggler"}, (1, 0, 1, 0)),
        ({"subject": {"node": "a", "gpu": 4, "rank": 4, "job": "llm"}}, (1, 1, 0, 0)),
        ({"subject": {"job": "llm"}}, (1, 1, 0, 0)),
        ({"subject": {"node": "b", "gpu": 0, "job": "other"}}, (0, 0, 0, 1)),
        ({"opened_at": 90.0}, (0, 0, 0, 1)),
        ({"opened_at": 95.0}, (1, 1, 1, 0)),
        ({"opened_at": 229.0}, (1, 1, 1, 0)),
        ({"opened_at": 231.0}, (0, 0, 0, 1)),
    ],
    ids=["wrong root", "wrong card", "only the job", "elsewhere", "before", "just before", "just after", "after"],
)
def test_each_way_of_being_wrong_counts_where_it_belongs(
    tmp_path: Path, changes: dict[str, Any], expected: tuple[int, int, int, int]
) -> None:
    says = figures(tmp_path, [fault()], [incident(**changes)])

    assert (says["found"], says["root_right"], says["guilty_right"], says["false"]) == expected


def test_a_second_incident_about_a_cause_is_split_off_and_not_false(tmp_path: Path) -> None:
    other = incident(2, kind="job_crash", subject={"job": "llm"}, opened_at=150.0)
    says = figures(tmp_path, [fault()], [incident(), other])

    assert (says["found"], says["split"], says["false"], says["incidents"]) == (1, 1, 0, 2)


def test_two_causes_at_once_take_an_incident_each_by_root(tmp_path: Path) -> None:
    storm = fault(
        label="ecc_correctable_storm", root="ecc_correctable_storm", start=104.0, guilty={"node": "b", "gpu": 1}
    )
    told = [
        incident(),
        incident(2, kind="ecc_correctable_storm", subject={"node": "b", "gpu": 1, "job": "llm"}, opened_at=112.0),
    ]
    says = figures(tmp_path, [fault(), storm], told)

    assert (says["found"], says["root_right"], says["guilty_right"], says["split"], says["merged"]) == (2, 2, 2, 0, 0)


def test_a_cause_whose_findings_went_under_in_anothers_incident_is_merged_not_missed(tmp_path: Path) -> None:
    storm = fault(
        label="ecc_correctable_storm", root="ecc_correctable_storm", start=104.0, guilty={"node": "b", "gpu": 1}
    )
    members = [
        {
            "kind": "collective_hang",
            "subject": {"node": "a", "gpu": 3, "job": "llm"},
            "since": 101.0,
            "opened_at": 110.0,
        },
        {"kind": "ecc_correctable_storm", "subject": {"node": "b", "gpu": 1}, "since": 105.0, "opened_at": 112.0},
    ]
    says = figures(tmp_path, [fault(), storm], [incident(findings=members)])

    assert (says["found"], says["merged"], says["missed"], says["false"]) == (1, 1, 0, 0)


def test_an_incident_that_another_absorbed_counts_for_nothing(tmp_path: Path) -> None:
    says = figures(tmp_path, [fault()], [incident(), incident(2, kinds=[], opened_at=300.0)])

    assert (says["incidents"], says["false"], says["split"]) == (1, 0, 0)


def test_a_rack_is_blamed_by_any_of_its_nodes(tmp_path: Path) -> None:
    cooling = fault(label="rack_cooling", root="thermal_throttle", guilty={"rack": "r1"}, jobs=["x"])
    right = incident(kind="thermal_throttle", subject={"node": "d", "gpu": 1})
    wrong = incident(2, kind="straggler", subject={"node": "a", "gpu": 1, "job": "x"}, opened_at=120.0)

    assert figures(tmp_path, [cooling], [right, wrong])["guilty_right"] == 1
    assert figures(tmp_path, [cooling], [wrong])["guilty_right"] == 0


HOLES = [
    ({"kind": "fault", "label": "xid", "start": 1.0}, "has no end"),
    ({"kind": "fault", "start": 1.0, "end": 2.0}, "has no label"),
    ({"label": "xid", "start": 1.0, "end": 2.0}, "has no kind"),
    (fault(start="soon"), "start is 'soon', no time in Unix seconds"),
    (fault(end=50.0), "end lies before start"),
    (fault(guilty=[3]), "guilty is no object"),
    (fault(root="gremlin"), "'gremlin' is not a valid FindingKind"),
    (fault(root=None, label="gremlin"), "label 'gremlin' is unknown and no root is given"),
    (7, "is no object"),
    (fault(kind="perhaps"), "kind is 'perhaps', neither fault nor benign"),
    (fault(guilty={"gpu": "third"}), "invalid literal for int() with base 10: 'third'"),
]


@pytest.mark.parametrize(("hole", "says"), HOLES, ids=[says[:24] for _, says in HOLES])
def test_a_hole_in_the_truth_gets_one_line_and_the_rest_is_scored(tmp_path: Path, hole: Any, says: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"phases": [fault(), hole, {"kind": "benign"}, fault(label="xid", root="xid")]}))
    truth = read_truth(tmp_path)

    assert truth.problems == (f"{path}: phases[1]: {says}; passed over",)
    assert [cause.label for cause in truth.causes] == ["collective_hang", "xid"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"phases": 3}', "[" * 5000], ids=["empty", "list", "none", "3", "deep"]
)
def test_what_is_no_truth_at_all_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "truth.json").write_text(text)

    with pytest.raises(FixConfiguration) as caught:
        read_truth(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["h200-training", "h200-ddp", "h200-ddp4"])
def test_every_fault_of_the_recordings_can_be_scored(name: str) -> None:
    truth = read_truth(RECORDINGS / name)

    assert truth.problems == () and all(cause.roots for cause in truth.causes)
    assert len(truth.causes) == {"h200-training": 8, "h200-ddp": 6, "h200-ddp4": 7}[name]


def test_a_bad_line_of_incidents_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "incidents.jsonl"
    good = {"id": "INC-1", "kind": "xid", "subject": {}, "opened_at": 5.0, "kinds": ["xid"]}
    lines = [json.dumps(good), "{", json.dumps(good | {"kind": "meteor"}), json.dumps({"id": "INC-2"}), "[]", "", "7"]
    path.write_text("\n".join(lines))
    told, problems = read_incidents(path)

    assert [one.id for one in told] == ["INC-1"]
    assert [line.partition(": ")[0] for line in problems] == [f"{path}:{n}" for n in (2, 3, 4, 5, 7)]


def test_nodes_and_racks_come_from_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "inventory.csv").write_text("node,rack,gpu\na,r0,0\na,r0,1\nb,,0\n")

    assert read_cluster(tmp_path) == Cluster(2, {"a": "r0"})
    assert read_cluster(RECORDINGS / "h200-ddp") == Cluster(1, {})


def test_no_false_incident_bounds_the_rate_by_the_rule_of_three(tmp_path: Path) -> None:
    says = figures(tmp_path, [], [])

    assert (says["node_days"], says["false"]) == (4.0, 0)
    assert says["false_per_node_day_at_most"] == pytest.approx(3.0 / 4, abs=0.002)


@given(seen=st.integers(0, 400))
def test_the_bound_lies_above_what_was_seen_and_grows_with_it(seen: int) -> None:
    assert seen < most_events(seen) < most_events(seen + 1)
    assert most_events(seen) == pytest.approx(seen + 1.65 * (seen + 1) ** 0.5, abs=1.6 + 0.02 * seen)


@given(values=st.lists(st.floats(0, 1000), min_size=1), share=st.floats(0, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)

    assert found in values and sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None
