"""Folders that hold recordings."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

RECORDINGS = Path(__file__).parents[3] / "recordings"
START = 1_700_000_000.0


class Folder:
    """A recording that a test writes."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path

    def telemetry(self, *rows: str, header: str = "ts,gpu,util_gpu,power_mw,energy_mj") -> "Folder":
        with gzip.open(self.path / "telemetry.csv.gz", "wt") as file:
            file.write("\n".join([header, *rows]) + "\n")
        return self

    def write(self, name: str, text: str | bytes) -> "Folder":
        (self.path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return self

    def meta(self, **meta) -> "Folder":
        return self.write("meta.json", json.dumps(meta))

    def probe(self, *gpus: dict) -> "Folder":
        return self.write("nvml_probe.json", json.dumps({"driver": "580.1", "gpus": list(gpus)}))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "rec")


@pytest.fixture
def real():
    return lambda name: RECORDINGS / name


@pytest.fixture(scope="session")
def stretch(tmp_path_factory):
    """90 s of h200-ddp around its first fault: folder, header, rows, log lines, kernel lines, boot (Unix seconds)."""
    source, path = RECORDINGS / "h200-ddp", tmp_path_factory.mktemp("stretch")
    with gzip.open(source / "telemetry.csv.gz", "rt") as file:
        header, *rows = file.read().splitlines()
    begin = float(rows[0].split(",")[0]) + 40
    rows = [row for row in rows if begin <= float(row.split(",")[0]) < begin + 90]
    log = [line for line in (source / "train.log").read_text().splitlines() if "07:33:0" <= line[11:18] < "07:34:3"]
    boot = begin - 5000
    kernel = [
        f"<4>[{5000 + at:.6f}] NVRM: Xid (PCI:0000:00:07): 74, pid=9, name=python3, NVLink: fatal error detected"
        for at in (12.2, 12.3, 70.01)
    ]
    shutil.copy(source / "nvml_probe.json", path)
    (path / "meta.json").write_text(json.dumps({"boot_unix": boot}))
    return path, header, rows, log, kernel, boot
