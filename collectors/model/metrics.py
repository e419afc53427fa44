"""The catalogue of metrics: names follow Prometheus, base unit at the end. docs/metrics.md is generated from it."""

from dataclasses import dataclass
from enum import StrEnum

from collectors.model.subject import SubjectKind


class MetricType(StrEnum):
    """How a metric's values behave over time."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Tier(StrEnum):
    """How dear a look is, and so how often it is taken; `collectors.sampling.plan` holds the seconds."""

    CHEAP = "cheap"
    MIDDLE = "middle"
    DEAR = "dear"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it is, its unit, and how it is read."""

    name: str
    type: MetricType
    unit: str
    subject: SubjectKind
    tier: Tier
    help: str
    scale: float = 1.0
    """Counters: value in `unit` = wire integer x scale, so that the integer stays exact."""
    extremes: bool = False
    """Between looks that are not sent, `<name>_min` and `<name>_max` tell what the seconds showed."""


def _gpu(
    name: str,
    unit: str,
    tier: Tier,
    help: str,
    *,
    counter: bool = False,
    scale: float = 1.0,
    extremes: bool = False,
) -> Metric:
    kind = MetricType.COUNTER if counter else MetricType.GAUGE
    return Metric(name, kind, unit, SubjectKind.GPU, tier, help, scale, extremes)


_CHEAP, _MIDDLE, _DEAR = Tier.CHEAP, Tier.MIDDLE, Tier.DEAR

_ALL = (
    _gpu("gpu_utilization_ratio", "ratio", _CHEAP, "Share of time with a kernel on the GPU.", extremes=True),
    _gpu("gpu_power_watts", "watts", _CHEAP, "Board power as the driver averages it.", extremes=True),
    _gpu("gpu_energy_joules_total", "joules", _DEAR, "Energy since the driver loaded.", counter=True, scale=1e-3),
    _gpu("gpu_sm_clock_hertz", "hertz", _CHEAP, "Clock of the streaming multiprocessors.", extremes=True),
    _gpu("gpu_clocks_event_reasons", "bitmask", _CHEAP, "NVML's bitmask of why the clock is where it is."),
    _gpu("gpu_memory_used_bytes", "bytes", _CHEAP, "Frame buffer in use, driver reserve included.", extremes=True),
    _gpu("gpu_temperature_celsius", "celsius", _MIDDLE, "Temperature of the GPU core."),
    _gpu("gpu_memory_temperature_celsius", "celsius", _MIDDLE, "Temperature of the HBM stacks."),
    _gpu("gpu_ecc_corrected_errors_total", "errors", _MIDDLE, "Corrected ECC errors since reset.", counter=True),
    _gpu("gpu_ecc_uncorrected_errors_total", "errors", _MIDDLE, "Uncorrected ECC errors since reset.", counter=True),
    _gpu("gpu_row_remaps_corrected_total", "rows", _MIDDLE, "Rows remapped after corrected errors.", counter=True),
    _gpu("gpu_row_remaps_uncorrected_total", "rows", _MIDDLE, "Rows remapped after uncorrected errors.", counter=True),
    _gpu("gpu_row_remap_pending", "boolean", _MIDDLE, "1 if a remap waits for a reset."),
    _gpu("gpu_row_remap_failed", "boolean", _MIDDLE, "1 if a remap has failed."),
    _gpu("gpu_processes", "processes", _MIDDLE, "Compute processes with a context on the GPU."),
    _gpu("gpu_power_limit_watts", "watts", _DEAR, "Power limit in force."),
    _gpu("gpu_memory_total_bytes", "bytes", _DEAR, "Frame buffer of the card."),
    _gpu("gpu_power_violation_seconds_total", "seconds", _DEAR, "Time held by power.", counter=True, scale=1e-9),
    _gpu("gpu_thermal_violation_seconds_total", "seconds", _DEAR, "Time held by heat.", counter=True, scale=1e-9),
    _gpu("gpu_pcie_replays_total", "replays", _DEAR, "PCIe packets sent again.", counter=True),
    _gpu("gpu_nvlink_transmit_bytes_total", "bytes", _DEAR, "Payload sent over NVLink.", counter=True, scale=1024),
    _gpu("gpu_nvlink_receive_bytes_total", "bytes", _DEAR, "Payload received over NVLink.", counter=True, scale=1024),
    _gpu("gpu_sm_active_ratio", "ratio", _MIDDLE, "DCGM profiling: cycles with a warp on an SM."),
    _gpu("gpu_tensor_active_ratio", "ratio", _MIDDLE, "DCGM profiling: cycles with the tensor pipe busy."),
    _gpu("gpu_last_xid", "code", _MIDDLE, "DCGM's Xid gauge: the last code ever seen; it never clears."),
)


def _with_extremes(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    catalogue: dict[str, Metric] = {}
    for metric in metrics:
        catalogue[metric.name] = metric
        if metric.extremes:
            for end, word in (("min", "Least"), ("max", "Greatest")):
                name = f"{metric.name}_{end}"
                text = f"{word} {metric.name} of the looks since the last batch."
                catalogue[name] = Metric(name, MetricType.GAUGE, metric.unit, metric.subject, metric.tier, text)
    return catalogue


CATALOGUE: dict[str, Metric] = _with_extremes(_ALL)
"""Every metric that may stand in a batch, by name."""
