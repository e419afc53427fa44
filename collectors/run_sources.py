"""Builds what a live collector listens to, by its settings, and remembers how far each log was read.

A source that does not work is no reason not to start: the others do, and the log says which one does not and why.
`watchstander collect --check` says it all at once.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from collectors.errors import FixConfiguration, RetryLater
from collectors.gpu.source import GpuSource
from collectors.kernel_log import KernelLogParser, KmsgDevice, KmsgPosition
from collectors.log_source import LogSource
from collectors.model import Event, Subject, SubjectKind
from collectors.processes.followed import FollowedLog, FollowedLogs, follow
from collectors.processes.held_gpus import HeldGpus
from collectors.processes.holders import GpuHolders
from collectors.processes.pod_folders import PodFolders
from collectors.processes.pod_log import fill, fill_rank, find_pod_log
from collectors.processes.proc import Proc
from collectors.settings import LogSettings, Settings
from collectors.tail import LogTail, Position
from collectors.training_log import TrainingLogParser

if TYPE_CHECKING:
    from collectors.gpu.nvml import NvmlGpus

_LOG = logging.getLogger(__name__)

REMIND_NS = 60 * 10**9
RETRY_NS = 60 * 10**9
SAVE_NS = 10 * 10**9


class Positions(msgspec.Struct):
    """How far each log was read; kept as JSON beside the spool."""

    kmsg: KmsgPosition | None = None
    logs: dict[str, dict[str, Position]] = {}
    """By what `_log_key` gives, then by path."""


def load_positions(path: Path) -> Positions:
    """What was saved; nothing where there is none or it is torn: then logs are followed from their ends."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Positions)
    except FileNotFoundError:
        return Positions()
    except (OSError, ValueError, RecursionError) as error:
        _LOG.warning("%s: cannot be used (%s); training logs are followed from their ends", path, error)
        return Positions()


def save_positions(path: Path, encoded: bytes) -> None:
    """Write and rename, so that a crash leaves the old ones. A failure costs lines told twice, and is logged."""
    aside = path.with_suffix(".tmp")
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, encoded)
        finally:
            os.close(fd)
        aside.rename(path)
    except OSError as error:
        _LOG.debug("%s: positions not saved (%s)", path, error)


class SteadyLog:
    """A `LogSource` that is opened again when it fails, and never raises RetryLater."""

    def __init__(self, open_source: Callable[[], KmsgDevice]) -> None:
        self._open = open_source
        self.source: KmsgDevice | None = None
        self._retry_ns = 0

    def poll(self, now_ns: int) -> list[Event]:
        """Events since the last call; none while the source fails."""
        if self.source is None:
            if now_ns < self._retry_ns:
                return []
            try:
                self.source = self._open()
            except FixConfiguration as error:
                if self._retry_ns == 0:
                    _LOG.error("%s", error)
                self._retry_ns = now_ns + RETRY_NS
                return []
        try:
            return self.source.poll(now_ns)
        except RetryLater as error:
            _LOG.warning("%s; trying again in 60 s", error)
            self.close()
            self._retry_ns = now_ns + RETRY_NS
            return []

    def close(self) -> None:
        """Close it."""
        if self.source is not None:
            self.source.close()
        self.source = None


