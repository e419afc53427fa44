"""Findings against a truth: found, named, how soon, who was guilty, what was false."""

import json
from pathlib import Path

import pytest

from agent.demo.truth import ENDS_JOB, FINDS, FOLLOWS, GRACE_S, NAMES, STUCK_S, Told, read_phases, score
from collectors.errors import FixConfiguration
from detectors.model import FindingKind

K = FindingKind


def fault(label: str = "collective_hang", start: float = 100, end: float = 120, **more: object) -> dict[str, object]:
    return {"kind": "fault", "label": label, "start": start, "end": end, **more}


def told(kind: FindingKind = K.COLLECTIVE_HANG, since: float = 101, opened: float = 108, **names: str) -> Told:
    return Told(kind, since, opened, names)


def test_a_fault_told_by_its_own_kind_is_named_after_so_many_seconds() -> None:
    result = score([fault()], [told()])
    assert (result.faults[0].found, result.faults[0].named, result.faults[0].delay_s) == (True, True, 8.0)
    assert result.false == ()


def test_a_fault_told_by_a_kind_that_only_sees_it_is_found_and_not_named() -> None:
    label = next(label for label, kinds in FINDS.items() if kinds)
    kind = sorted(FINDS[label] - NAMES[label])[0]
    (one,) = score([fault(label)], [told(kind)]).faults
    assert (one.found, one.named) == (True, False)


def test_a_fault_nobody_told_of_is_missed() -> None:
    (one,) = score([fault()], []).faults
    assert (one.found, one.named, one.delay_s) == (False, False, None)


@pytest.mark.parametrize("label", [label for label, kinds in FOLLOWS.items() if kinds])
def test_what_a_fault_brings_with_it_counts_neither_way(label: str) -> None:
    kind = sorted(FOLLOWS[label] - NAMES[label] - FINDS.get(label, frozenset()))[0]
    result = score([fault(label)], [told(kind)])
    assert (result.faults[0].found, result.false) == (False, ())


@pytest.mark.parametrize(
    "one",
    [told(opened=98.0, since=98.0), told(opened=121 + GRACE_S, since=101), told(K.LOSS_NAN)],
    ids=["before-it", "long-after-it", "another-kind"],
)
def test_what_fits_no_fault_is_false(one: Told) -> None:
    assert score([fault()], [one]).false == (one,)


def test_anything_in_a_benign_phase_is_false() -> None:
    phase = {"kind": "benign", "label": "checkpoint_save", "start": 100, "end": 120}
    result = score([phase], [told()])
    assert (len(result.faults), len(result.false)) == (0, 1)


def test_what_the_learnt_detector_says_counts_neither_way() -> None:
    assert score([], [told(K.UNUSUAL)]).false == ()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"gpu": "3", "rank": "3"}, True),
        ({"gpu": "1", "rank": "1"}, False),
        ({"gpu": "3"}, True),
        ({"job": "j"}, False),
    ],
    ids=["right", "wrong", "half-of-it", "nobody-named"],
)
def test_the_guilty_must_be_named(names: dict[str, str], expected: bool) -> None:
    (one,) = score([fault(guilty={"gpu": 3, "rank": 3})], [told(**names)]).faults
    assert one.guilty is expected


def test_of_two_statements_about_the_guilty_both_must_be_right() -> None:
    both = [told(gpu="3"), told(K.COLLECTIVE_HANG, opened=110, gpu="0")]
    assert score([fault(guilty={"gpu": 3})], both).faults[0].guilty is False


def test_where_the_truth_names_nobody_nothing_is_asked() -> None:
    assert score([fault()], [told(gpu="3")]).faults[0].guilty is None


@pytest.mark.parametrize(
    ("cleared", "expected"),
    [(120 + STUCK_S, False), (121 + STUCK_S, True), (None, True)],
    ids=["cleared-in-time", "cleared-too-late", "never-cleared"],
)
def test_what_outlives_its_fault_is_stuck(cleared: float | None, expected: bool) -> None:
    one = Told(K.COLLECTIVE_HANG, 101, 108, {}, cleared)
    assert score([fault()], [one]).stuck == ((one,) if expected else ())


@pytest.mark.parametrize("label", sorted(ENDS_JOB))
def test_nothing_is_stuck_after_a_fault_that_ends_the_job(label: str) -> None:
    assert score([fault(label)], [told(K.TRAINING_STALL)]).stuck == ()


def test_what_the_next_fault_keeps_open_is_not_stuck() -> None:
    assert score([fault(), fault("loss_nan", 140, 200)], [told()]).stuck == ()


def test_an_instant_is_never_stuck() -> None:
    assert score([fault("xid")], [told(K.XID)]).stuck == ()


def test_the_sentence_counts() -> None:
    result = score([fault(guilty={"gpu": 3}), fault("loss_nan", 200, 220)], [told(gpu="3"), told(K.LOSS_SPIKE, 1, 2)])
    assert result.sentence() == "2 faults: 1 found, 1 named, 1 false, worst delay 8.0 s, guilty rank right 1 of 1"


def test_the_sentence_of_nothing_found_has_no_delay() -> None:
    assert score([fault()], []).sentence() == "1 fault: 0 found, 0 named, 0 false"


def test_a_recording_without_a_truth_has_no_phases(tmp_path: Path) -> None:
    assert read_phases(tmp_path) is None


@pytest.mark.parametrize(
    ("hole", "why"),
    [
        (7, "it is no object"),
        ({"kind": "fault", "label": "x", "start": 1}, "it has no end"),
        ({"kind": "fault", "label": "x", "start": 1, "end": "soon"}, "its end is no number of Unix seconds"),
        ({"kind": "fault", "label": [], "start": 1, "end": 2}, "its label is no text"),
        ({"kind": "fault", "label": "x", "start": 1, "end": 2, "guilty": 3}, "its guilty is no object"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_phase_that_lacks_what_it_needs_is_passed_over_and_told(hole: object, why: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps({"phases": [fault(), hole]}))
    told: list[str] = []
    assert read_phases(tmp_path, told.append) == [fault()]
    assert told == [f"{tmp_path / 'truth.json'}: passed over phase 2: {why}"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"phases": 7}'], ids=repr)
def test_a_file_that_is_no_truth_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(FixConfiguration, match=r"truth\.json: not a truth file"):
        read_phases(tmp_path)


@pytest.mark.parametrize("label", sorted(NAMES))
def test_every_label_can_be_named(label: str) -> None:
    assert all(score([fault(label)], [told(kind)]).faults[0].named for kind in NAMES[label])
