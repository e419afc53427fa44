"""On real H200 logs: divergence and NaN soon after they begin, cleared by the restore, and nothing anywhere else."""

import json
from pathlib import Path

import pytest

from collectors.model import Event, EventKind, Subject, SubjectKind
from collectors.training_log.parser import TrainingLogParser
from detectors.contract import Clearing, Opening
from detectors.loss import LossDetector
from detectors.model import FindingKind, Inventory

RECORDINGS = Path(__file__).parents[3] / "recordings"
JOB = Subject("c", SubjectKind.JOB, "h200")
SECOND = 1_000_000_000
FAULTS = {FindingKind.LOSS_DIVERGENCE, FindingKind.LOSS_NAN}


def events(recording: str, every: int, burst_seconds: float) -> list[tuple[int, Event]]:
    """When each event is received, Unix ns, and the event."""
    parser, found, steps = TrainingLogParser(JOB), [], 0
    for line in (RECORDINGS / recording / "train.log").read_bytes().splitlines():
        for event in parser.parse(line, 0):
            at = event.time_ns
            if event.kind is EventKind.TRAINING_STEP:
                steps += 1
                if steps % every:
                    continue
            late = -at % int(burst_seconds * SECOND) if burst_seconds else 0
            found.append((at + late, event))
    return found


def phases(recording: str) -> dict[str, tuple[float, float]]:
    """Start and end of each labelled fault, Unix seconds."""
    truth = json.loads((RECORDINGS / recording / "truth.json").read_text())
    return {phase["label"]: (phase["start"], phase["end"]) for phase in truth["phases"] if phase["kind"] == "fault"}


@pytest.mark.parametrize("burst_seconds", [0.0, 2.0], ids=["at once", "in 2 s bursts"])
@pytest.mark.parametrize("every", [1, 5, 20], ids=["as logged", "every 10 steps", "every 40 steps"])
@pytest.mark.parametrize("recording", ["h200-training", "h200-ddp4", "h200-ddp"])
def test_faults_of_the_loss_are_found_in_time_and_nothing_else(
    recording: str, every: int, burst_seconds: float
) -> None:
    detector, inventory = LossDetector(), Inventory()
    said = [
        (now, opinion)
        for now, event in events(recording, every, burst_seconds)
        for opinion in detector.on_event(event, inventory, now)
    ]
    truth = phases(recording)
    wanted = {kind for kind in FAULTS if kind.value in truth}
    opened = {opinion.kind: (now, opinion) for now, opinion in said if isinstance(opinion, Opening)}
    assert wanted == set(opened) & FAULTS
    for kind, (now, opinion) in opened.items():
        start, end = truth.get(kind.value, truth.get("loss_divergence", (0.0, 0.0)))
        assert start <= opinion.since_ns / SECOND <= end
        assert 0 <= now / SECOND - start < 15
    cleared = [(now, opinion) for now, opinion in said if isinstance(opinion, Clearing)]
    assert set(opened) == {opinion.kind for _, opinion in cleared}
    if wanted:
        ended = truth["loss_nan"][1]
        assert {"the job was restored from a checkpoint"} == {o.because for _, o in cleared if o.kind in FAULTS}
        assert all(now / SECOND <= ended + 3 for now, _ in cleared)
