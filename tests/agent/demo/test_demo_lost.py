"""GPU-seconds lost, from a recording's own power readings."""

from pathlib import Path

import pytest

from agent.demo.lost import LONGEST_ROW_S, Interval, lost_gpu_seconds
from collectors.recording.folder import Recording
from detectors.gpu.habits import IDLE_SHARE
from detectors.model import FindingKind

K = FindingKind
NS = 1_000_000_000
HABIT = 600.0
IDLE = IDLE_SHARE * HABIT
START = 1_800_000_000


def recorded(
    tmp_path: Path, rows: list[tuple[float, int, float, float]], columns: str = "power_mw,util_gpu"
) -> Recording:
    """Rows of (second, gpu, watts, utilisation %)."""
    lines = [f"ts,gpu,{columns}"]
    for second, gpu, watts, used in rows:
        cells = ["" if value != value else f"{value:.0f}" for value in (watts * 1000, used)]
        lines.append(f"{START + second},{gpu}," + ",".join(cells[: len(columns.split(","))]))
    (tmp_path / "telemetry.csv").write_text("\n".join(lines) + "\n")
    return Recording(tmp_path)


def day(watts: float, gpus: int = 1, used: float = 0.0) -> list[tuple[float, int, float, float]]:
    """Twenty seconds at work, ten at `watts`, a row a second."""
    return [(s, g, HABIT if s < 20 else watts, 99.0 if s < 20 else used) for s in range(30) for g in range(gpus)]


def between(start: float, end: float, kind: FindingKind = K.TRAINING_STALL) -> Interval:
    return Interval(kind, round((START + start) * NS), round((START + end) * NS))


@pytest.mark.parametrize(
    ("watts", "expected"),
    [(IDLE, 10.0), (HABIT, 0.0), ((HABIT + IDLE) / 2, 5.0), (0.0, 10.0), (2 * HABIT, 0.0)],
    ids=["idle", "at-work", "half", "below-idle", "above-its-habit"],
)
def test_a_gpu_loses_the_share_of_its_load_that_it_does_not_draw(watts: float, expected: float, tmp_path: Path) -> None:
    lost = lost_gpu_seconds(recorded(tmp_path, day(watts)), [between(20, 30)])
    assert lost == {K.TRAINING_STALL: pytest.approx(expected)}


def test_every_gpu_counts_and_causes_are_kept_apart(tmp_path: Path) -> None:
    spans = [between(20, 25), between(25, 30, K.COLLECTIVE_HANG), between(28, 30)]
    lost = lost_gpu_seconds(recorded(tmp_path, day(IDLE, gpus=4)), spans)
    assert lost == {K.TRAINING_STALL: pytest.approx(28), K.COLLECTIVE_HANG: pytest.approx(20)}


def test_what_two_findings_of_a_kind_show_at_once_is_lost_once(tmp_path: Path) -> None:
    lost = lost_gpu_seconds(recorded(tmp_path, day(IDLE)), [between(20, 26), between(22, 28), between(28, 30)])
    assert lost == {K.TRAINING_STALL: pytest.approx(10)}


def test_a_gpu_that_spins_for_another_most_of_the_time_still_loses_by_its_full_work(tmp_path: Path) -> None:
    rows = [(s, 0, HABIT if s < 20 else IDLE, 99.0) for s in range(60)]
    lost = lost_gpu_seconds(recorded(tmp_path, rows), [between(20, 30)])
    assert lost == {K.TRAINING_STALL: pytest.approx(10)}


def test_a_gpu_that_was_never_busy_has_no_load_to_lose(tmp_path: Path) -> None:
    rows = [(second, 0, 80.0, 0.0) for second in range(30)]
    assert lost_gpu_seconds(recorded(tmp_path, rows), [between(0, 30)]) == {}


def test_a_hole_between_rows_counts_for_no_longer_than_a_row_may_stand(tmp_path: Path) -> None:
    rows = [row for row in day(IDLE) if not 21 <= row[0] < 29]
    lost = lost_gpu_seconds(recorded(tmp_path, rows), [between(20, 30)])
    assert lost == {K.TRAINING_STALL: pytest.approx(1 + LONGEST_ROW_S)}


def test_rows_without_power_are_passed_over(tmp_path: Path) -> None:
    rows = [(s, g, float("nan") if s >= 25 else watts, used) for s, g, watts, used in day(IDLE)]
    lost = lost_gpu_seconds(recorded(tmp_path, rows), [between(20, 30)])
    assert lost == {K.TRAINING_STALL: pytest.approx(5)}


def test_nothing_is_lost_outside_of_an_incident(tmp_path: Path) -> None:
    assert lost_gpu_seconds(recorded(tmp_path, day(IDLE)), []) == {}
    assert lost_gpu_seconds(recorded(tmp_path, day(IDLE)), [between(100, 200)]) == {}


def test_a_recording_without_power_says_nothing(tmp_path: Path) -> None:
    assert lost_gpu_seconds(recorded(tmp_path, day(IDLE), columns="power_mw"), [between(20, 30)]) == {}
