"""The NVML source with holders: processes come from the child, facts change when holders do, and only then."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_proc_tree import UID, FakeProc

from collectors.check import CheckLine, Verdict, check_node
from collectors.collector import Collector, Identity
from collectors.gpu.nvml import NvmlGpus
from collectors.gpu.nvml_words import GpuProcess
from collectors.gpu.source import GpuLook
from collectors.model import Event, EventKind, Origin, Subject, SubjectFacts, SubjectKind
from collectors.processes.followed import FollowedLogs, follow
from collectors.processes.held_gpus import HeldGpus
from collectors.processes.holders import GpuHolders
from collectors.processes.pod_folders import PodFolders
from collectors.processes.proc import Proc
from collectors.run_sources import Sources
from collectors.sampling.plan import SamplingPlan
from collectors.settings import AgentSettings, LogSettings, NodeSettings, Settings, SpoolSettings

NODE = Subject("c", SubjectKind.NODE, "n1")
GPU = Subject("c", SubjectKind.GPU, "GPU-0")
FAKE_CHILD = Path(__file__).parents[1] / "gpu" / "fake_nvml_child.py"
SECOND = 10**9
T0 = 1_800_000_000 * SECOND


class FakeGpus:
    """A source of one GPU with some processes."""

    def __init__(self) -> None:
        self.told = (SubjectFacts(NODE, "n1"), SubjectFacts(GPU, "n1/gpu0", NODE, {"index": "0"}))
        self.running: tuple[GpuProcess, ...] | None = ()
        self.noticed: list[Event] = []

    def facts(self) -> tuple[SubjectFacts, ...]:
        return self.told

    def events(self) -> list[Event]:
        return self.noticed

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        return GpuLook(now_ns, (GPU,), {"gpu_power_watts": [300.0]})

    def processes(self) -> dict[Subject, tuple[GpuProcess, ...] | None]:
        return {GPU: self.running}


@pytest.fixture
def gpus() -> FakeGpus:
    return FakeGpus()


@pytest.fixture
def held(gpus: FakeGpus, fake_proc: FakeProc, tmp_path: Path) -> HeldGpus:
    holders = GpuHolders(Proc(fake_proc.root), PodFolders(str(tmp_path / "pods")), "bare")
    return HeldGpus(gpus, holders, lambda: FollowedLogs([]))


def test_facts_are_added_to_and_the_jobs_size_has_facts_of_its_own(
    held: HeldGpus, gpus: FakeGpus, fake_proc: FakeProc
) -> None:
    assert held.facts() == gpus.told
    fake_proc.start(40, env={"RANK": "3", "WORLD_SIZE": "8"})
    gpus.running = (GpuProcess(40),)
    held.look(("gpu_processes",), T0)
    assert held.facts() == (
        gpus.told[0],
        SubjectFacts(GPU, "n1/gpu0", NODE, {"index": "0", "job": "bare", "pid": "40", "rank": "3"}),
        SubjectFacts(Subject("c", SubjectKind.JOB, "bare"), "bare", None, {"world_size": "8"}),
    )


def test_facts_are_the_same_object_until_something_changes(held: HeldGpus, gpus: FakeGpus, fake_proc: FakeProc) -> None:
    fake_proc.start(40)
    gpus.running = (GpuProcess(40),)
    held.look(("gpu_processes",), T0)
    before = held.facts()
    held.look(("gpu_processes",), T0 + SECOND)
    assert held.facts() is before
    gpus.told = (*gpus.told, SubjectFacts(Subject("c", SubjectKind.GPU, "GPU-1"), "n1/gpu1", NODE))
    assert len(held.facts()) == len(before) + 1


def test_a_look_without_the_process_count_changes_no_holder(
    held: HeldGpus, gpus: FakeGpus, fake_proc: FakeProc
) -> None:
    fake_proc.start(40)
    gpus.running = (GpuProcess(40),)
    assert held.look(("gpu_power_watts",), T0).gauges == {"gpu_power_watts": [300.0]}
    assert held.facts() == gpus.told


def test_events_are_the_sources_own(held: HeldGpus, gpus: FakeGpus) -> None:
    gpus.noticed = [Event(EventKind.GPU_LOST, GPU, T0, "nvml")]
    assert held.events() == gpus.noticed


def test_a_new_holder_leaves_with_the_very_batch_of_the_look(
    held: HeldGpus, gpus: FakeGpus, fake_proc: FakeProc
) -> None:
    plan = SamplingPlan(middle_seconds=5, batch_seconds=60, facts_seconds=600)
    collector = Collector(Identity("c", NODE, "n1", "boot", "spool", Origin.LIVE), [held], [], plan)
    collector.step(T0)
    fake_proc.start(40, env={"RANK": "3"})
    gpus.running = (GpuProcess(40),)
    assert collector.step(T0 + 4 * SECOND) == []
    [batch] = collector.step(T0 + 5 * SECOND)
    assert [one.attributes.get("rank") for one in batch.facts if one.subject == GPU] == ["3"]


@pytest.mark.slow
def test_the_child_tells_of_each_gpus_processes_where_their_number_is_asked_for(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"gpus": 3, "lost": [2], "processes": {"0": [[40, 2**40], [41, None]], "1": []}}))
    source = NvmlGpus(NODE, "n1", command=[sys.executable, "-I", str(FAKE_CHILD), str(state)], answer_seconds=5.0)
    try:
        source.start(0)
        source.look(("gpu_power_watts",), SECOND)
        assert source.processes() == {}
        source.look(("gpu_processes",), 2 * SECOND)
        zero, one = (Subject("c", SubjectKind.GPU, f"GPU-{index}") for index in range(2))
        assert source.processes() == {zero: (GpuProcess(40, 2**40), GpuProcess(41, None)), one: ()}
        state.write_text(json.dumps({"gpus": 3, "lost": [1], "processes": {"0": [[40, 2**64 - 1]]}}))
        source.look(("gpu_processes",), 3 * SECOND)
        assert source.processes() == {zero: (GpuProcess(40, None),), one: None}
        state.write_text(json.dumps({"gpus": 3, "unsupported": ["nvmlDeviceGetComputeRunningProcesses"]}))
        source.look(("gpu_processes",), 4 * SECOND)
        assert source.processes() == {zero: None, one: None}
    finally:
        source.close()


LAUNCHER = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "print(__import__('os').getpid(), flush=True); input()"],
    env={"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "8"}, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
input()
child.communicate(b"x")
"""


