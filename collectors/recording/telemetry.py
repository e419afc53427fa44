"""Reads a recording's telemetry: rows of one GPU at one time, columns in NVML's own units."""

import csv
import gzip
import math
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter
from pathlib import Path

from collectors.errors import FixConfiguration
from collectors.model import COUNTER_ABSENT

GAUGE_COLUMNS: tuple[tuple[str, str, float], ...] = (
    ("util_gpu", "gpu_utilization_ratio", 0.01),
    ("power_mw", "gpu_power_watts", 1e-3),
    ("sm_clock", "gpu_sm_clock_hertz", 1e6),
    ("clocks_event_reasons", "gpu_clocks_event_reasons", 1.0),
    ("mem_used", "gpu_memory_used_bytes", 1.0),
    ("temp_c", "gpu_temperature_celsius", 1.0),
    ("mem_temp_c", "gpu_memory_temperature_celsius", 1.0),
    ("remap_pending", "gpu_row_remap_pending", 1.0),
    ("remap_fail", "gpu_row_remap_failed", 1.0),
    ("n_procs", "gpu_processes", 1.0),
    ("mem_total", "gpu_memory_total_bytes", 1.0),
    ("gpm_sm_util", "gpu_sm_active_ratio", 0.01),
    ("gpm_any_tensor_util", "gpu_tensor_active_ratio", 0.01),
)
"""Column, metric, and the factor between their units."""
COUNTER_COLUMNS: tuple[tuple[str, str], ...] = (
    ("energy_mj", "gpu_energy_joules_total"),
    ("ecc_corr_vol", "gpu_ecc_corrected_errors_total"),
    ("ecc_unc_vol", "gpu_ecc_uncorrected_errors_total"),
    ("remap_corr", "gpu_row_remaps_corrected_total"),
    ("remap_unc", "gpu_row_remaps_uncorrected_total"),
    ("viol_power_ns", "gpu_power_violation_seconds_total"),
    ("viol_thermal_ns", "gpu_thermal_violation_seconds_total"),
    ("pcie_replay", "gpu_pcie_replays_total"),
)
"""Column and metric; the integers are the wire's (the catalogue's unit divided by its scale)."""
MOST_GPUS = 1024
_EARLIEST_S, _LATEST_S = 0.0, 9e9
_Line = tuple[int, tuple[float, ...], tuple[int, ...]]


@dataclass(slots=True)
class GpuRows:
    """The rows of one GPU, in the order of their times."""

    times_ns: list[int] = field(default_factory=list)
    gauges: list[tuple[float, ...]] = field(default_factory=list)
    """Parallel to `times_ns`; values in the order of `Telemetry.gauges`, NaN where the cell is empty."""
    counters: list[tuple[int, ...]] = field(default_factory=list)

    def newest(self, now_ns: int, oldest_ns: int) -> int | None:
        """Index of the newest row not newer than now and not older than `oldest_ns`."""
        place = bisect_right(self.times_ns, now_ns) - 1
        return place if place >= 0 and self.times_ns[place] >= oldest_ns else None


@dataclass(slots=True)
class Telemetry:
    """Everything that the file says which has a metric."""

    gauges: tuple[str, ...]
    counters: tuple[str, ...]
    gpus: dict[int, GpuRows]
    """By index."""
    bad_rows: int = 0
    first_bad_row: int = 0
    """Number of the first row that was passed over, the first below the header is 1; 0: none was."""
    broke_off: bool = False
    """The file ends in the middle of its compressed stream: its recorder died, or a copy was cut."""

    def pass_over(self, row: int) -> None:
        """Count a row that cannot be understood."""
        self.bad_rows += 1
        self.first_bad_row = self.first_bad_row or row

    def problems(self, path: Path) -> list[str]:
        """What is wrong with the file, a line each: what, where, and what is done about it."""
        rows = sum(len(rows.times_ns) for rows in self.gpus.values())
        found = []
        if self.broke_off:
            found.append(f"{path}: breaks off after {rows:,} good rows: what stands before is played; copy it anew")
        elif not rows:
            found.append(f"{path}: holds no row that can be read: played without telemetry")
        if self.bad_rows:
            many = f"{self.bad_rows:,} rows" if self.bad_rows > 1 else "a row"
            found.append(f"{path}: passed over {many} that cannot be read, the first is row {self.first_bad_row:,}")
        return found

    def times_ns(self) -> list[int]:
        """Every row's time, ascending."""
        return sorted(time for rows in self.gpus.values() for time in rows.times_ns)


