"""On real H200 logs: divergence and NaN soon after they begin, cleared by the restore, and nothing anywhere else."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from detectors.contract import Clearing, Opening
from detectors.loss import LossDetector
from detectors.model import FindingKind, Inventory

RECORDINGS = Path(__file__).parents[3] / "recordings"
JOB = Subject("c", SubjectKind.JOB, "h200")
SECOND = 1_000_000_000
NUMBER = r"([-+.\dEe]+|nan|inf|-inf)"
FIGURES = {
    "step": re.compile(rf"(?:'step':|iteration|step:)\s+{NUMBER}"),
    "loss": re.compile(rf"(?:'loss':|lm loss:|\bloss:)\s+{NUMBER}"),
    "grad_norm": re.compile(rf"(?:'grad_norm':|grad norm:|grad_norm:)\s+{NUMBER}"),
    "loss_scale": re.compile(rf"loss scale:\s+{NUMBER}"),
    "nan_steps": re.compile(rf"number of nan iterations:\s+{NUMBER}"),
}
FAULTS = {FindingKind.LOSS_DIVERGENCE, FindingKind.LOSS_NAN}


def events(recording: str, every: int, burst_seconds: float) -> list[tuple[int, Event]]:
    """When each event is received, Unix ns, and the event: read independently of the collectors' own parsers."""
    found, steps = [], 0
    for text in (RECORDINGS / recording / "train.log").read_text().splitlines():
        stamp, _, line = text.partition(" ")
        at = int(datetime.fromisoformat(stamp).timestamp() * SECOND)
        received = at if not burst_seconds else -int(-at // (burst_seconds * SECOND)) * int(burst_seconds * SECOND)
        values = {name: float(match[1]) for name, pattern in FIGURES.items() if (match := pattern.search(line))}
        if "loss" in values:
            steps += 1
            if steps % every:
                continue
            kind = EventKind.TRAINING_STEP
        elif "Loading checkpoint" in line:
            kind = EventKind.CHECKPOINT_RESTORE
        elif "Running training" in line:
            kind = EventKind.TRAINING_START
        else:
            continue
        found.append((received, Event(kind, JOB, at, EventSource.TRAINING_LOG, values, {}, line[:1000])))
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
