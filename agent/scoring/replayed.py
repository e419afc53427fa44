"""Plays a recording through the whole watch and holds what it tells against the recording's truth."""

from collections.abc import Iterable
from pathlib import Path

from agent.incidents_file import incident_line
from agent.replay import open_recording, replay
from agent.scoring.inventory import read_cluster
from agent.scoring.match import match
from agent.scoring.score import Score
from agent.scoring.told import Told, read_incident
from agent.scoring.truth import Truth
from collectors.recording.batches import BatchRecording
from collectors.recording.folder import Recording
from detectors.model import Finding, Incident
from policies.rules import Compiled


def told_by_replay(recording: Recording | BatchRecording, rules: Iterable[Compiled] | None = None) -> list[Told]:
    """Every incident of a replay as it stood at the end, in order of opening."""
    findings: dict[str, Finding] = {}
    incidents: dict[str, Incident] = {}
    for _, changes in replay(recording, rules=rules):
        findings.update((f.id, f) for f in changes.findings)
        incidents.update((i.id, i) for i in changes.incidents)
    ordered = sorted(incidents.values(), key=lambda i: (i.opened_ns, i.id))
    return [read_incident(incident_line(i, findings)) for i in ordered]


def scored(
    folder: Path, truth: Truth, told: list[Told] | None = None, rules: Iterable[Compiled] | None = None
) -> Score:
    """The score of a recording; plays it where nothing was `told` yet."""
    recording = open_recording(folder)
    said = told_by_replay(recording, rules) if told is None else told
    cluster = read_cluster(folder)
    seconds = (recording.end_ns - recording.start_ns) / 1e9
    return Score(match(truth.causes, said, cluster), cluster.nodes, seconds)
