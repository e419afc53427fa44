"""What each NVML call costs on this machine's first GPU: microseconds of CPU and of wall time a call.

    python -m benchmarks.nvml_price                          as the card is now
    python -m benchmarks.nvml_price --load "COMMAND"         idle, and again while COMMAND loads the card

The calls are those of the collector's child (`collectors.gpu.nvml_calls`), made in this process without its pipe. A
call that the card does not support is left out. SamplingPlan rests on these prices.
"""

import argparse
import shlex
import subprocess
import time
from statistics import median

from collectors.gpu.nvml_calls import CALLS

TIMES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", help="a command that keeps the card busy until it is ended")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds until the load works")
    args = parser.parse_args()
    import pynvml

    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    columns = {"now": prices(pynvml, gpu)}
    if args.load:
        load = subprocess.Popen(shlex.split(args.load))
        time.sleep(args.warm_up)
        columns["under load"] = prices(pynvml, gpu)
        busy = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
        load.terminate()
        load.wait()
        print(f"utilisation under load: {busy} %")
    print(f"{'call':<22}" + "".join(f"{what + ': CPU us':>22}{'wall us':>10}{'worst':>10}" for what in columns))
    for name in CALLS:
        if all(name in column for column in columns.values()):
            print(f"{name:<22}" + "".join("{:>22.0f}{:>10.0f}{:>10.0f}".format(*c[name]) for c in columns.values()))


def prices(nvml: object, gpu: object) -> dict[str, tuple[float, float, float]]:
    """Mean CPU, median wall and worst wall, us, by call."""
    found = {}
    for name, call in CALLS.items():
        try:
            call(nvml, gpu)
        except nvml.NVMLError:  # type: ignore[attr-defined]  # the binding has no types
            continue
        walls = []
        cpu = time.thread_time()
        for _ in range(TIMES):
            began = time.perf_counter()
            call(nvml, gpu)
            walls.append((time.perf_counter() - began) * 1e6)
            time.sleep(0.01)  # as in the field: never twice within the driver's own cache of a few ms
        found[name] = ((time.thread_time() - cpu) / TIMES * 1e6, median(walls), max(walls))
    return found


if __name__ == "__main__":
    main()
