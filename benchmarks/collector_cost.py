"""What the collector costs a node: CPU and memory of the process and its NVML child. Target: 10 millicores, 64 MiB.

A real `watchstander collect` with the default plan, one minute of real time after ten seconds of warming up: GPUs
through the real child process, one training log with a step a second, the kernel log where it may be read, an agent on
loopback that acknowledges everything. CPU is what the kernel's scheduler has counted (ns, per thread); memory is read
at the end. Where a cgroup can be made (root) the collector runs in one of its own, and its working set is
what a kubelet would read: all of its memory less inactive file pages. The agent's own cost is in another
process and not counted.

    python -m benchmarks.collector_cost                   8 made-up GPUs: what Python costs, without NVML
    python -m benchmarks.collector_cost --real            the GPUs of this machine: what it all costs (installed: the
                                                          child runs isolated and finds nothing in the working folder)
    python -m benchmarks.collector_cost --seconds 10      shorter

The made-up library answers at once. What NVML itself would add on 8 GPUs is stated beside it, by the price list in
recordings/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WARM_UP_SECONDS = 10.0
GPUS = 8
TARGET_MILLICORES, TARGET_MIB = 10.0, 64.0

COLLECT = """
import sys
if {made_up}:
    import functools
    from collectors.gpu import nvml
    nvml.NvmlGpus = functools.partial(
        nvml.NvmlGpus, command=[sys.executable, "-m", "benchmarks.collector_cost", "--made-up-child"]
    )
from agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Agent(BaseHTTPRequestHandler):
    """Acknowledges everything."""

    protocol_version = "HTTP/1.1"
    batches = 0
    body_bytes = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Agent.batches += 1
        Agent.body_bytes += int(self.headers["content-length"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@dataclass(frozen=True)
class Memory:
    """MiB, as the kernel counts them now."""

    rss: float
    pss: float
    private: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--real", action="store_true", help="the GPUs of this machine")
    parser.add_argument("--made-up-child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.made_up_child:
        made_up_child()
    else:
        measure(args.seconds, made_up=not args.real)


def measure(seconds: float, *, made_up: bool) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, token, settings = folder / "train.log", folder / "token", folder / "settings.yaml"
        log.touch()
        token.write_text("a-token")
        settings.write_text(
            json.dumps(
                {
                    "agent": {"url": f"http://127.0.0.1:{server.server_address[1]}", "token_file": str(token)},
                    "spool": {"directory": str(folder / "spool")},
                    "node": {"id": "node-1", "name": "node-1"},
                    "logs": [{"path": str(log), "job": "job-1"}],
                    "kmsg": "/dev/kmsg" if os.access("/dev/kmsg", os.R_OK) else None,
                }
            )
        )
        command = [sys.executable, "-c", COLLECT.format(made_up=made_up), "collect", "--settings", str(settings)]
        cgroup = make_cgroup()
        if cgroup is not None:
            command = ["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh", *command]
        collector = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            train(log, WARM_UP_SECONDS)
            if collector.poll() is not None:
                sys.exit(collector.communicate()[1])
            processes = {"collector": collector.pid, **{f"child {i}": p for i, p in enumerate(children(collector.pid))}}
            batches, body_bytes = Agent.batches, Agent.body_bytes
            before = {what: cpu_ns(pid) for what, pid in processes.items()}
            begun = time.monotonic()
            train(log, seconds)
            took = time.monotonic() - begun
            used = {what: cpu_ns(pid) - before[what] for what, pid in processes.items()}
            memory = {what: memory_of(pid) for what, pid in processes.items()}
            batches, body_bytes = Agent.batches - batches, Agent.body_bytes - body_bytes
            working_set = working_set_mib(cgroup) if cgroup is not None else None
        finally:
            collector.terminate()
            said = collector.communicate(timeout=30)[1]
            if cgroup is not None:
                cgroup.rmdir()
    print(f"{'made-up GPUs: ' + str(GPUS) if made_up else 'the GPUs of this machine'}; {took:.1f} s; default plan")
    print(f"{batches} batches, {body_bytes / max(1, batches):.0f} bytes each, {body_bytes / took:.0f} bytes/s")
    print(f"{'':<12}{'millicores':>12}{'RSS MiB':>10}{'PSS MiB':>10}{'private MiB':>13}")
    for what in processes:
        one = memory[what]
        print(f"{what:<12}{used[what] / took / 1e6:>12.2f}{one.rss:>10.1f}{one.pss:>10.1f}{one.private:>13.1f}")
    rss, pss, private = (sum(getattr(one, field) for one in memory.values()) for field in ("rss", "pss", "private"))
    print(f"{'together':<12}{sum(used.values()) / took / 1e6:>12.2f}{rss:>10.1f}{pss:>10.1f}{private:>13.1f}")
    print(f"{'target':<12}{TARGET_MILLICORES:>12.2f}{TARGET_MIB:>10.1f}")
    if working_set is not None:
        print(f"working set of its cgroup, as a kubelet reads it: {working_set:.1f} MiB")
    else:
        print("working set of a cgroup: not measured, none could be made here (needs root)")
    if made_up:
        print(f"NVML itself, by the price list, for {GPUS} GPUs: {GPUS * by_price_list():.2f} millicores more")
    troubles = [line for line in said.splitlines() if " INFO " not in line]
    if troubles:
        print("the collector complained:", *troubles, sep="\n  ")


def make_cgroup() -> Path | None:
    """A cgroup of the collector's own, with memory accounting; None where this user or kernel does not allow it."""
    root = Path("/sys/fs/cgroup")
    try:
        if (root / "cgroup.controllers").exists():
            (root / "cgroup.subtree_control").write_text("+memory")
        else:
            root = root / "memory"
        made = root / f"watchstander-cost-{os.getpid()}"
        made.mkdir()
    except OSError:
        return None
    return made


def working_set_mib(cgroup: Path) -> float:
    """What kubelet and cAdvisor call the working set, MiB: all memory of the group less `inactive_file`, v2 or v1."""
    stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    v2 = (cgroup / "memory.current").exists()
    used = int((cgroup / ("memory.current" if v2 else "memory.usage_in_bytes")).read_text())
    return (used - int(stat["inactive_file" if v2 else "total_inactive_file"])) / 2**20


def by_price_list() -> float:
    """Millicores of NVML's own time for one GPU: ms a look (H100, docs/benchmarks.md) by the tier's interval.

    The energy counter takes 4.2 of the dear tier's 6.9 ms.
    """
    from collectors.sampling.plan import SamplingPlan

    plan = SamplingPlan()
    return 0.16 / plan.cheap_seconds + 0.2 / plan.middle_seconds + 6.9 / plan.dear_seconds


def train(log: Path, seconds: float) -> None:
    """Write a step a second for so long."""
    until = time.monotonic() + seconds
    step = int(time.monotonic())
    while time.monotonic() < until:
        step += 1
        with log.open("a") as file:
            file.write(f"{{'loss': 2.31, 'grad_norm': 0.81, 'learning_rate': 1.5e-05, 'epoch': 0.1, 'step': {step}}}\n")
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))


def children(pid: int) -> Iterator[int]:
    """Process ids of the children of all threads of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "children").exists():
            found += [int(child) for child in (task / "children").read_text().split()]
        else:  # not every kernel has it
            found = [int(p.name) for p in Path("/proc").glob("[0-9]*") if parent_of(p) == pid]
            break
    for child in found:
        yield child
        yield from children(child)


def parent_of(process: Path) -> int:
    """Process id of the parent; 0 where it has gone."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def cpu_ns(pid: int) -> int:
    """Time on a CPU of all threads that live, ns."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    if all((task / "schedstat").exists() for task in tasks):
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # coarser: clock ticks
    return (int(fields[11]) + int(fields[12])) * 10**9 // os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> Memory:
    kib: dict[str, int] = {}
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():  # not every kernel has it
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Memory(resident, float("nan"), float("nan"))
    for line in rollup.read_text().splitlines()[1:]:
        field, _, value = line.partition(":")
        kib[field] = int(value.split()[0])
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024, private / 1024)


def made_up_child() -> None:
    """The real child over a library that answers at once: 8 GPUs whose readings wander."""
    import random
    import types

    import pynvml  # its real size belongs to the measurement

    from collectors.gpu import nvml_child

    chance = random.Random(1)
    begun = time.monotonic()
    library = types.ModuleType("made_up_nvml")
    holder = types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=90 * 2**30)
    answers = {
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.0",
        "nvmlDeviceGetCount": lambda: GPUS,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlEventSetCreate": lambda: None,
        "nvmlDeviceGetUUID": lambda gpu: f"GPU-00000000-0000-0000-0000-{gpu:012d}",
        "nvmlDeviceGetPciInfo": lambda gpu: types.SimpleNamespace(busId=f"00000000:{0x18 + gpu:02X}:00.0"),
        "nvmlDeviceGetName": lambda gpu: "Made-up GPU",
        "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
        "nvmlDeviceGetTemperatureThreshold": lambda gpu, kind: 89,
        "nvmlDeviceGetMemoryInfo": lambda gpu: types.SimpleNamespace(used=90 * 2**30, total=140 * 2**30),
        "nvmlDeviceGetUtilizationRates": lambda gpu: types.SimpleNamespace(gpu=chance.randint(95, 100)),
        "nvmlDeviceGetPowerUsage": lambda gpu: chance.randint(640_000, 700_000),
        "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: int((time.monotonic() - begun) * 670_000) + 10**12,
        "nvmlDeviceGetClockInfo": lambda gpu, which: chance.choice((1935, 1950, 1965, 1980)),
        "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: 4,
        "nvmlDeviceGetTemperature": lambda gpu, which: chance.randint(54, 58),
        "nvmlDeviceGetFieldValues": lambda gpu, fields: [
            types.SimpleNamespace(nvmlReturn=0, valueType=3, value=types.SimpleNamespace(ullVal=time.monotonic_ns()))
        ],
        "nvmlDeviceGetTotalEccErrors": lambda gpu, kind, since: 0,
        "nvmlDeviceGetRemappedRows": lambda gpu: (0, 0, 0, 0),
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [holder],
        "nvmlDeviceGetViolationStatus": lambda gpu, which: types.SimpleNamespace(violationTime=time.monotonic_ns()),
        "nvmlDeviceGetPcieReplayCounter": lambda gpu: 0,
        "nvmlEventSetWait_v2": lambda events, wait: (_ for _ in ()).throw(pynvml.NVMLError(10)),
        "nvmlDeviceRegisterEvents": lambda handle, kind, events: None,
        "NVMLError": pynvml.NVMLError,
    }
    for name, answer in answers.items():
        setattr(library, name, answer)
    sys.modules["made_up_nvml"] = library
    sys.exit(nvml_child.main("made_up_nvml"))


if __name__ == "__main__":
    main()
