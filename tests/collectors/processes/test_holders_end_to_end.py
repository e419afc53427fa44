"""A live node from driver to finding: what is said of GPU, rank and job comes from its processes, pods and logs.

The values are those of recordings/h200-ddp4, told by a real NVML child; the processes are in a /proc of files. The rank
that each process's environment names is not its GPU's index, so that nothing but the environment can have said it.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_proc_tree import UID, FakeProc

from agent.watch import Watch
from collectors.collector import STEP_SECONDS, Collector, Identity
from collectors.gpu.nvml import NvmlGpus
from collectors.model import Batch, Origin, Subject, SubjectKind
from collectors.recording.folder import Recording
from collectors.recording.log_lines import read_log_lines
from collectors.run_sources import Sources
from collectors.sampling.plan import SamplingPlan
from collectors.settings import LogSettings, Settings
from detectors.model import Finding

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("holders-end-to-end")]
RECORDING = Path(__file__).parents[3] / "recordings" / "h200-ddp4"
CHILD = Path(__file__).with_name("recorded_values_child.py")
NODE = Subject("prod", SubjectKind.NODE, "node-1")
RANKS = (0, 2, 3, 1)
"""By GPU; the guilty one of the recording is GPU 3."""
CALLS = {
    "gpu_utilization_ratio": ("utilization", 100),
    "gpu_power_watts": ("power", 1000),
    "gpu_sm_clock_hertz": ("sm_clock", 1e-6),
    "gpu_clocks_event_reasons": ("reasons", 1),
    "gpu_memory_used_bytes": ("memory", 1),
    "gpu_temperature_celsius": ("temperature", 1),
}


class Life:
    """The node as the recording had it, second by second."""

    def __init__(self, tmp_path: Path) -> None:
        self.recording = Recording(RECORDING, cluster="prod")
        self.truth = json.loads((RECORDING / "truth.json").read_text())["phases"]
        self.gpus = self.recording.gpus()
        self.lines = read_log_lines(RECORDING / "train.log", self.recording.start_ns)
        (tmp_path / "proc").mkdir()
        self.proc = FakeProc(tmp_path / "proc")
        self.log = tmp_path / "pods" / f"train_llama-0_{UID}" / "main" / "0.log"
        self.log.parent.mkdir(parents=True)
        self.log.touch()
        self.state = tmp_path / "state.json"
        self.alive: set[int] = set()
        self.step(self.recording.start_ns)

    def phase(self, label: str) -> tuple[int, int]:
        found = next(one for one in self.truth if one["label"] == label)
        return int(found["start"] * 1e9), int(found["end"] * 1e9)

    def step(self, now_ns: int) -> None:
        """The node's state at this moment."""
        with self.log.open("ab") as file:
            while self.lines and self.lines[0][0] <= now_ns:
                time, _, text = self.lines.pop(0)[1].partition(b" ")
                file.write(time + b" stdout F " + text + b"\n")
        crash_ns, end_ns = self.phase("rank_crash")
        up = range(4) if self.phase("healthy")[0] <= now_ns < crash_ns else range(3) if now_ns >= crash_ns else ()
        should = {40 + gpu for gpu in up if now_ns < end_ns}
        for pid in should - self.alive:
            env = {"RANK": str(RANKS[pid - 40]), "WORLD_SIZE": "4", "SECRET": "x"}
            self.proc.in_pod(pid, env=env)
        for pid in self.alive - should:
            self.proc.end(pid)
        self.alive = should
        processes = {str(gpu): [[40 + gpu, 2**30]] if 40 + gpu in should else [] for gpu in range(4)}
        beside_ns = self.phase("straggler_gpu")
        if beside_ns[0] <= now_ns < beside_ns[1]:
            processes["3"].append([50, 2**30])
            self.proc.start(50, comm="burn")
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps({"gpus": 4, "processes": processes, "values": self._values(now_ns)}))
        fresh.replace(self.state)

    def _values(self, now_ns: int) -> list[dict[str, int]]:
        look = self.gpus.look((*CALLS, "gpu_energy_joules_total"), now_ns)
        values: list[dict[str, int]] = [{} for _ in range(4)]
        for name, said in look.gauges.items():
            call, factor = CALLS[name]
            for place, value in enumerate(said):
                if not math.isnan(value):
                    values[place][call] = round(value * factor)
        for place, count in enumerate(look.counters.get("gpu_energy_joules_total", [])):
            if count >= 0:
                values[place]["energy"] = count
        return values


