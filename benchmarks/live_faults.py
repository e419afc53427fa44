"""A real job on the GPUs of this machine, faults brought about on purpose, and the whole watch on it, live.

    python -m benchmarks.live_faults --out DIR          every GPU of the machine; nine minutes
    python -m benchmarks.live_faults --out DIR --scale 0.4   shorter phases

Needs PyTorch with CUDA and, from two GPUs on, NCCL beside the agent's packages, and the project installed: the
collector's NVML child runs isolated. `watchstander agent` and `watchstander collect` run as they do in life, with
their default settings; the job is `benchmarks/live_job.py`, one rank a GPU, the last rank the guilty one. What was
done when is written to DIR/truth.json in the form of the recordings, what was found to DIR/findings.jsonl, the bundle
of the last incident to DIR/bundle.zip; the end of the output holds one against the other (`agent.demo.truth`). Nothing
of the GPUs' settings is touched.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.cli.client import AgentClient
from agent.demo.processes import running_agent
from agent.demo.story import Story
from agent.demo.truth import Told, score
from benchmarks.recordings import HEAD, Played, row, said_wrong
from detectors.model import FindingKind

CLUSTER, JOB = "live", "gpt"
START_S = 120.0
SETTLE_S = 15.0


@dataclass(frozen=True)
class Phase:
    """One thing that is done to the job, for so long."""

    label: str
    seconds: float
    fault: bool = False
    blamed: bool = False
    """Whether the last rank alone is the guilty one."""


def healthy(seconds: float) -> Phase:
    return Phase("healthy", seconds)


PHASES = (
    healthy(45),
    Phase("checkpoint_save", 6),
    healthy(20),
    Phase("evaluation", 10),
    healthy(20),
    Phase("dataloader_slow", 30, fault=True),
    healthy(20),
    Phase("straggler_gpu", 32, fault=True, blamed=True),
    healthy(20),
    Phase("straggler_host", 32, fault=True, blamed=True),
    healthy(20),
    Phase("collective_hang", 25, fault=True, blamed=True),
    healthy(22),
    Phase("power_throttle", 28, fault=True),
    healthy(20),
    Phase("gpu_memory_leak", 14, fault=True),
    Phase("gpu_memory_drop", 6, fault=True),
    healthy(20),
    Phase("loss_divergence", 18, fault=True),
    Phase("loss_nan", 8, fault=True),
    Phase("restore_checkpoint", 1),
    healthy(20),
    Phase("xid", 10, fault=True, blamed=True),
    healthy(15),
    Phase("rank_crash", 40, fault=True, blamed=True),
)
OF_MANY = frozenset({"straggler_gpu", "straggler_host", "collective_hang", "rank_crash"})
"""Left out where there is one GPU."""


@dataclass
class Job:
    """The training job's processes, and the file that tells them what to do."""

    folder: Path
    gpus: int
    ranks: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "train.log"

    def tell(self, label: str) -> None:
        """Have every rank enter a phase."""
        told, new = self.folder / "phase.json", self.folder / "phase.new"
        new.write_text(json.dumps(label))
        new.replace(told)

    def start(self) -> None:
        """A process a GPU, all output in one log, as a container would have it."""
        self.tell("healthy")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.log.open("ab") as log:
            for rank in range(self.gpus):
                variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.gpus, "MASTER_PORT": port}
                environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
                environment |= {name: str(value) for name, value in variables.items()}
                command = [
                    sys.executable,
                    str(Path(__file__).with_name("live_job.py")),
                    str(self.folder / "phase.json"),
                ]
                self.ranks.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
                )

    def wait_for_step(self, step: int) -> None:
        until = time.monotonic() + START_S
        while f"iter {step}:" not in self.log.read_text(errors="replace"):
            if time.monotonic() > until or any(rank.poll() is not None for rank in self.ranks):
                raise SystemExit(f"the job did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)

    def end(self) -> None:
        for rank in self.ranks:
            rank.kill()
            rank.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="every phase X times as long")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        watch(Path(name), args.out, args.scale)


