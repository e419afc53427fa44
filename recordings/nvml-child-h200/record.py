"""How this recording was made: a real NVML child on a real card, and what it costs.

    python record.py OUT_DIR [command of the child ...]

Writes child.jsonl (every question and every word of the child, one JSON a line) and cost.json. For 20 of the 40 seconds
a second process multiplies matrices, if torch is there; at the end another one writes to an address that is not its own,
so that NVML's event API has an Xid to tell.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import msgspec

from collectors.gpu import nvml_process
from collectors.gpu.nvml_calls import COUNTERS, GAUGES
from collectors.model import CATALOGUE, Tier

SECONDS, LOAD_FROM, LOAD_TO = 40, 10, 30
LOAD = """
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
end = time.time() + %d
while time.time() < end:
    for _ in range(50):
        a @ a
    torch.cuda.synchronize()
"""
FAULT = """

import cupy
cupy.RawKernel('extern "C" __global__ void f(int *p) { *p = 1; }', "f")((1,), (1,), (0x7fff12345000,))
cupy.cuda.Device().synchronize()
"""


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_ns(pid):
    """Finer than the clock tick where the kernel has it: ns on a CPU, of all threads."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def memory_mib(pid):
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        if name in ("Rss", "Pss", "Private_Dirty", "Shared_Clean"):
            found[name] = round(int(value.split()[0]) / 1024, 2)
    return found


def main(out, *command):
    out = pathlib.Path(out)
    lines = (out / "child.jsonl").open("w")
    words = []
    read = nvml_process.read_word

    def keep(body):
        lines.write(json.dumps({"said_ns": time.time_ns(), "body": json.loads(body)}) + "\n")
        word = read(body)
        words.append(word)
        return word

    nvml_process.read_word = keep
    begun = time.monotonic()
    child = nvml_process.NvmlProcess(command or nvml_process.CHILD_COMMAND)
    hello = child.hear(30)
    cost = {"hello_seconds": time.monotonic() - begun, "python": sys.version, "hello": len(hello)}
    number = 0

    def look(metrics, wait=5.0, record=True):
        nonlocal number
        number += 1
        if record:
            lines.write(json.dumps({"asked_ns": time.time_ns(), "id": number, "metrics": metrics}) + "\n")
        child.ask(number, tuple(metrics))
        while not any(getattr(word, "id", None) == number for word in words):
            if not child.hear(wait):
                raise SystemExit(f"no answer; alive: {child.alive}")
        words.clear()

    readable = {tier: [n for n in (*GAUGES, *COUNTERS) if CATALOGUE[n].tier is tier] for tier in Tier}
    every = {Tier.CHEAP: 1, Tier.MIDDLE: 5, Tier.DEAR: 30}
    cost["memory_at_start_mib"] = memory_mib(child.pid)
    cpu_before, own_before = cpu_ns(child.pid), resource.getrusage(resource.RUSAGE_SELF)
    start, load = time.time(), None
    for second in range(SECONDS):
        time.sleep(max(0.0, start + second - time.time()))
        if second == LOAD_FROM:
            load = subprocess.Popen([sys.executable, "-c", LOAD % (LOAD_TO - LOAD_FROM)], stderr=subprocess.DEVNULL)
        look([n for tier in Tier if second % every[tier] == 0 for n in readable[tier]])
    own = resource.getrusage(resource.RUSAGE_SELF)
    cost["plan"] = {
        "seconds": SECONDS,
        "child_cpu_ms": (cpu_ns(child.pid) - cpu_before) / 1e6,
        "asking_side_cpu_ms": (own.ru_utime + own.ru_stime - own_before.ru_utime - own_before.ru_stime) * 1e3,
    }
    cost["memory_at_end_mib"] = memory_mib(child.pid)
    before = cpu_ns(child.pid)
    time.sleep(10)
    cost["ten_idle_seconds_child_cpu_ms"] = (cpu_ns(child.pid) - before) / 1e6
    nvml_process.read_word = lambda body: words.append(word := read(body)) or word

    def price(metrics, times=20):
        before, wall = cpu_ns(child.pid), time.monotonic()
        for _ in range(times):
            look(metrics, record=False)
        return {
            "cpu_us": (cpu_ns(child.pid) - before) / 1e3 / times,
            "wall_us": (time.monotonic() - wall) * 1e6 / times,
        }

    cost["nothing"] = price([])
    cost["tiers"] = {tier.value: price(readable[tier]) for tier in Tier}
    cost["metrics"] = {name: price([name]) for name in (*GAUGES, *COUNTERS)}
    if load is not None:
        load.wait()
        cost["load_exit_status"] = load.returncode
    nvml_process.read_word = keep
    words.clear()
    fault = subprocess.run([sys.executable, "-c", FAULT], capture_output=True, text=True, timeout=60)
    cost["fault_said"] = fault.stderr.strip().splitlines()[-1:]
    end = time.time() + 3
    while time.time() < end:
        child.hear(0.3)
    child.close()
    lines.close()
    cost["child_ended"] = child.gone()
    (out / "cost.json").write_bytes(msgspec.json.format(msgspec.json.encode(cost), indent=1))
    print(json.dumps(cost, indent=1))


main(*sys.argv[1:])
