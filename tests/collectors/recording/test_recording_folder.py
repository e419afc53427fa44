"""What a recording's folder may hold and what a bad file costs."""

import gzip
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from collectors.model import CATALOGUE, COUNTER_ABSENT, Subject, SubjectKind
from collectors.recording.folder import Recording
from collectors.recording.probe import read_probe
from collectors.recording.telemetry import read_telemetry

T = 1_700_000_000
NS = 10**9
ALL = tuple(CATALOGUE)


def test_rows_become_readings_in_base_units(folder):
    folder.telemetry(f"{T}.5,0,97,690500,4286871", f"{T}.5,1,50,80000,12")
    look = Recording(folder.path).gpus().look(ALL, T * NS + 500_000_000)
    assert look.gauges["gpu_utilization_ratio"] == [0.97, 0.5]
    assert look.gauges["gpu_power_watts"] == [690.5, 80.0]
    assert look.counters["gpu_energy_joules_total"] == [4286871, 12]


def test_energy_is_carried_on_from_its_row_to_the_look_and_never_goes_back(folder):
    folder.telemetry(f"{T},0,97,700000,1000", f"{T + 0.2},0,0,80000,1016", f"{T + 1},0,0,80000,5")
    gpus = Recording(folder.path).gpus()
    told = [gpus.look(ALL, int((T + at) * NS)).counters["gpu_energy_joules_total"][0] for at in (0, 0.125, 0.25, 1)]
    assert told == [1000, 1000 + 87_500, 1000 + 87_500, 5]


def test_a_recording_begins_and_ends_with_its_first_and_last_datum(folder):
    folder.telemetry(f"{T + 5},0,1,1,1", f"{T + 9},0,1,1,1")
    folder.write("train.log", "2023-11-14T22:13:22Z step 1\n2023-11-14T22:13:27.5Z step 2\n")
    recording = Recording(folder.path)
    assert (recording.start_ns, recording.end_ns) == ((T + 2) * NS, (T + 9) * NS)


def test_the_newest_row_not_newer_than_now_counts_for_one_and_a_half_seconds(folder):
    folder.telemetry(f"{T},0,10,1,1", f"{T + 1},0,20,1,1")
    gpus = Recording(folder.path).gpus()
    seen = [gpus.look(("gpu_utilization_ratio",), int((T + at) * NS)).gauges for at in (0, 0.9, 1, 2.5, 2.75)]
    values = [gauges["gpu_utilization_ratio"][0] for gauges in seen]
    assert values[:4] == [0.1, 0.1, 0.2, 0.2]
    assert math.isnan(values[4])


def test_a_gpu_is_not_known_before_its_first_row(folder):
    folder.telemetry(f"{T},1,10,1,1", f"{T + 1},0,20,1,1")
    gpus = Recording(folder.path).gpus()
    assert [gpu.id for gpu in gpus.look(ALL, T * NS).gpus] == ["rec-gpu1"]
    assert [gpu.id for gpu in gpus.look(ALL, (T + 1) * NS).gpus] == ["rec-gpu1", "rec-gpu0"]
    assert [facts.subject.id for facts in gpus.facts()] == ["rec", "rec-gpu1", "rec-gpu0"]


@pytest.mark.parametrize(
    "row",
    [
        "",
        "nonsense",
        "x,0,1,1,1",
        f"{T},zero,1,1,1",
        f"{T},0,1",
        f"{T},0,much,1,1",
        f"{T},-1,1,1,1",
        f"{T},5000,1,1,1",
        "nan,0,1,1,1",
        "-5,0,1,1,1",
        f"{T},0,inf,1,1",
        f"{T},0,1,1,1e999",
        "\x00,0,1,1,1",
        f"{T},0,\x1b[31m1,1,1",
        "1" * 200_000,
    ],
    ids=lambda row: repr(row[:20]),
)
def test_a_bad_row_costs_that_row(folder, row):
    folder.telemetry(f"{T},0,10,1,1", row, f"{T + 1},0,20,1,1")
    telemetry = read_telemetry(folder.path / "telemetry.csv.gz")
    assert len(telemetry.gpus[0].times_ns) == 2
    assert telemetry.bad_rows == (1 if row else 0)


