"""Copies of a recording: cut off at an instant, or with signs of faults laid over it that no borrowed card can show."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "recordings"
Row = dict[str, str]


def phases(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / name / "truth.json").read_text())["phases"]


def rows_of(folder: Path) -> list[Row]:
    with gzip.open(folder / "telemetry.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def write_rows(folder: Path, rows: list[Row]) -> None:
    with gzip.open(folder / "telemetry.csv.gz", "wt", compresslevel=1, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def cut(source: Path, folder: Path, until_s: float, from_s: float = 0.0) -> Path:
    """Telemetry and job log between two instants; names as in the whole, so that ids can be compared."""
    folder.mkdir(parents=True)
    write_rows(folder, [row for row in rows_of(source) if from_s <= float(row["ts"]) < until_s])
    lines = (source / "train.log").read_text().splitlines(keepends=True)
    kept = [line for line in lines if stamp(from_s) <= line[:26] < stamp(until_s)]
    (folder / "train.log").write_text("".join(kept))
    if (source / "nvml_probe.json").exists():
        shutil.copy(source / "nvml_probe.json", folder)
    names = {"cluster": f"replay-{source.name}", "node": source.name, "job": source.name}
    (folder / "meta.json").write_text(json.dumps(names))
    return folder


def overlaid(
    source: Path,
    folder: Path,
    until_s: float,
    change: Callable[[Row], None],
    kernel: tuple[tuple[float, str], ...] = (),
    log: tuple[tuple[float, str], ...] = (),
    from_s: float = 0.0,
) -> Path:
    """A cut whose rows were changed, with kernel lines and log lines at some Unix seconds."""
    cut(source, folder, until_s, from_s)
    rows = rows_of(folder)
    for row in rows:
        change(row)
    write_rows(folder, rows)
    boot = float(rows[0]["ts"]) - 5000
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"boot_unix": boot}))
    (folder / "kmsg.txt").write_text("".join(f"<3>[{at - boot:12.6f}] {text}\n" for at, text in kernel))
    lines = (folder / "train.log").read_text().splitlines(keepends=True)
    lines += [f"{stamp(at)}Z {text}\n" for at, text in log]
    (folder / "train.log").write_text("".join(sorted(lines, key=lambda line: line[:26])))
    return folder