@pytest.mark.slow
def test_a_real_rank_under_a_real_launcher_is_found_by_the_log_that_they_write(gpus: FakeGpus, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with log.open("w") as out:
        launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=out)
    try:
        while not log.read_text().endswith("\n"):
            assert launcher.poll() is None
        status = log.stat()
        followed = follow("llama", str(log), (status.st_dev, status.st_ino))
        assert followed is not None
        held = HeldGpus(gpus, GpuHolders(Proc(), PodFolders("/nonexistent")), lambda: FollowedLogs([followed]))
        rank = int(log.read_text())
        gpus.running = (GpuProcess(rank),)
        held.look(("gpu_processes",), T0)
        [attributes] = [one.attributes for one in held.facts() if one.subject == GPU]
        assert attributes == {"index": "0", "job": "llama", "rank": "3", "pid": str(rank)}
    finally:
        launcher.communicate(b"\n")
    held.look(("gpu_processes",), T0 + SECOND)
    assert [one.attributes for one in held.facts() if one.subject == GPU] == [attributes]


def pod_log(tmp_path: Path, name: str = "llama-0", uid: str = UID) -> Path:
    path = tmp_path / "pods" / f"train_{name}_{uid}" / "main" / "0.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_one_entry_of_logs_serves_the_pods_of_many_jobs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = (LogSettings(f"{tmp_path}/**/*.log", "{pod_base}", "{pod_index}"),)
    settings = Settings(cluster="c", nvml=False, kmsg=None, logs=logs)
    made = Sources(settings, NODE, "n1", "boot", tmp_path / "positions.json")
    [tail] = made.logs
    assert tail.poll(T0) == []
    for path in (pod_log(tmp_path), pod_log(tmp_path, "gpt-1"), tmp_path / "other.log"):
        path.write_text("2026-11-22T03:12:44Z stderr F torch.cuda.OutOfMemoryError: CUDA out of memory.\n" * 2)
    events = tail.poll(T0 + 5 * SECOND)
    assert {(event.subject.id, event.attributes.get("rank")) for event in events} == {("llama", "0"), ("gpt", "1")}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/other.log: is no log of a pod that says what job '{{pod_base}}' asks for; its lines are left out"
    ]
    made.close()