def test_an_empty_cell_is_absent(folder):
    folder.telemetry(f"{T},0,,690500,")
    look = Recording(folder.path).gpus().look(ALL, T * NS)
    assert math.isnan(look.gauges["gpu_utilization_ratio"][0])
    assert look.counters["gpu_energy_joules_total"] == [COUNTER_ABSENT]
    assert look.gauges["gpu_power_watts"] == [690.5]


def test_a_missing_column_costs_that_metric(folder):
    folder.telemetry(f"{T},690500", header="ts,power_mw")
    look = Recording(folder.path).gpus().look(ALL, T * NS)
    assert (set(look.gauges), set(look.counters)) == ({"gpu_power_watts"}, set())


def test_plain_csv_is_read_too(folder):
    folder.write("telemetry.csv", f"\ufeffts,gpu,power_mw\r\n{T},0,5000\r\n")
    assert Recording(folder.path).gpus().look(ALL, T * NS).gauges == {"gpu_power_watts": [5.0]}


def test_a_file_that_breaks_off_keeps_what_stands_before(folder):
    rows = [f"{T + n},0,{n % 100},{n * 7919 % 690000},{n}" for n in range(5000)]
    folder.telemetry(*rows)
    path = folder.path / "telemetry.csv.gz"
    path.write_bytes(path.read_bytes()[:-5000])
    telemetry = read_telemetry(path)
    read = len(telemetry.gpus[0].times_ns)
    assert 100 < read < 5000
    assert Recording(folder.path).problems == [
        f"{path}: breaks off after {read:,} good rows: what stands before is played; copy it anew"
    ]


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ([f"{T},0,1,1,1"], []),
        ([f"{T},0,1,1,1", "x", "", f"{T},0"], ["passed over 2 rows that cannot be read, the first is row 2"]),
        ([f"{T},0,1,1,1", "x"], ["passed over a row that cannot be read, the first is row 2"]),
        ([], ["holds no row that can be read: played without telemetry"]),
    ],
    ids=["whole", "two-bad-rows", "one-bad-row", "no-rows"],
)
def test_what_is_not_played_is_told_with_its_place(folder, rows, problems):
    folder.telemetry(*rows)
    folder.write("train.log", f"{datetime.fromtimestamp(T, UTC):%Y-%m-%dT%H:%M:%SZ} step: 1 loss: 2.0\n")
    path = folder.path / "telemetry.csv.gz"
    assert Recording(folder.path).problems == [f"{path}: {problem}" for problem in problems]


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    def refused(self, **_):
        raise PermissionError(13, "Permission denied")

    folder.telemetry(f"{T},0,1,1,1")
    monkeypatch.setattr(type(folder.path), "stat", refused)
    with pytest.raises(FixConfiguration, match=r"cannot be read \(Permission denied\): mend its rights"):
        Recording(folder.path)


def test_a_folder_in_the_place_of_a_log_is_named(folder):
    (folder.path / "train.log").mkdir(parents=True)
    with pytest.raises(FixConfiguration, match=r"train\.log: is a folder, not a log"):
        Recording(folder.path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("telemetry.csv.gz", b"no gzip at all", r"telemetry\.csv\.gz: cannot be read as telemetry"),
        ("telemetry.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0), r"telemetry\.csv\.gz: has no column ts"),
        ("telemetry.csv", b"", r"telemetry\.csv: has no column ts"),
        ("nvml_probe.json", b"{", r"nvml_probe\.json: cannot be read as JSON"),
        ("nvml_probe.json", b"[]", r"nvml_probe\.json: has no list `gpus`"),
        ("meta.json", b"7", r"meta\.json: is no JSON object"),
        ("meta.json", b'{"boot_unix": "noon"}', r"meta\.json: boot_unix is 'noon'"),
        ("meta.json", b'{"node": 3}', r"meta\.json: node is no text"),
        ("kmsg.txt", b"<4>[1.0] NVRM: x", r"meta\.json"),
    ],
)
def test_an_unreadable_file_is_one_line_that_names_it(folder, name, content, says):
    folder.write("train.log", "2023-11-14T22:13:22Z step 1\n").write(name, content)
    with pytest.raises(FixConfiguration, match=says) as caught:
        Recording(folder.path)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_none_are_refused(folder, tmp_path):
    with pytest.raises(FixConfiguration, match="holds neither telemetry nor a log"):
        Recording(folder.path)
    with pytest.raises(FixConfiguration, match="no such folder"):
        Recording(tmp_path / "nowhere")


