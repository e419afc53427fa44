"""A real NVML child over the fake library, which gives the values and processes that a file tells it.

    python -I recorded_values_child.py STATE.json

STATE.json as of fake_nvml_child.py, and `values`: for each GPU what NVML's calls answer, by the names below; a call
that it does not name times out.
"""

import importlib.util
import sys
import types
from pathlib import Path

FAKE = Path(__file__).parents[1] / "gpu" / "fake_nvml_child.py"
spec = importlib.util.spec_from_file_location("fake_nvml_child", FAKE)
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)


def told(name):
    def call(gpu, *rest):
        values = fake.state()["values"][gpu]
        if name not in values:
            raise fake.NVMLError(10)
        return values[name]

    return call


memory = told("memory")
fake.nvml.nvmlDeviceGetUtilizationRates = lambda gpu: types.SimpleNamespace(gpu=told("utilization")(gpu))
fake.nvml.nvmlDeviceGetMemoryInfo = lambda gpu: types.SimpleNamespace(used=memory(gpu), total=140 * 2**30)
for function, name in {
    "nvmlDeviceGetPowerUsage": "power",
    "nvmlDeviceGetTotalEnergyConsumption": "energy",
    "nvmlDeviceGetClockInfo": "sm_clock",
    "nvmlDeviceGetCurrentClocksEventReasons": "reasons",
    "nvmlDeviceGetTemperature": "temperature",
}.items():
    setattr(fake.nvml, function, told(name))

if __name__ == "__main__":
    from collectors.gpu import nvml_child

    sys.exit(nvml_child.main("fake_nvml"))
