"""How much space the store takes per GPU and day, and how fast it takes events in. Target: at most 0.5 MB.

Readings come from recordings/h200-training (5 Hz, one H200, faults and all: livelier than a healthy day), put through
the default sampling plan: looks at the cheap metrics every second, a batch every 5 s with the last value and the
extremes between, dear metrics every 30 s. A node has 8 GPUs. Each GPU gets other samples of the recording, and none
stands twice in one chunk, so that the compressor is not fed copies (longer chunks than 20 minutes would need a longer
recording). The recording has no NVLink traffic: the integral of its PCIe rate stands in. Times get a jitter of 2 ms, in
nanoseconds.

    python -m benchmarks.store_size [postgresql://user@host/an_empty_database]
"""

import csv
import gzip
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.store import chunks
from agent.store.chunks import ReadingsChunk
from agent.store.store import Store, open_store
from agent.watch import Changes
from collectors.model import CATALOGUE, Event, EventKind, EventSource, MetricType, Subject, SubjectKind, Tier

RECORDING = Path(__file__).parent.parent / "recordings" / "h200-training" / "telemetry.csv.gz"
GPUS = 8
STEP = 5.0
HZ = 5
START_NS = 1_795_317_140_000_000_000
DAY_SECONDS = 86_400
GAUGES = {
    "gpu_utilization_ratio": ("util_gpu", 0.01),
    "gpu_power_watts": ("power_mw", 1e-3),
    "gpu_sm_clock_hertz": ("sm_clock", 1e6),
    "gpu_clocks_event_reasons": ("clocks_event_reasons", 1.0),
    "gpu_memory_used_bytes": ("mem_used", 1.0),
    "gpu_temperature_celsius": ("temp_c", 1.0),
    "gpu_memory_temperature_celsius": ("mem_temp_c", 1.0),
    "gpu_row_remap_pending": ("remap_pending", 1.0),
    "gpu_row_remap_failed": ("remap_fail", 1.0),
    "gpu_processes": ("n_procs", 1.0),
    "gpu_sm_active_ratio": ("gpm_sm_util", 0.01),
    "gpu_tensor_active_ratio": ("gpm_any_tensor_util", 0.01),
    "gpu_power_limit_watts": ("", 700.0),
    "gpu_memory_total_bytes": ("mem_total", 1.0),
}
COUNTERS = {
    "gpu_energy_joules_total": "energy_mj",
    "gpu_ecc_corrected_errors_total": "ecc_corr_vol",
    "gpu_ecc_uncorrected_errors_total": "ecc_unc_vol",
    "gpu_row_remaps_corrected_total": "remap_corr",
    "gpu_row_remaps_uncorrected_total": "remap_unc",
    "gpu_power_violation_seconds_total": "viol_power_ns",
    "gpu_thermal_violation_seconds_total": "viol_thermal_ns",
    "gpu_pcie_replays_total": "pcie_replay",
    "gpu_nvlink_transmit_bytes_total": "gpm_pcie_tx",
    "gpu_nvlink_receive_bytes_total": "gpm_pcie_rx",
}


def recording() -> dict[str, np.ndarray]:
    """Column by column as float64; what is absent is the value before it."""
    with gzip.open(RECORDING, "rt") as file:
        rows = list(csv.DictReader(file))
    columns = {}
    for name in rows[0]:
        values = np.array([float(row[name] or "nan") for row in rows])
        known = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
        columns[name] = np.nan_to_num(values[known])
    return columns


class Node:
    """A node's day of readings."""

    def __init__(self) -> None:
        self.columns = recording()
        rows = len(self.columns["ts"])
        phases = int(STEP * HZ)
        each = phases // GPUS
        # GPU g takes the rows of its own phases of the 5 s grid, one after the other.
        self.rows = [
            np.concatenate([np.arange(phase, rows, phases) for phase in range(g * each, (g + 1) * each)])
            for g in range(GPUS)
        ]
        self.subjects = tuple(
            Subject("production", SubjectKind.GPU, f"GPU-5d0c1f2e-77aa-4b1e-9c55-0f3a2b1c{g:04d}") for g in range(GPUS)
        )
        self.random = np.random.default_rng(1)
        self.counted: dict[tuple[str, int], int] = {}

    def day(self, chunk_seconds: int, days: float = 1.0) -> Iterator[list[ReadingsChunk]]:
        """Chunk by chunk: one ReadingsChunk per tier and type."""
        samples = int(chunk_seconds / STEP)
        for at in range(0, int(days * DAY_SECONDS / STEP), samples):
            grid = START_NS + ((at + np.arange(samples)) * STEP * 1e9).astype(np.int64)
            times = grid + self.random.normal(0, 2e6, samples).astype(np.int64)
            made = [
                self._chunk(tier, counters, at, times)
                for tier in (Tier.CHEAP, Tier.MIDDLE, Tier.DEAR)
                for counters in (False, True)
            ]
            yield [chunk for chunk in made if chunk.metrics]

    def _chunk(self, tier: Tier, counters: bool, at: int, times: np.ndarray) -> ReadingsChunk:
        kind = MetricType.COUNTER if counters else MetricType.GAUGE
        metrics = tuple(m.name for m in CATALOGUE.values() if m.tier is tier and m.type is kind and _recorded(m.name))
        samples = len(times)
        picked = slice(None, None, 6 if tier is Tier.DEAR else 1)
        times = times[picked]
        values = np.empty((len(times), len(metrics), GPUS), np.int64 if counters else np.float32)
        for g in range(GPUS):
            own = self.rows[g]
            rows = own[(at + np.arange(samples)) % len(own)][picked]
            for m, metric in enumerate(metrics):
                values[:, m, g] = self._count(metric, g, rows) if counters else self._gauge(metric, rows)
        return ReadingsChunk(self.subjects, metrics, times, values)

    def _gauge(self, metric: str, rows: np.ndarray) -> np.ndarray:
        base, _, end = metric.rpartition("_")
        extreme = {"min": np.min, "max": np.max}.get(end) if base in GAUGES else None
        column, scale = GAUGES[base if extreme else metric]
        if not column:
            return np.full(len(rows), scale)
        values = self.columns[column] * scale
        if extreme is None:
            return values[rows]
        looks = np.stack([values[np.maximum(rows - back * HZ, 0)] for back in range(5)])
        return extreme(looks, axis=0)

    def _count(self, metric: str, gpu: int, rows: np.ndarray) -> np.ndarray:
        column = self.columns[COUNTERS[metric]]
        if COUNTERS[metric].startswith("gpm"):
            gained = column[rows] * 1e6 / 1024 * STEP  # a rate in MB/s, counted in KiB
        else:
            gained = np.maximum(column[rows] - column[np.maximum(rows - int(STEP * HZ), 0)], 0)
        start = self.counted.get((metric, gpu), 10**9)
        total = start + np.cumsum(gained.astype(np.int64))
        self.counted[metric, gpu] = int(total[-1])
        return total