def test_files_whose_clocks_lie_months_apart_are_refused(folder):
    folder.telemetry(f"{T},0,1,1,1").write("train.log", "2024-11-14T22:13:22Z step 1\n")
    with pytest.raises(FixConfiguration, match="lie 366 days apart"):
        Recording(folder.path)


def test_the_probe_gives_uuid_bus_and_limits(folder):
    gpu = {
        "Name": "NVIDIA H200",
        "UUID": "GPU-7",
        "PciInfo": {"busId": "00000000:1A:00.0"},
        "EnforcedPowerLimit": 650500,
        "temp_threshold_slowdown": 89,
        "MemoryInfo": {"total": 150754820096},
    }
    folder.telemetry(f"{T},0,1,1,1").probe(gpu)
    recording = Recording(folder.path, node_name="n7", job_name="j7", cluster="c7")
    gpus = recording.gpus()
    look = gpus.look(ALL, T * NS)
    assert look.gauges["gpu_power_limit_watts"] == [650.5]
    node, job, facts = gpus.facts()
    assert (node.attributes, job.subject) == ({"driver": "580.1"}, Subject("c7", SubjectKind.JOB, "j7"))
    assert (facts.subject, facts.node) == (Subject("c7", SubjectKind.GPU, "GPU-7"), recording.node)
    assert facts.attributes == {
        "index": "0",
        "rank": "0",
        "job": "j7",
        "uuid": "GPU-7",
        "pci_bus_id": "0000:1a:00.0",
        "model": "NVIDIA H200",
        "power_limit_watts": "650.5",
        "slowdown_celsius": "89",
        "memory_total_bytes": "150754820096",
    }


def test_a_probe_that_says_little_is_no_error(folder):
    folder.probe({"UUID": "!Not Supported", "PciInfo": "!Unknown", "temp_threshold_slowdown": "!Not Supported"}, 7, {})
    assert read_probe(folder.path / "nvml_probe.json") == {
        0: {"pci_bus_id": "0000:18:00.0", "driver": "580.1"},
        2: {"pci_bus_id": "0000:1a:00.0", "driver": "580.1"},
    }


def test_names_come_from_the_caller_then_from_meta_then_from_the_folder(folder):
    folder.telemetry(f"{T},0,1,1,1")
    plain = Recording(folder.path)
    assert (plain.cluster, plain.node_name, plain.job_name) == ("replay-rec", "rec", "rec")
    folder.meta(cluster="mc", node="mn", job="mj")
    named, asked = Recording(folder.path), Recording(folder.path, "c", "n", "j")
    assert (named.cluster, named.node_name, named.job_name) == ("mc", "mn", "mj")
    assert (asked.cluster, asked.node_name, asked.job_name) == ("c", "n", "j")


def test_what_was_done_is_never_read(folder):
    folder.telemetry(f"{T},0,1,1,1").write("truth.json", b"\xff{")
    Recording(folder.path)


@pytest.mark.parametrize("name", ["h200-training", "h200-ddp", "h200-ddp4", "h200-xid"])
def test_every_real_recording_is_read_without_a_bad_row(real, name):
    recording = Recording(real(name))
    assert recording.bad_rows == 0
    assert recording.end_ns > recording.start_ns


@given(st.binary(max_size=2000))
def test_any_bytes_are_rows_or_one_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "telemetry.csv"
    path.write_bytes(b"ts,gpu,power_mw,energy_mj\n" + data)
    read_telemetry(path)
