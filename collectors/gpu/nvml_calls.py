"""Which NVML call gives which metric. Runs in the child only; imports nothing but the standard library.

Every function takes the NVML binding (`pynvml`, or what a test puts in its place) and a device handle. Results are in
the wire's units: gauges in base units, counters as NVML's own integers (mJ, ns, KiB).
"""

from collections.abc import Callable
from typing import Any

_Call = Callable[[Any, Any], Any]

MEMORY_TEMPERATURE = 82
NVLINK_TRANSMIT, NVLINK_RECEIVE = 138, 139
"""NVML field ids; NVLink's count KiB of payload."""
ALL_LINKS = 0xFFFFFFFF
ABSENT_ABOVE = 1 << 63
"""NVML writes "not available" as the greatest unsigned number."""

NOT_SUPPORTED = frozenset({3, 4, 13, 25, 26})
"""NVML errors that stay: not supported, no permission, no such function, wrong version of an argument, deprecated.

The call is not made again.
"""
LOST = frozenset({15, 16})
"""The GPU is lost (fallen off the bus), or needs a reset before it answers again."""
UNUSABLE = frozenset({1, 9, 12, 18})
"""The library itself must be loaded anew: uninitialised, driver not loaded, library gone, driver and library differ."""


def _reasons(nvml: Any, handle: Any) -> int:
    newer = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return int((newer or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(handle))


def _field(nvml: Any, handle: Any, field: int, scope: int = 0) -> float | int | None:
    """One NVML field value; None where this field alone is not supported."""
    got = nvml.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
    if got.nvmlReturn != 0:
        return None
    member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")[got.valueType]
    value: float | int = getattr(got.value, member)
    return value


CALLS: dict[str, _Call] = {
    "utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu),
    "power": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu),
    "energy": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu),
    "sm_clock": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, 1),
    "reasons": _reasons,
    "memory": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu),
    "temperature": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, 0),
    "memory_temperature": lambda nvml, gpu: _field(nvml, gpu, MEMORY_TEMPERATURE),
    "ecc_corrected": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEccErrors(gpu, 0, 0),
    "ecc_uncorrected": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEccErrors(gpu, 1, 0),
    "remapped": lambda nvml, gpu: nvml.nvmlDeviceGetRemappedRows(gpu),
    "processes": lambda nvml, gpu: nvml.nvmlDeviceGetComputeRunningProcesses(gpu),
    "power_limit": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu),
    "power_violation": lambda nvml, gpu: nvml.nvmlDeviceGetViolationStatus(gpu, 0),
    "thermal_violation": lambda nvml, gpu: nvml.nvmlDeviceGetViolationStatus(gpu, 1),
    "pcie_replays": lambda nvml, gpu: nvml.nvmlDeviceGetPcieReplayCounter(gpu),
    "nvlink_transmit": lambda nvml, gpu: _field(nvml, gpu, NVLINK_TRANSMIT, ALL_LINKS),
    "nvlink_receive": lambda nvml, gpu: _field(nvml, gpu, NVLINK_RECEIVE, ALL_LINKS),
}
"""Each is made at most once a look, however many metrics it gives."""

GAUGES: dict[str, tuple[str, Callable[[Any], float]]] = {
    "gpu_utilization_ratio": ("utilization", lambda got: got.gpu / 100),
    "gpu_power_watts": ("power", lambda got: got / 1000),
    "gpu_sm_clock_hertz": ("sm_clock", lambda got: got * 1e6),
    "gpu_clocks_event_reasons": ("reasons", float),
    "gpu_memory_used_bytes": ("memory", lambda got: float(got.used)),
    "gpu_temperature_celsius": ("temperature", float),
    "gpu_memory_temperature_celsius": ("memory_temperature", float),
    "gpu_row_remap_pending": ("remapped", lambda got: float(got[2])),
    "gpu_row_remap_failed": ("remapped", lambda got: float(got[3])),
    "gpu_processes": ("processes", lambda got: float(len(got))),
    "gpu_power_limit_watts": ("power_limit", lambda got: got / 1000),
    "gpu_memory_total_bytes": ("memory", lambda got: float(got.total)),
}
COUNTERS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "gpu_energy_joules_total": ("energy", int),
    "gpu_ecc_corrected_errors_total": ("ecc_corrected", int),
    "gpu_ecc_uncorrected_errors_total": ("ecc_uncorrected", int),
    "gpu_row_remaps_corrected_total": ("remapped", lambda got: int(got[0])),
    "gpu_row_remaps_uncorrected_total": ("remapped", lambda got: int(got[1])),
    "gpu_power_violation_seconds_total": ("power_violation", lambda got: int(got.violationTime)),
    "gpu_thermal_violation_seconds_total": ("thermal_violation", lambda got: int(got.violationTime)),
    "gpu_pcie_replays_total": ("pcie_replays", int),
    "gpu_nvlink_transmit_bytes_total": ("nvlink_transmit", int),
    "gpu_nvlink_receive_bytes_total": ("nvlink_receive", int),
}


MOST_PROCESSES = 256
"""Told of one GPU. More would make a look longer than the pipe's longest message on a node of 16."""


def processes(running: Any) -> list[list[int | None]]:
    """Process id and GPU memory in bytes of each; None where NVML does not say how much."""
    told: list[list[int | None]] = []
    for one in running[:MOST_PROCESSES]:
        used = one.usedGpuMemory
        told.append([int(one.pid), None if used is None or used >= ABSENT_ABOVE else int(used)])
    return told


def text(value: object) -> str:
    """NVML's texts are bytes in older bindings."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def short_bus_id(bus_id: str) -> str:
    """`0000:18:00.0`: NVML writes eight figures of domain, the kernel four; lower case, as sysfs has it."""
    domain, colon, rest = bus_id.strip().lower().partition(":")
    return f"{domain[-4:]}{colon}{rest}"


FACTS: dict[str, Callable[[Any, Any], str]] = {
    "uuid": lambda nvml, gpu: text(nvml.nvmlDeviceGetUUID(gpu)),
    "pci_bus_id": lambda nvml, gpu: short_bus_id(text(nvml.nvmlDeviceGetPciInfo(gpu).busId)),
    "model": lambda nvml, gpu: text(nvml.nvmlDeviceGetName(gpu)),
    "power_limit_watts": lambda nvml, gpu: f"{nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000:g}",
    "slowdown_celsius": lambda nvml, gpu: str(nvml.nvmlDeviceGetTemperatureThreshold(gpu, 1)),
    "memory_total_bytes": lambda nvml, gpu: str(nvml.nvmlDeviceGetMemoryInfo(gpu).total),
}
"""What is told once about each GPU, by attribute of `collectors.model.SubjectFacts`; what it cannot say is left out."""