def watch(folder: Path, out: Path, scale: float) -> None:
    """Run it all; prints incidents as they come, then the score."""
    if shutil.which("nvidia-smi") is None:
        raise SystemExit("no NVIDIA GPU here: nvidia-smi is not there; run this on a node with GPUs")
    gpus = len(subprocess.run(["nvidia-smi", "-L"], check=True, capture_output=True, text=True).stdout.splitlines())
    data, job = folder / "data", Job(folder, gpus)
    data.mkdir(mode=0o700)
    truth: list[dict[str, Any]] = []
    with running_agent(data) as client, collector(client, data, job.log, out / "collector.log"):
        begun_ns = time.time_ns()
        story = Story(client, CLUSTER, begun_ns, lambda line, _: print(line, flush=True))
        try:
            job.start()
            job.wait_for_step(20)
            truth.append(phase("benign", "startup", begun_ns / 1e9))
            for one in PHASES:
                if gpus > 1 or one.label not in OF_MANY:
                    truth.append(bring_about(one, job, scale, story, begun_ns))
        finally:
            job.end()
        follow(story, SETTLE_S)
        if incidents := [detail["incident"] for detail in story.details.values()]:
            last = max(incidents, key=lambda incident: incident["opened_ns"])["id"]
            with (out / "bundle.zip").open("wb") as bundle:
                client.download(f"/v1/incidents/{last}/bundle", {"before": "1200"}, bundle)
    (out / "agent.log").write_bytes((data / "agent.log").read_bytes())
    (out / "train.log").write_bytes(job.log.read_bytes())
    (out / "truth.json").write_text(json.dumps({"scenario": "live", "phases": truth}, indent=1))
    told = [finding for detail in story.details.values() for finding in detail["findings"]]
    write_findings(out / "findings.jsonl", told)
    judge(truth, told, begun_ns, gpus)


@contextmanager
def collector(client: AgentClient, data: Path, train_log: Path, log: Path) -> Iterator[None]:
    """`watchstander collect` with its default plan, on this machine's GPUs, kernel log and the job's log."""
    settings = data.parent / "collector.yaml"
    settings.write_text(
        json.dumps(
            {
                "cluster": CLUSTER,
                "agent": {"url": client.address, "token_file": str(data / "token")},
                "spool": {"directory": str(data.parent / "spool")},
                "node": {"id": "node-1", "name": "node-1"},
                "logs": [{"path": str(train_log), "job": JOB}],
                "kmsg": "/dev/kmsg" if os.access("/dev/kmsg", os.R_OK) else None,
            }
        )
    )
    command = [sys.executable, "-m", "agent.cli.main", "collect", "--settings", str(settings)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def bring_about(one: Phase, job: Job, scale: float, story: Story, begun_ns: int) -> dict[str, Any]:
    """One phase, from its first moment to its last; incidents are told as they come."""
    print(f"{(time.time_ns() - begun_ns) / 1e9:8.1f} s  -- {one.label}", flush=True)
    began = time.time()
    match one.label:
        case "rank_crash":
            job.ranks[-1].send_signal(signal.SIGKILL)
        case "xid":
            stray = Path(__file__).with_name("live_stray_write.py")
            command = [sys.executable, str(stray), str(job.gpus - 1)]
            said = subprocess.run(command, check=False, capture_output=True, text=True)
            if said.returncode == 0 or not said.stdout:
                raise SystemExit(f"the stray write went well, or never came:\n{said.stderr}")
            began = float(said.stdout)
        case label:
            job.tell(label)
    follow(story, one.seconds * scale)
    guilty = {"guilty": {"gpu": job.gpus - 1, "rank": job.gpus - 1}} if one.blamed else {}
    return {**phase("fault" if one.fault else "benign", one.label, began), **guilty}


def phase(kind: str, label: str, began: float) -> dict[str, Any]:
    return {"kind": kind, "label": label, "start": began, "end": time.time()}


def follow(story: Story, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        story.look()
        time.sleep(min(0.5, left))


def write_findings(path: Path, told: list[dict[str, Any]]) -> None:
    """As `watchstander replay --findings-jsonl` writes them."""
    lines = []
    for one in sorted(told, key=lambda finding: finding["opened_ns"]):
        times = {"opened_at": one["opened_ns"] / 1e9, "since": one["since_ns"] / 1e9}
        cleared = None if one["cleared_ns"] is None else one["cleared_ns"] / 1e9
        subject = {key: int(value) if value.isdigit() else value for key, value in one["names"].items()}
        lines.append({"kind": one["kind"], **times, "cleared_at": cleared, "subject": subject, "says": one["summary"]})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def judge(truth: list[dict[str, Any]], told: list[dict[str, Any]], begun_ns: int, gpus: int) -> None:
    """Print what was found of what was done."""
    findings = [
        Told(
            FindingKind(one["kind"]),
            one["since_ns"] / 1e9,
            one["opened_ns"] / 1e9,
            one["names"],
            None if one["cleared_ns"] is None else one["cleared_ns"] / 1e9,
        )
        for one in told
    ]
    played = Played("live", begun_ns / 1e9, score(truth, findings))
    print(f"\n{HEAD}\n| --- |{' --- |' * (HEAD.count('|') - 2)}\n{row(f'live, {gpus} GPUs', [played])}")
    for fault in played.score.faults:
        delay = "" if fault.delay_s is None else f" after {fault.delay_s:.1f} s"
        print(f"{fault.start - played.start:8.1f} s  {fault.label}: {'found' if fault.found else 'missed'}{delay}")
    for line in said_wrong(played):
        print(line)


if __name__ == "__main__":
    main()
