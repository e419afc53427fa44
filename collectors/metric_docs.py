"""Writes docs/metrics.md from the catalogue: `python -m collectors.metric_docs > docs/metrics.md`."""

import sys

from collectors.gpu import dcgm_exporter, nvml_calls
from collectors.model import CATALOGUE, Metric, MetricType, Tier
from collectors.recording.telemetry import COUNTER_COLUMNS, GAUGE_COLUMNS
from collectors.sampling.plan import SamplingPlan

_HEAD = """# Metrics

Generated from `collectors/model/metrics.py` by `python -m collectors.metric_docs`; a test holds the two together.

Names follow Prometheus: the base unit stands at the end, ratios run from 0 to 1. A gauge travels as float32, NaN where
it could not be read. A counter travels as a 64-bit integer, -1 where it could not be read; its value in the unit below
is that integer times the scale, so that nothing is lost on the way. Counters start anew when the driver does.

`<name>_min` and `<name>_max` of the metrics marked *extremes* tell, in a batch sent in calm, what the looks since the
batch before showed; [sampling](sampling.md) explains when a batch is one of calm. How often a metric is looked at is
its tier's seconds in the default plan.

Where no source on a node gives a metric, it is absent, and detectors that need it say "not ready".
"""


def render() -> str:
    """The whole page."""
    plan = SamplingPlan()
    parts = [_HEAD]
    for tier in Tier:
        parts.append(f"\n## Looked at every {plan.tier_seconds(tier):g} s ({tier.value})\n")
        parts.append("| metric | type | unit | NVML | DCGM | column of a recording | what |")
        parts.append("| --- | --- | --- | --- | --- | --- | --- |")
        parts.extend(_row(metric) for metric in CATALOGUE.values() if metric.tier is tier and not _derived(metric))
    return "\n".join(parts) + "\n"


def _derived(metric: Metric) -> bool:
    base = metric.name.removesuffix("_min").removesuffix("_max")
    return base != metric.name and base in CATALOGUE and CATALOGUE[base].extremes


def _row(metric: Metric) -> str:
    kind = metric.type.value + (", *extremes*" if metric.extremes else "")
    unit = metric.unit
    if metric.type is MetricType.COUNTER and metric.scale != 1:
        unit += f" (integer x {metric.scale:g})"
    nvml = "yes" if metric.name in nvml_calls.GAUGES or metric.name in nvml_calls.COUNTERS else ""
    fields = [field for field, (name, _) in dcgm_exporter.GAUGES.items() if name == metric.name]
    fields += [field for field, name in dcgm_exporter.COUNTERS.items() if name == metric.name]
    columns = [column for column, name, _ in GAUGE_COLUMNS if name == metric.name]
    columns += [column for column, name in COUNTER_COLUMNS if name == metric.name]
    dcgm = ", ".join(f"`{field.removeprefix('DCGM_FI_')}`" for field in fields)
    column = ", ".join(f"`{name}`" for name in columns)
    return f"| `{metric.name}` | {kind} | {unit} | {nvml} | {dcgm} | {column} | {metric.help} |"


def main() -> None:
    """Print the page."""
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