def _recorded(name: str) -> bool:
    base = name.removesuffix("_min").removesuffix("_max")
    return name in COUNTERS or base in GAUGES


def gpus_apart(some: list[ReadingsChunk]) -> list[ReadingsChunk]:
    """The same readings as a row per GPU."""
    return [
        replace(chunk, subjects=(subject,), values=chunk.values[:, :, [g]])
        for chunk in some
        for g, subject in enumerate(chunk.subjects)
    ]


def sizes(url: str | None) -> None:
    """Print bytes per GPU and day of several ways to cut."""
    node = Node()
    first = next(node.day(600))
    cheap = sum(chunk.values[0].size for chunk in first if chunk.values.shape[0] == len(first[0].times_ns))
    print(
        f"{sum(len(c.metrics) for c in first)} metrics a GPU, {cheap // GPUS} of them every 5 s, the others every 30 s"
    )
    for name, seconds, apart in (
        ("a node, 10 min (as advised)", 600, False),
        ("a node, 5 min", 300, False),
        ("a node, 20 min", 1200, False),
        ("a GPU, 10 min", 600, True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(f"sqlite:///{folder}/store.db")
            empty, payload = store.size_bytes(), 0
            for some in Node().day(seconds):
                rows = gpus_apart(some) if apart else some
                payload += sum(len(chunks.encode(chunk)) for chunk in rows)
                store.keep_readings(rows)
            store.close()
            size = (Path(folder) / "store.db").stat().st_size
        whole, bare = (size - empty) / GPUS / 1e6, payload / GPUS / 1e6
        print(f"SQLite, a row per {name}: {whole:.3f} MB/GPU/day, payload {bare:.3f}")
    if url:
        store = open_store(url)
        empty = store.size_bytes()
        for some in node.day(600):
            store.keep_readings(some)
        print(f"PostgreSQL, a row per a node, 10 min: {(store.size_bytes() - empty) / GPUS / 1e6:.3f} MB/GPU/day")
        began = time.perf_counter()
        times, _ = store.readings(node.subjects[3], "gpu_power_watts", START_NS, START_NS + DAY_SECONDS * 10**9)
        print(f"PostgreSQL, read one metric of a day: {len(times)} readings, {time.perf_counter() - began:.3f} s")
        store.close()


def speeds(store: Store, name: str) -> None:
    """Print how fast events go in, in ticks of 400."""
    subject = Subject("production", SubjectKind.JOB, "0d6f2c6a-1f1e-4a53-a6c1-2f5be1f6b7a1")
    ticks = [
        [
            Event(
                EventKind.TRAINING_STEP,
                subject,
                START_NS + n * 1_000_000,
                EventSource.TRAINING_LOG,
                {"step": float(n), "loss": 2.5 + n / 7, "grad_norm": 0.3, "step_time_seconds": 0.41},
                {"rank": "0"},
                f"step: {n} loss: {2.5 + n / 7:.4f} grad_norm: 0.3000 tps: 379,120 tflops: 302.1 mfu: 30.5%",
            )
            for n in range(start, start + 400)
        ]
        for start in range(0, 60_000, 400)
    ]
    for what in ("new", "repeated"):
        took = []
        cpu = time.process_time()
        for tick in ticks:
            began = time.perf_counter()
            store.save(Changes(events=tick))
            took.append(time.perf_counter() - began)
        cpu = (time.process_time() - cpu) / 60_000
        print(
            f"{name}, {what} events: {60_000 / sum(took):,.0f}/s, {cpu * 1e6:.0f} us of our CPU each,"
            f" commit of 400 p50 {np.percentile(took, 50) * 1e3:.1f} ms, p99 {np.percentile(took, 99) * 1e3:.1f} ms"
        )


def main() -> None:
    """Measure and print."""
    url = sys.argv[1] if len(sys.argv) > 1 else None
    sizes(url)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.db")
        node = Node()
        for some in node.day(600):
            store.keep_readings(some)
        began = time.perf_counter()
        times, _ = store.readings(node.subjects[3], "gpu_power_watts", START_NS, START_NS + DAY_SECONDS * 10**9)
        print(f"SQLite, read one metric of a day: {len(times)} readings, {time.perf_counter() - began:.3f} s")
        speeds(store, "SQLite")
        store.close()
    if url:
        store = open_store(url)
        speeds(store, "PostgreSQL")
        store.close()


if __name__ == "__main__":
    main()
