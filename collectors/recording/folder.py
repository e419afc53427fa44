"""A recording: a folder with what was seen on one node, all of it optional but one of telemetry or a log.

| file | what |
| --- | --- |
| `telemetry.csv.gz` or `telemetry.csv` | `collectors.recording.telemetry` |
| `train.log` | a job's output, RFC 3339 times before the lines |
| `*stderr.log` | the ranks' error output; a rank in the name (`rank1.stderr.log`) is the lines' rank |
| `kmsg.txt` | the kernel log as `dmesg --raw` prints it |
| `nccl_trace*.pickle` | dumps of the NCCL flight recorder |
| `nvml_probe.json` | `collectors.recording.probe` |
| `meta.json` | `boot_unix` (Unix seconds at kernel time 0); `cluster`, `node`, `job`: their names |

What was done to bring faults about (`truth.json`) is never read here.
"""

import json
from pathlib import Path
from typing import Any

from collectors.collector import Identity
from collectors.errors import FixConfiguration
from collectors.gpu.nvml_calls import short_bus_id
from collectors.log_source import LogSource
from collectors.model import Origin, Subject, SubjectFacts, SubjectKind
from collectors.recording.gpus import RecordedGpus
from collectors.recording.logs import RecordedLogs
from collectors.recording.probe import read_probe
from collectors.recording.telemetry import Telemetry, read_telemetry

LONGEST_NS = 31 * 86_400 * 10**9
"""A recording that spans more has a wrong clock in one of its files."""


class Recording:
    """Reads the folder once; `gpus` and `log_sources` are fresh at every call, so that it can be played again."""

    def __init__(
        self, path: Path, cluster: str | None = None, node_name: str | None = None, job_name: str | None = None
    ) -> None:
        """Names default to `meta.json`, then to the folder's own name (cluster: `replay-` before it).

        Raises FixConfiguration, naming the file, where one cannot be read or there is nothing to play.
        """
        check_folder(path)
        self.path = path
        folder = path.resolve().name
        meta = _meta(path / "meta.json")
        self.cluster = cluster or meta.get("cluster") or f"replay-{folder}"
        self.node_name = node_name or meta.get("node") or folder
        self.job_name = job_name or meta.get("job") or folder
        self.node = Subject(self.cluster, SubjectKind.NODE, self.node_name)
        self.job = Subject(self.cluster, SubjectKind.JOB, self.job_name)
        self.identity = Identity(
            self.cluster, self.node, self.node_name, boot_id="replay", spool_id=f"replay-{folder}", origin=Origin.REPLAY
        )
        self.telemetry = self._read_telemetry()
        self._probe = read_probe(path / "nvml_probe.json") if (path / "nvml_probe.json").exists() else {}
        starts, ends = [], []
        if self.telemetry and self.telemetry.gpus:
            times = self.telemetry.times_ns()
            starts.append(times[0])
            ends.append(times[-1])
        boot_ns = round(meta["boot_unix"] * 1e6) * 1000 if "boot_unix" in meta else None
        self._logs = RecordedLogs(path, starts[0] if starts else 0, boot_ns)
        if self._logs.first_ns is not None and self._logs.last_ns is not None:
            starts.append(self._logs.first_ns)
            ends.append(self._logs.last_ns)
        if not starts:
            raise FixConfiguration(f"{path}: holds neither telemetry nor a log: name a folder that holds a recording")
        self.start_ns, self.end_ns = min(starts), max(ends)
        """The first and the last datum, Unix ns."""
        if self.end_ns - self.start_ns > LONGEST_NS:
            days = (self.end_ns - self.start_ns) / 86_400e9
            raise FixConfiguration(f"{path}: its files lie {days:.0f} days apart: mend the clock of one of them")

    @property
    def bad_rows(self) -> int:
        """Rows of telemetry that were passed over."""
        return self.telemetry.bad_rows if self.telemetry else 0

    @property
    def problems(self) -> list[str]:
        """What of the folder is not played and why, a line each; what is good is played all the same."""
        return self.telemetry.problems(self._telemetry_file) if self.telemetry else []

    def gpus(self) -> RecordedGpus:
        """A fresh look at the GPUs, from the beginning."""
        job = SubjectFacts(self.job, self.job_name, None)
        return RecordedGpus(self.telemetry, self._probe, self.node, self.node_name, job)

    def log_sources(self) -> list[LogSource]:
        """The logs, from the beginning."""
        by_bus = {
            facts.attributes["pci_bus_id"].split(".")[0]: facts.subject
            for facts in self.gpus().all_facts()
            if "pci_bus_id" in facts.attributes
        }

        def resolve_gpu(pci_bus_id: str) -> Subject | None:
            return by_bus.get(short_bus_id(pci_bus_id).split(".")[0])

        return self._logs.sources(self.node, self.job, resolve_gpu)

    def _read_telemetry(self) -> Telemetry | None:
        for name in ("telemetry.csv.gz", "telemetry.csv"):
            if (self.path / name).exists():
                self._telemetry_file = self.path / name
                return read_telemetry(self._telemetry_file)
        return None


def check_folder(path: Path) -> None:
    """FixConfiguration where the path is no folder whose files can be read."""
    try:
        next(path.iterdir(), None)
        # a folder may be listed and yet not entered
        (path / "meta.json").exists()
    except FileNotFoundError:
        raise FixConfiguration(f"{path}: no such folder: name one that holds a recording") from None
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}): mend its rights, or name another") from None


def _meta(path: Path) -> dict[str, Any]:
    """Names as text, `boot_unix` as a number; checked, since it is written by hand."""
    if not path.exists():
        return {}
    try:
        meta = json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise FixConfiguration(f"{path}: cannot be read as JSON ({error}): mend it or remove it") from error
    if not isinstance(meta, dict):
        raise FixConfiguration(f'{path}: is no JSON object: write {{"boot_unix": seconds}}')
    for key in ("cluster", "node", "job"):
        if not isinstance(meta.get(key, ""), str):
            raise FixConfiguration(f"{path}: {key} is no text: give a name")
    boot = meta.get("boot_unix", 0)
    if isinstance(boot, bool) or not isinstance(boot, (int, float)) or not 0 <= boot < 9e9:
        raise FixConfiguration(f"{path}: boot_unix is {boot!r}: give the Unix seconds at kernel time 0")
    return meta
