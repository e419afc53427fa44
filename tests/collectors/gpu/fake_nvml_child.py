"""A real NVML child over a library that does as a file tells it. test_nvml_gpus.py runs it as the collector its own.

    python -I fake_nvml_child.py STATE.json

STATE.json: `gpus` (how many), `missing`, `lost` (indices), `hang` (before answering), `unsupported` (function names),
`xids` ([[index, code]], told once), `processes` (by index, [[pid, bytes]]), `uninitialised`; read at each call.
"""

import json
import sys
import time
import types
from pathlib import Path

STATE = Path(sys.argv[1])


def state():
    return json.loads(STATE.read_text())


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(
            {
                1: "Uninitialized",
                3: "Not Supported",
                10: "Timeout",
                12: "NVML Shared Library Not Found",
                15: "GPU is lost",
            }[value]
        )
        self.value = value


def reading(name, answer):
    def call(handle=None, *rest):
        now = state()
        if now.get("hang"):
            time.sleep(3600)
        if now.get("uninitialised"):
            raise NVMLError(1)
        if name in now.get("unsupported", ()):
            raise NVMLError(3)
        if handle is not None and handle in now.get("lost", ()):
            raise NVMLError(15)
        return answer(handle, *rest)

    return call


def init():
    if state().get("missing"):
        raise NVMLError(12)


def handle_by_index(index):
    if index in state().get("lost", ()):
        raise NVMLError(15)
    return index


told = set()


def wait_for_event(event_set, timeout_ms):
    for number, (index, code) in enumerate(state().get("xids", ())):
        if number not in told:
            told.add(number)
            return types.SimpleNamespace(device=index, eventType=8, eventData=code)
    raise NVMLError(10)


def field_value(gpu, fields):
    return [types.SimpleNamespace(nvmlReturn=0, valueType=3, value=types.SimpleNamespace(ullVal=1000 + fields[0][0]))]


nvml = types.ModuleType("fake_nvml")
nvml.NVMLError = NVMLError
nvml.nvmlInit = init
nvml.nvmlSystemGetDriverVersion = lambda: "580.1"
nvml.nvmlDeviceGetCount = lambda: state().get("gpus", 2)
nvml.nvmlDeviceGetHandleByIndex = handle_by_index
nvml.nvmlEventSetCreate = object
nvml.nvmlDeviceRegisterEvents = lambda handle, kind, event_set: None
nvml.nvmlEventSetWait_v2 = wait_for_event
BUS = "00000000:{:02X}:00.0"
ANSWERS = {
    "nvmlDeviceGetUUID": lambda gpu: f"GPU-{gpu}",
    "nvmlDeviceGetPciInfo": lambda gpu: types.SimpleNamespace(busId=BUS.format(0x1A + gpu).encode()),
    "nvmlDeviceGetName": lambda gpu: "NVIDIA Fake",
    "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
    "nvmlDeviceGetTemperatureThreshold": lambda gpu, kind: 89,
    "nvmlDeviceGetMemoryInfo": lambda gpu: types.SimpleNamespace(used=5 * 2**30, total=140 * 2**30),
    "nvmlDeviceGetUtilizationRates": lambda gpu: types.SimpleNamespace(gpu=97),
    "nvmlDeviceGetPowerUsage": lambda gpu: 650_500 + gpu,
    "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: 2**53 + 1 + gpu,
    "nvmlDeviceGetClockInfo": lambda gpu, which: 1980,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: 4,
    "nvmlDeviceGetTemperature": lambda gpu, which: 55,
    "nvmlDeviceGetFieldValues": field_value,
    "nvmlDeviceGetTotalEccErrors": lambda gpu, kind, since: kind,
    "nvmlDeviceGetRemappedRows": lambda gpu: (1, 2, 0, 1),
    "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [
        types.SimpleNamespace(pid=pid, usedGpuMemory=used)
        for pid, used in state().get("processes", {}).get(str(gpu), [[4000 + gpu, 2**30]])
    ],
    "nvmlDeviceGetViolationStatus": lambda gpu, which: types.SimpleNamespace(violationTime=7 + which),
    "nvmlDeviceGetPcieReplayCounter": lambda gpu: 2**64 - 1,
}
for name, answer in ANSWERS.items():
    setattr(nvml, name, reading(name, answer))
sys.modules["fake_nvml"] = nvml

if __name__ == "__main__":
    from collectors.gpu import nvml_child

    nvml_child.EVENT_WAIT_SECONDS = 0.01
    sys.exit(nvml_child.main("fake_nvml"))