class Sources:
    """GPU sources and log sources of this node."""

    def __init__(
        self,
        settings: Settings,
        node: Subject,
        node_name: str,
        boot_id: str,
        positions_file: Path,
        make_nvml: "Callable[[Subject, str], NvmlGpus] | None" = None,
    ) -> None:
        """Raises FixConfiguration for an address that no source can use. `make_nvml`: NVML by another child."""
        self._settings = settings
        self._node = node
        self._node_name = node_name
        self._boot_id = boot_id
        self._positions_file = positions_file
        self._saved = load_positions(positions_file)
        self._gpus_by_bus: dict[str, Subject] = {}
        self._closers: list[Callable[[], None]] = []
        self._kmsg_position = self._saved.kmsg
        self._taken: tuple[int, bytes] | None = None
        self._next_save_ns = 0
        self.gpus: list[GpuSource] = []
        self.logs: list[LogSource] = []
        self._kmsg: SteadyLog | None = None
        self._tails: dict[str, LogTail] = {}
        self._job_names: dict[str, str] = {}
        self._followed: dict[tuple[str, str], FollowedLog | None] = {}
        self._open_gpus(make_nvml)
        self._open_logs()

    def _open_gpus(self, make_nvml: "Callable[[Subject, str], NvmlGpus] | None") -> None:
        if self._settings.nvml:
            from collectors.gpu.nvml import NvmlGpus  # a node without NVML does without it

            nvml = (make_nvml or NvmlGpus)(self._node, self._node_name)
            try:
                nvml.start(time.time_ns())
            except FixConfiguration as error:
                _LOG.error("%s; trying on", error)  # the driver may come later: it is installed by a pod, too
            holders = GpuHolders(
                Proc(self._settings.host_proc), PodFolders(self._settings.pod_logs), self._settings.gpus.job
            )
            self.gpus.append(HeldGpus(nvml, holders, self._followed_logs))
            self._closers.append(nvml.close)
        if self._settings.dcgm_exporter:
            from collectors.gpu.dcgm_exporter import DcgmExporter

            exporter = DcgmExporter(self._node, self._node_name, self._settings.dcgm_exporter)
            exporter.start()
            self.gpus.append(exporter)
            self._closers.append(exporter.close)

    def _open_logs(self) -> None:
        path = self._settings.kmsg
        if path is not None:
            boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)

            def open_kmsg() -> KmsgDevice:
                parser = KernelLogParser(self._node, self._resolve_gpu, boot_ns)
                return KmsgDevice(parser, self._boot_id, self._kmsg_position, path)

            self._kmsg = SteadyLog(open_kmsg)
            self.logs.append(self._kmsg)
            self._closers.append(self._kmsg.close)
        for log in self._settings.logs:
            key = _log_key(log)
            if key in self._tails:
                continue
            tail = LogTail(log.path, self._on_line(log), self._saved.logs.get(key))
            self._tails[key] = tail
            self._job_names[key] = log.job
            self.logs.append(tail)
            self._closers.append(tail.close)

    def _on_line(self, log: LogSettings) -> Callable[[str, bytes, int], list[Event]]:
        parsers: dict[str, TrainingLogParser | None] = {}  # one a file: lines of two files must not be read as one

        def on_line(path: str, line: bytes, now_ns: int) -> list[Event]:
            if path not in parsers:
                parsers[path] = self._parser(log, path)
            parser = parsers[path]
            return parser.parse(line, now_ns) if parser is not None else []

        return on_line

    def _parser(self, log: LogSettings, path: str) -> TrainingLogParser | None:
        """None where the job cannot be named: nothing is said about a job that nobody can place."""
        pod = find_pod_log(path)
        job = fill(log.job, pod)
        if not job:
            _LOG.warning("%s: is no log of a pod that says what job %r asks for; its lines are left out", path, log.job)
            return None
        return TrainingLogParser(Subject(self._settings.cluster, SubjectKind.JOB, job), fill_rank(log.rank, pod))

    def _followed_logs(self) -> FollowedLogs:
        """The logs that are open now, with the job of each."""
        logs: dict[tuple[str, str], FollowedLog | None] = {}
        for key, tail in self._tails.items():
            for path, position in tail.positions().items():
                file = (position.device, position.inode)
                known = self._followed.get((key, path))
                if known is None or known.file != file:
                    known = follow(self._job_names[key], path, file)
                logs[key, path] = known
        self._followed = logs
        return FollowedLogs(log for log in logs.values() if log is not None)

    def _resolve_gpu(self, pci_bus_id: str) -> Subject | None:
        """The GPU at a PCI address, also one that has fallen off the bus since it was met."""
        for source in self.gpus:
            for facts in source.facts():
                bus = facts.attributes.get("pci_bus_id")
                if bus and facts.subject.kind is SubjectKind.GPU:
                    self._gpus_by_bus[bus] = facts.subject
        return self._gpus_by_bus.get(pci_bus_id)

    def tend(self, now_ns: int, held_back_ns: int) -> None:
        """Save the positions now and then.

        Positions are written `held_back_ns` after they were taken: by then every event of a line before them is in the
        spool. So a crash may tell lines twice, and never leaves one out.
        """
        if self._taken is not None:
            taken_ns, encoded = self._taken
            if now_ns - taken_ns >= held_back_ns or now_ns < taken_ns:
                save_positions(self._positions_file, encoded)
                self._taken = None
                self._next_save_ns = now_ns + SAVE_NS
        elif now_ns >= self._next_save_ns or now_ns < self._next_save_ns - SAVE_NS:
            self._taken = (now_ns, self._encoded())

    def save(self) -> None:
        """Save the positions as they are now; every event told so far has to be in the spool."""
        save_positions(self._positions_file, self._encoded())

    def _encoded(self) -> bytes:
        if self._kmsg is not None and self._kmsg.source is not None:
            self._kmsg_position = self._kmsg.source.position()
        logs = {key: tail.positions() for key, tail in self._tails.items()}
        return msgspec.json.encode(Positions(self._kmsg_position, logs))

    def close(self) -> None:
        """Close all sources."""
        for close in self._closers:
            close()


def _log_key(log: LogSettings) -> str:
    return f"{log.job}\n{log.path}"
