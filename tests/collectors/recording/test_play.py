"""A recording played on a virtual clock."""

import gzip
import json
import shutil
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.collector import STEP_SECONDS
from collectors.model import EventKind, Origin, SubjectKind
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan

T = 1_700_000_000
NS = 10**9
STEP_NS = int(STEP_SECONDS * NS)


def looks(batches, metric="gpu_power_watts"):
    """(time, value) of the first GPU's looks at one gauge."""
    out = []
    for _, batch in batches:
        for table in batch.tables:
            if metric in table.metrics:
                row, wide, gpus = table.metrics.index(metric), len(table.metrics), len(table.subjects)
                values = struct.unpack(f"<{len(table.data) // 4}f", table.data)
                out += [(time, values[(n * wide + row) * gpus]) for n, time in enumerate(table.times_ns)]
    return out


def test_batches_come_at_the_steps_of_the_virtual_clock_and_are_no_live_ones(folder):
    folder.telemetry(*(f"{T + n / 5},0,97,690000,{n}" for n in range(60)))
    played = list(play(Recording(folder.path), SamplingPlan()))
    assert [received - T * NS for received, _ in played] == [0, 5 * NS, 10 * NS]
    assert [batch.sent_ns for _, batch in played] == [received for received, _ in played]
    assert {batch.origin for _, batch in played} == {Origin.REPLAY}


def test_the_last_datum_is_told_and_nothing_is_flushed_early(folder):
    folder.telemetry(*(f"{T + n / 5},0,97,690000,{n}" for n in range(36)))
    folder.meta(boot_unix=T - 10).write(
        "kmsg.txt", "<3>[17.1] NVRM: Xid (PCI:0000:18:00): 79, pid=1, GPU has fallen off\n"
    )
    played = list(play(Recording(folder.path), SamplingPlan()))
    assert played[-1][0] == T * NS + 29 * STEP_NS
    assert [event.kind for event in played[-1][1].events] == [EventKind.XID]
    quiet = list(play(Recording(folder.path), SamplingPlan(), until_ns=(T + 7) * NS))
    assert [received - T * NS for received, _ in quiet] == [0, 5 * NS]


def test_goodbye_is_said_only_when_asked(folder):
    folder.telemetry(*(f"{T + n / 5},0,97,690000,{n}" for n in range(36)))
    kinds = [
        [event.kind for event in batch.events]
        for _, batch in play(Recording(folder.path), SamplingPlan(), goodbye=True)
    ]
    assert kinds[-1] == [EventKind.COLLECTOR_GOODBYE]


def test_native_tells_every_row_once(folder):
    rows = [f"{T + n / 5 + gpu / 50:.3f},{gpu},97,{(n + 1) * 1000},{n}" for n in range(50) for gpu in (0, 1)]
    folder.telemetry(*rows)
    seen = looks(play(Recording(folder.path), SamplingPlan(), native=True))
    assert {value for _, value in seen} == {float(n + 1) for n in range(50)}
    times = [time for time, _ in seen]
    assert times == sorted(set(times))


def test_a_recording_can_be_played_twice_with_the_same_result(stretch):
    path, header, rows, log, _, _ = stretch
    (path / "telemetry.csv").write_text("\n".join([header, *rows[:400]]) + "\n")
    (path / "train.log").write_text("\n".join(log[:50]) + "\n")
    recording = Recording(path)
    assert list(play(recording, SamplingPlan())) == list(play(recording, SamplingPlan()))


def test_a_kernel_line_is_placed_on_its_gpu_by_the_probe(stretch, tmp_path):
    path, header, rows, _, kernel, _ = stretch
    for name in ("nvml_probe.json", "meta.json"):
        shutil.copy(path / name, tmp_path)
    (tmp_path / "telemetry.csv").write_text("\n".join([header, *rows[:200]]) + "\n")
    (tmp_path / "kmsg.txt").write_text("\n".join(kernel[:2]) + "\n")
    events = [event for _, batch in play(Recording(tmp_path), SamplingPlan()) for event in batch.events]
    subjects = [event.subject for event in events if event.kind is EventKind.XID]
    assert [(subject.kind, subject.id) for subject in subjects] == [
        (SubjectKind.GPU, "GPU-cefca25a-018a-1722-813a-2a703db3871a")
    ] * 2


def cut(path, stretch, at: float):
    """The stretch with everything at and after `at` cut off."""
    source, header, rows, log, kernel, boot = stretch
    path.mkdir(exist_ok=True)
    for name in ("nvml_probe.json", "meta.json"):
        shutil.copy(source / name, path)
    kept = [row for row in rows if float(row.split(",")[0]) < at]
    with gzip.open(path / "telemetry.csv.gz", "wt", compresslevel=1) as file:
        file.write("\n".join([header, *kept]) + "\n")
    base = 1795332780  # 2026-11-22T07:33:00Z
    stamp = lambda line: base + 60 * (int(line[14:16]) - 33) + float(line[17:26])  # noqa: E731
    (path / "train.log").write_text("".join(f"{line}\n" for line in log if stamp(line) < at))
    told = [line for line in kernel if boot + float(line.split("[")[1].split("]")[0]) < at]
    (path / "kmsg.txt").write_text("".join(f"{line}\n" for line in told))
    return Recording(path, "c", "n", "j")


@pytest.fixture(scope="session")
def whole(stretch, tmp_path_factory):
    recording = cut(tmp_path_factory.mktemp("whole"), stretch, float("inf"))
    return recording, list(play(recording, SamplingPlan()))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.02, 1.0))
def test_a_recording_cut_at_t_plays_as_the_whole_did_before_t(stretch, whole, tmp_path, share):
    recording, batches = whole
    at_ns = recording.start_ns + int(share * (recording.end_ns - recording.start_ns))
    pruned = cut(tmp_path / "cut", stretch, at_ns / 1e9)
    before = [(received, batch) for received, batch in play(pruned, SamplingPlan()) if received < at_ns]
    expected = [(received, batch) for received, batch in batches if received < at_ns]
    spool = {batch.spool_id for _, batch in before} | {batch.spool_id for _, batch in expected}
    assert [(t, _without(b, spool)) for t, b in before] == [(t, _without(b, spool)) for t, b in expected]
    assert list(play(recording, SamplingPlan(), until_ns=at_ns)) == expected


def _without(batch, spools):
    """A batch without the spool's name, which is the folder's."""
    assert batch.spool_id in spools
    return (batch.sequence, batch.sent_ns, batch.subjects, batch.facts, batch.tables, batch.events, batch.suspicion)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["h200-training", "h200-ddp", "h200-ddp4"])
def test_every_fault_that_the_cards_show_is_sent_second_by_second_within_three_seconds(real, name):
    silent = {"loss_divergence"}
    batches = list(play(Recording(real(name)), SamplingPlan()))
    suspicious = [received for received, batch in batches if batch.suspicion and batch.tables]
    for phase in json.loads((real(name) / "truth.json").read_text())["phases"]:
        if phase["kind"] == "fault" and phase["label"] not in silent:
            first = min(t for t in suspicious if t >= phase["start"] * NS)
            assert first / NS - phase["start"] < 3, phase


def test_a_real_kernel_log_alone_can_be_played(real):
    events = [event for _, batch in play(Recording(real("h200-xid")), SamplingPlan()) for event in batch.events]
    assert [event.values["code"] for event in events if event.kind is EventKind.XID] == [31, 43, 13, 13, 13]