def check(tmp_path: Path, fake_proc: FakeProc, state: dict[str, object], **more: object) -> dict[str, CheckLine]:
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "token").write_text("a-token")
    settings = Settings(
        node=NodeSettings("node-1", "uid-1"),
        kmsg=None,
        spool=SpoolSettings(directory=str(tmp_path / "spool")),
        agent=AgentSettings(url="http://127.0.0.1:1", token_file=str(tmp_path / "token")),
        host_proc=str(fake_proc.root),
        pod_logs=str(tmp_path / "pods"),
        **more,
    )
    command = [sys.executable, "-I", str(FAKE_CHILD), str(tmp_path / "state.json")]
    lines = check_node(settings, lambda node, name: NvmlGpus(node, name, command=command, answer_seconds=5.0))
    return {line.name: line for line in lines}


ONE = {"gpus": 2, "processes": {"0": [[40, 1]], "1": []}}


@pytest.mark.slow
def test_check_says_how_far_the_way_to_the_job_leads(tmp_path: Path, fake_proc: FakeProc) -> None:
    fake_proc.in_pod(40, env={"RANK": "3"})
    pod_log(tmp_path).write_text("")
    logs = (LogSettings(f"{tmp_path}/pods/*/*/*.log", "{pod_base}"),)
    says = "1 of 2 GPUs have processes; known of them are the pod of 1, the job of 1, the rank of 1"
    assert check(tmp_path, fake_proc, ONE, logs=logs)["GPU to job"] == CheckLine("GPU to job", Verdict.YES, says)
    unfollowed = check(tmp_path, fake_proc, ONE)["GPU to job"]
    assert (unfollowed.verdict, unfollowed.do) == (Verdict.NOTE, "add the log of pod train/llama-0 to `logs`")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "prepare", "verdict", "word"),
    [
        ({"gpus": 1, "processes": {"0": []}}, None, Verdict.NOTE, "hostPID: true"),
        (ONE, None, Verdict.NO, "host_proc to where the node's /proc is mounted"),
        (ONE, "unreadable", Verdict.NOTE, "CAP_SYS_PTRACE"),
        (ONE, "bare", Verdict.NOTE, "or set gpus.job"),
        ({"gpus": 1, "processes": {"0": [[40, 1], [41, 1]]}}, "shared", Verdict.NOTE, "share a GPU"),
    ],
    ids=["no-process", "other-namespace", "no-ptrace", "no-job", "shared"],
)
def test_check_says_what_is_in_the_way(
    tmp_path: Path, fake_proc: FakeProc, state: dict[str, object], prepare: str | None, verdict: Verdict, word: str
) -> None:
    if prepare == "shared":
        fake_proc.in_pod(40)
        fake_proc.in_pod(41, uid=UID[::-1].replace("-", "")[:32])
    elif prepare:
        fake_proc.start(40)
    if prepare == "unreadable":
        (fake_proc.root / "40" / "environ").unlink()
    line = check(tmp_path, fake_proc, state)["GPU to job"]
    assert (line.verdict, word in line.do) == (verdict, True), line


def test_check_names_a_log_whose_job_cannot_be_named(tmp_path: Path, fake_proc: FakeProc) -> None:
    (tmp_path / "train.log").write_text("")
    logs = (LogSettings(f"{tmp_path}/train.log", "{pod_base}"),)
    line = check(tmp_path, fake_proc, ONE, logs=logs, nvml=False)["log"]
    assert (line.verdict, line.do) == (Verdict.NO, "narrow the pattern, or name the job without placeholders")
