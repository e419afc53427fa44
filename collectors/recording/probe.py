"""Reads `nvml_probe.json`: what the cards of a recording reported about themselves."""

import json
from pathlib import Path
from typing import Any

from collectors.errors import FixConfiguration
from collectors.gpu.nvml_calls import short_bus_id


def read_probe(path: Path) -> dict[int, dict[str, str]]:
    """GPU attributes as in `collectors.model.SubjectFacts`, by index; what the probe does not say is absent.

    Raises FixConfiguration where the file is no JSON object with a list `gpus`.
    """
    try:
        probe = json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise FixConfiguration(f"{path}: cannot be read as JSON ({error}): mend it or remove it") from error
    gpus = probe.get("gpus") if isinstance(probe, dict) else None
    if not isinstance(gpus, list):
        raise FixConfiguration(f"{path}: has no list `gpus`: mend it or remove it")
    driver = probe.get("driver")
    found = {index: _attributes(gpu, index) for index, gpu in enumerate(gpus) if isinstance(gpu, dict)}
    if isinstance(driver, str):
        for attributes in found.values():
            attributes["driver"] = driver
    return found


def _attributes(gpu: dict[str, Any], index: int) -> dict[str, str]:
    pci, memory = gpu.get("PciInfo"), gpu.get("MemoryInfo")
    limit = _number(gpu.get("EnforcedPowerLimit")) or _number(gpu.get("PowerManagementLimit"))
    said = {
        "uuid": _text(gpu.get("UUID")),
        "pci_bus_id": _bus_id(pci if isinstance(pci, dict) else {}, index),
        "model": _text(gpu.get("Name")),
        "power_limit_watts": _plain(limit / 1000 if limit else None),
        "slowdown_celsius": _plain(_number(gpu.get("temp_threshold_slowdown"))),
        "memory_total_bytes": _plain(_number(memory.get("total")) if isinstance(memory, dict) else None),
    }
    return {key: value for key, value in said.items() if value}


def _bus_id(pci: dict[str, Any], index: int) -> str:
    """`0000:18:00.0`. A probe without one gets the address that a kernel log laid over such a recording uses."""
    whole = _text(pci.get("busId")) or f"00000000:{0x18 + index:02x}:00.0"
    return short_bus_id(whole)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    # "!Not Supported" is how the probe writes an error.
    return value.strip() if isinstance(value, str) and not value.startswith("!") else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _plain(value: float | None) -> str:
    """Without a decimal point where there is nothing behind it."""
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(value)