def read_telemetry(path: Path) -> Telemetry:
    """Read `telemetry.csv` or `telemetry.csv.gz`.

    A row that cannot be understood costs that row and is counted; a column that is not there costs that metric; a file
    that breaks off keeps what stands before the break. Without a `gpu` column all rows are those of GPU 0.
    Raises FixConfiguration where the file cannot be read or has no `ts` column (Unix seconds).
    """
    try:
        how = gzip.open if path.suffix == ".gz" else open
        with how(path, "rt", encoding="utf-8", errors="replace", newline="") as text:
            rows = csv.reader(text)
            header = [name.strip().lstrip("\ufeff") for name in next(rows, [])]
            return _read_rows(path, header, rows)
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise FixConfiguration(
            f"{path}: cannot be read as telemetry ({error}): record it again or remove it"
        ) from error


def _read_rows(path: Path, header: list[str], rows: Iterator[list[str]]) -> Telemetry:
    if "ts" not in header:
        raise FixConfiguration(f"{path}: has no column ts (Unix seconds): give each row its time")
    place = {name: index for index, name in reversed(list(enumerate(header)))}
    gauges = [one for one in GAUGE_COLUMNS if one[0] in place]
    counters = [one for one in COUNTER_COLUMNS if one[0] in place]
    table = Telemetry(tuple(one[1] for one in gauges), tuple(one[1] for one in counters), {})
    gauge_cells = [(place[column], factor) for column, _, factor in gauges]
    counter_cells = [place[column] for column, _ in counters]
    ts, gpu = place["ts"], place.get("gpu")
    found: dict[int, list[_Line]] = {}
    for number, row in _whole_rows(rows, table):
        try:
            index = int(row[gpu]) if gpu is not None else 0
            seconds = float(row[ts])
            if not (0 <= index < MOST_GPUS and _EARLIEST_S < seconds < _LATEST_S):
                raise ValueError("out of range")
            values = tuple([float(row[at]) * by if row[at] else math.nan for at, by in gauge_cells])
            counts = tuple([_counted(row[at]) for at in counter_cells])
            if math.inf in values or -math.inf in values:
                raise ValueError("infinite")
        except (ValueError, IndexError, OverflowError):
            table.pass_over(number)
            continue
        # To the microsecond: a float of this size holds no more.
        found.setdefault(index, []).append((round(seconds * 1e6) * 1000, values, counts))
    for index, lines in sorted(found.items()):
        lines.sort(key=itemgetter(0))
        table.gpus[index] = GpuRows([one[0] for one in lines], [one[1] for one in lines], [one[2] for one in lines])
    return table


def _whole_rows(rows: Iterator[list[str]], table: Telemetry) -> Iterable[tuple[int, list[str]]]:
    """Rows with their numbers, from 1, empty ones left out."""
    for number in count(1):
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            table.pass_over(number)
            continue
        except (EOFError, zlib.error):
            # The recorder died while it wrote: what stands before the break is good.
            table.broke_off = True
            return
        if row:
            yield number, row


def _counted(cell: str) -> int:
    if not cell:
        return COUNTER_ABSENT
    try:
        value = int(cell)
    except ValueError:
        value = int(float(cell))
    return value if 0 <= value < 2**63 else COUNTER_ABSENT