@dataclass
class Told:
    """What came of it."""

    life: Life
    batches: list[Batch]
    findings: dict[str, Finding]

    def opened_in(self, label: str) -> list[Finding]:
        since_ns, until_ns = self.life.phase(label)
        return [one for one in self.findings.values() if since_ns <= one.opened_ns < until_ns]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    tmp_path = tmp_path_factory.mktemp("node")
    life = Life(tmp_path)
    settings = Settings(
        cluster="prod",
        kmsg=None,
        logs=(LogSettings(f"{tmp_path}/pods/train_*/*/*.log", "{namespace}/{pod_base}"),),
        host_proc=str(life.proc.root),
        pod_logs=str(tmp_path / "pods"),
    )
    command = (sys.executable, "-I", str(CHILD), str(life.state))
    sources = Sources(
        settings,
        NODE,
        "node-1",
        "boot-1",
        tmp_path / "positions.json",
        lambda node, name: NvmlGpus(node, name, command=command, answer_seconds=10.0),
    )
    collector = Collector(
        Identity("prod", NODE, "node-1", "boot-1", "spool-1", Origin.LIVE), sources.gpus, sources.logs, SamplingPlan()
    )
    watch = Watch(Origin.LIVE, "prod")
    told = Told(life, [], {})
    step_ns = int(STEP_SECONDS * 1e9)
    try:
        for now_ns in range(life.recording.start_ns, life.recording.end_ns, step_ns):
            life.step(now_ns)
            changes = watch.advance(now_ns)
            told.findings.update((one.id, one) for one in changes.findings)
            for batch in collector.step(now_ns):
                watch.receive(batch, now_ns)
                told.batches.append(batch)
    finally:
        sources.close()
    return told


@pytest.mark.parametrize("label", ["straggler_gpu", "straggler_host", "collective_hang", "rank_crash"])
def test_a_fault_is_told_of_the_rank_that_the_process_says_and_the_job_that_its_pod_says(told: Told, label: str):
    names = [one.names for one in told.opened_in(label)]
    guilty = [one for one in names if one.get("gpu") == "3"]
    assert [(one["rank"], one["job"]) for one in guilty][:1] == [("1", "train/llama")], names
    assert {one.get("gpu", "3") for one in names} == {"3"}


def test_nothing_of_an_environment_but_the_ranks_leaves_the_node(told: Told):
    facts = [one for batch in told.batches for one in batch.facts]
    assert not [one for one in facts if "SECRET" in repr(one)]
    assert {one.attributes["world_size"] for one in facts if one.subject.kind is SubjectKind.JOB} == {"4"}


def test_a_gpu_is_told_of_its_job_within_one_look_of_its_process(told: Told):
    began_ns, _ = told.life.phase("healthy")
    first = next(
        batch.sent_ns
        for batch in told.batches
        for one in batch.facts
        if one.attributes.get("job") and "pid" in one.attributes
    )
    assert 0 <= first - began_ns <= 5.5e9


def test_the_crashed_rank_stays_in_its_job_for_two_minutes(told: Told):
    crash_ns, _ = told.life.phase("rank_crash")
    last = [one for batch in told.batches if batch.sent_ns > crash_ns for one in batch.facts]
    crashed = [one.attributes.get("rank") for one in last if one.attributes.get("index") == "3"]
    assert set(crashed) == {"1"}
