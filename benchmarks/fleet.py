"""A simulated fleet that sends what real collectors send: the calm plan's batches, with a real card's readings.

Each node has 8 GPUs and sends one batch every 5 s: one look of 25 metrics (13 cheap gauges with their extremes, 7
middle ones, 5 counters), every sixth time the dear ones too. Readings are rows of the healthy phases of
recordings/h200-ddp4 (four real H200s in training), another row for each GPU and look, so that noise is real noise.
Jobs hold 8 to 1,024 GPUs, whole nodes, and log one step a batch. A share of the jobs is in trouble from the fifth look
on: one rank hangs while the others spin for it, or computes at a clock a fifth under its habit while the others rest.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from collectors.model import (
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)

RECORDING = Path(__file__).parent.parent / "recordings" / "h200-ddp4"
CLUSTER = "bench"
GPUS = 8
INTERVAL_NS = 5_000_000_000
TROUBLE_FROM = 5
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)

GAUGES = {
    "gpu_utilization_ratio": ("util_gpu", 0.01),
    "gpu_power_watts": ("power_mw", 1e-3),
    "gpu_sm_clock_hertz": ("sm_clock", 1e6),
    "gpu_memory_used_bytes": ("mem_used", 1.0),
}
CHEAP = (
    *(name + end for name in GAUGES for end in ("", "_min", "_max")),
    "gpu_clocks_event_reasons",
)
MIDDLE = (
    "gpu_temperature_celsius",
    "gpu_memory_temperature_celsius",
    "gpu_row_remap_pending",
    "gpu_row_remap_failed",
    "gpu_processes",
    "gpu_sm_active_ratio",
    "gpu_tensor_active_ratio",
)
COUNTERS = (
    "gpu_energy_joules_total",
    "gpu_ecc_corrected_errors_total",
    "gpu_ecc_uncorrected_errors_total",
    "gpu_row_remaps_corrected_total",
    "gpu_row_remaps_uncorrected_total",
)
DEAR = ("gpu_power_limit_watts", "gpu_memory_total_bytes")
DEAR_COUNTERS = ("gpu_power_violation_seconds_total", "gpu_thermal_violation_seconds_total", "gpu_pcie_replays_total")
ALL = tuple(range(GPUS))
TOTAL_BYTES = 150_754_820_096.0
Floats = npt.NDArray[np.float32]


def healthy_rows() -> dict[str, Floats]:
    """Cheap gauges of the recording's healthy phases, one value a row."""
    phases = [p for p in json.loads((RECORDING / "truth.json").read_text())["phases"] if p["label"] == "healthy"]
    with gzip.open(RECORDING / "telemetry.csv.gz", "rt") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if any(p["start"] + 3 < float(row["ts"]) < p["end"] - 1 for p in phases) and int(row["util_gpu"]) > 90
        ]
    return {
        name: np.array([float(row[column]) * scale for row in rows], np.float32)
        for name, (column, scale) in GAUGES.items()
    }


