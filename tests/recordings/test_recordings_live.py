"""A real job on two H200s, watched live (`benchmarks.live_faults`): its bundle tells the same again."""

import json
from functools import cache

import pytest
from recording_cuts import ROOT

from agent.demo.truth import Told, read_phases, score
from agent.replay import open_recording, replay
from detectors.model import Finding, Incident
from detectors.model import FindingKind as K

LIVE = ROOT / "h200-live"

pytestmark = pytest.mark.slow


@cache
def played() -> tuple[dict[str, Finding], dict[str, Incident]]:
    findings: dict[str, Finding] = {}
    incidents: dict[str, Incident] = {}
    for _, changes in replay(open_recording(LIVE / "bundle.zip")):
        findings.update((finding.id, finding) for finding in changes.findings)
        incidents.update((incident.id, incident) for incident in changes.incidents)
    return findings, incidents


def test_the_bundle_plays_to_the_findings_that_were_told_live() -> None:
    told = [json.loads(line) for line in (LIVE / "findings.jsonl").read_text().splitlines()]
    again = [(f.kind.value, f.opened_ns / 1e9, f.since_ns / 1e9, f.names) for f in played()[0].values()]

    live = [
        (t["kind"], t["opened_at"], t["since"], {key: str(value) for key, value in t["subject"].items()}) for t in told
    ]
    assert sorted(again, key=repr) == sorted(live, key=repr)


def test_every_fault_that_was_brought_about_is_named_with_its_guilty_rank_and_nothing_else_is() -> None:
    phases = read_phases(LIVE)
    assert phases is not None
    told = [Told(f.kind, f.since_ns / 1e9, f.opened_ns / 1e9, f.names) for f in played()[0].values()]

    result = score(phases, told)

    assert len(result.faults) == 11
    assert [fault.label for fault in result.faults if not fault.named or fault.guilty is False] == []
    assert [one.kind for one in result.false] == []


def test_faults_that_follow_one_another_on_one_job_are_incidents_of_their_own() -> None:
    incidents = sorted(played()[1].values(), key=lambda incident: incident.opened_ns)

    assert [incident.kinds for incident in incidents] == [
        (K.DATALOADER_STALL,),
        (K.STRAGGLER, K.STRAGGLER),
        (K.COLLECTIVE_HANG,),
        (K.POWER_THROTTLE, K.POWER_THROTTLE),
        (K.GPU_MEMORY_LEAK, K.GPU_MEMORY_LEAK, K.GPU_MEMORY_DROP, K.GPU_MEMORY_DROP),
        (K.LOSS_DIVERGENCE, K.LOSS_NAN),
        (K.XID,),
        (K.RANK_CRASH, K.COLLECTIVE_TIMEOUT),
    ]