class Fleet:
    """`nodes` x 8 GPUs; `looks()` gives all batches of one look after the other, for ever.

    The looks of the nodes lie at other moments within the 5 s, as they do where collectors start one by one; `aligned`
    puts them all on one instant.
    """

    def __init__(
        self,
        gpus: int,
        *,
        seed: int = 1,
        start_ns: int = 1_795_000_000 * 10**9,
        troubled: float = 0.001,
        aligned: bool = False,
        sizes: Sequence[int] = SIZES,
    ) -> None:
        """`sizes`: of jobs, drawn alike; whole nodes."""
        self.nodes = max(1, gpus // GPUS)
        self.gpus = self.nodes * GPUS
        self._random = np.random.default_rng(seed)
        self._rows = healthy_rows()
        self._node = [Subject(CLUSTER, SubjectKind.NODE, f"node-{n:06d}") for n in range(self.nodes)]
        self._phase = np.zeros(self.nodes, np.int64) if aligned else self._random.integers(0, INTERVAL_NS, self.nodes)
        self._start_ns = start_ns
        self._joules = self._random.integers(10**9, 10**12, self.gpus)
        # every card is a little different, and stays so
        self._card = {
            name: self._random.normal(1.0, spread, self.gpus).astype(np.float32)
            for name, spread in (("gpu_power_watts", 0.01), ("gpu_sm_clock_hertz", 0.01))
        }
        self._jobs = self._share_out(sizes)
        self._firsts = np.array([first for first, _ in self._jobs])
        self.troubled = self._random.choice(
            len(self._jobs), max(1, round(troubled * len(self._jobs))) if troubled else 0, replace=False
        ).tolist()

    @property
    def jobs(self) -> int:
        """How many jobs run."""
        return len(self._jobs)

    def looks(self) -> Iterator[Iterator[Batch]]:
        """One iterator a look, of one batch a node in order of time."""
        look = 0
        while True:
            yield self._look(look)
            look += 1

    def job_of(self, node: int) -> int:
        """The number of the job on a node."""
        return int(np.searchsorted(self._firsts, node * GPUS, side="right")) - 1

    def _share_out(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """First GPU and size of each job."""
        jobs, first = [], 0
        while first < self.gpus:
            size = min(int(self._random.choice(sizes)), self.gpus - first)
            jobs.append((first, size))
            first += size
        return jobs

    def _look(self, look: int) -> Iterator[Batch]:
        cheap, middle = self._cheap(look), self._middle()
        counters = self._counters(cheap)
        steps = {first // GPUS: number for number, (first, _) in enumerate(self._jobs)}
        for n in np.argsort(self._phase, kind="stable").tolist():
            time_ns = self._start_ns + look * INTERVAL_NS + int(self._phase[n])
            times = (time_ns,)
            tables = (
                Table(CHEAP, ALL, times, cheap[n].tobytes()),
                Table(MIDDLE, ALL, times, middle[n].tobytes()),
                Table(COUNTERS, ALL, times, counters[n].tobytes()),
            )
            if look % 6 == 0:
                tables += _dear(times, look)
            events = (self._step(steps[n], look, time_ns),) if n in steps else ()
            yield Batch(
                version=1,
                origin=Origin.LIVE,
                node=self._node[n],
                boot_id="boot",
                spool_id="spool",
                sequence=look,
                sent_ns=time_ns,
                subjects=self._subjects(n),
                facts=self._facts(n) if look % 12 == 0 else (),
                tables=tables,
                events=events,
            )

    def _cheap(self, look: int) -> Floats:
        """Shape (nodes, metrics, GPUs a node)."""
        picked = self._random.integers(0, len(self._rows["gpu_power_watts"]), self.gpus)
        now = {name: values[picked] * self._card.get(name, np.float32(1)) for name, values in self._rows.items()}
        reasons = np.full(self.gpus, 4.0, np.float32)
        if look >= TROUBLE_FROM:
            for number in self.troubled:
                self._trouble(now, number)
        out = np.empty((len(CHEAP), self.gpus), np.float32)
        for i, (name, values) in enumerate(now.items()):
            wander = 0.01 if name in self._card else 0.0
            out[3 * i], out[3 * i + 1], out[3 * i + 2] = values, values * (1 - wander), values * (1 + wander)
        out[-1] = reasons
        return np.ascontiguousarray(out.reshape(len(CHEAP), self.nodes, GPUS).transpose(1, 0, 2))

    def _trouble(self, now: dict[str, Floats], number: int) -> None:
        first, size = self._jobs[number]
        peers, guilty = slice(first + 1, first + size), first
        if number % 2:
            now["gpu_power_watts"][peers] *= 0.24
            now["gpu_utilization_ratio"][peers] = 1.0
            now["gpu_power_watts"][guilty] *= 0.18
            now["gpu_utilization_ratio"][guilty] = 0.0
        else:
            now["gpu_power_watts"][peers] *= 0.85
            now["gpu_sm_clock_hertz"][guilty] *= 0.85

    def _middle(self) -> Floats:
        one = np.array([55.0, 60.0, 0.0, 0.0, 1.0, 0.85, 0.35], np.float32)[:, None]
        noise = self._random.normal(0.0, 1.0, (self.nodes, 2, GPUS)).astype(np.float32).round()
        values = np.repeat(np.repeat(one, GPUS, axis=1)[None], self.nodes, axis=0)
        values[:, :2] += noise
        return values

    def _counters(self, cheap: Floats) -> npt.NDArray[np.int64]:
        watts = cheap[:, CHEAP.index("gpu_power_watts")].reshape(-1)
        self._joules = self._joules + (watts * 5000).astype(np.int64)
        values = np.zeros((self.nodes, len(COUNTERS), GPUS), np.int64)
        values[:, 0] = self._joules.reshape(self.nodes, GPUS)
        return values

    def _subjects(self, n: int) -> tuple[Subject, ...]:
        return tuple(Subject(CLUSTER, SubjectKind.GPU, f"GPU-{n:06d}-aaaa-bbbb-cccc-{i:012d}") for i in range(GPUS))

    def _facts(self, n: int) -> tuple[SubjectFacts, ...]:
        number = self.job_of(n)
        first = self._jobs[number][0]
        node = self._node[n]
        job = f"job-{number}"
        return tuple(
            SubjectFacts(
                subject,
                f"gpu{i}",
                node,
                {"index": str(i), "job": job, "rank": str(n * GPUS + i - first), "slowdown_celsius": "89"},
            )
            for i, subject in enumerate(self._subjects(n))
        )

    def _step(self, number: int, look: int, time_ns: int) -> Event:
        values = {"step": float(look + 1), "loss": 3.0 - 0.01 * min(look, 50), "grad_norm": 0.8}
        job = Subject(CLUSTER, SubjectKind.JOB, f"job-{number}")
        return Event(EventKind.TRAINING_STEP, job, time_ns, EventSource.TRAINING_LOG, values)


def _dear(times: tuple[int, ...], look: int) -> tuple[Table, Table]:
    gauges = np.repeat(np.array([[700.0], [TOTAL_BYTES]], np.float32), GPUS, axis=1)
    counters = np.zeros((len(DEAR_COUNTERS), GPUS), np.int64)
    counters[0] = look * 5 * 10**9
    return Table(DEAR, ALL, times, gauges.tobytes()), Table(DEAR_COUNTERS, ALL, times, counters.tobytes())
