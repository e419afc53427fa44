"""`watchstander collect --check`: what this node can and cannot see, line by line, and what to do about it."""

import contextlib
import glob
import http.client
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from collectors.errors import FixConfiguration, RetryLater
from collectors.gpu.nvml import NvmlGpus
from collectors.gpu.nvml_words import GpuProcess
from collectors.gpu.source import GpuSource
from collectors.kernel_log import KernelLogParser, KmsgDevice
from collectors.model import Subject, SubjectKind
from collectors.processes.followed import FollowedLog, FollowedLogs, follow
from collectors.processes.held_gpus import ASKED_WITH
from collectors.processes.holders import GpuHolders
from collectors.processes.pod_folders import PodFolders
from collectors.processes.pod_log import fill, find_pod_log
from collectors.processes.proc import Proc
from collectors.run import read_boot_id
from collectors.sending.endpoint import BATCH_PATH, Endpoint
from collectors.settings import NodeNames, Settings, find_node
from collectors.wire import CONTENT_ENCODING, CONTENT_TYPE

MOST_FILES_TOLD = 3


class Verdict(StrEnum):
    """What a line of the check says. Only `no` fails it."""

    YES = "yes"
    NOTE = "note"
    NO = "no"


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    says: str
    do: str = ""
    """What to do, where the verdict is not yes."""

    def text(self) -> str:
        """For people."""
        mark = {Verdict.YES: "ok  ", Verdict.NOTE: "note", Verdict.NO: "NO  "}[self.verdict]
        line = f"{mark}  {self.name:<14} {self.says}" + (f"; {self.do}" if self.do else "")
        # File names and answers are others' words: a terminal must not obey them.
        return "".join(c if c.isprintable() else "?" for c in line)


def as_json(lines: list[CheckLine]) -> str:
    """For machines: `{"ok": ..., "checks": [{"name", "verdict", "says", "do"}]}`."""
    checks = [{"name": one.name, "verdict": one.verdict.value, "says": one.says, "do": one.do} for one in lines]
    return msgspec.json.encode({"ok": passed(lines), "checks": checks}).decode()


def passed(lines: list[CheckLine]) -> bool:
    """Whether no line says no."""
    return all(line.verdict is not Verdict.NO for line in lines)


def check_node(settings: Settings, make_nvml: Callable[[Subject, str], NvmlGpus] = NvmlGpus) -> Iterator[CheckLine]:
    """Look at everything that a collector with these settings would need. Changes nothing; takes up to half a minute
    where NVML or the agent does not answer.
    """
    names, line = _check_node_id(settings)
    yield line
    node = Subject(settings.cluster, SubjectKind.NODE, names.id if names else "unknown")
    name = names.name if names else "unknown"
    yield from _check_nvml(settings, node, name, make_nvml)
    if settings.dcgm_exporter:
        yield _check_dcgm(settings.dcgm_exporter, node, name)
    yield _check_kmsg(settings.kmsg, node)
    yield from _check_logs(settings)
    yield _check_spool(settings)
    yield from _check_agent(settings)


def _check_node_id(settings: Settings) -> tuple[NodeNames | None, CheckLine]:
    try:
        names = find_node(settings.node)
        read_boot_id()
    except FixConfiguration as error:
        return None, CheckLine("node", Verdict.NO, str(error))
    says = f"{names.name}, id {names.id} (by {names.said_by}), cluster {settings.cluster}"
    return names, CheckLine("node", Verdict.YES, says)


def _check_nvml(
    settings: Settings, node: Subject, name: str, make_nvml: Callable[[Subject, str], NvmlGpus]
) -> Iterator[CheckLine]:
    if not settings.nvml:
        yield CheckLine("NVML", Verdict.NOTE, "switched off (nvml: false)")
        return
    source = make_nvml(node, name)
    try:
        source.start(time.time_ns())
        driver = next((one.attributes["driver"] for one in source.facts() if "driver" in one.attributes), "")
        gpus = _gpus_of(source)
        source.look((ASKED_WITH,), time.time_ns())
        processes = source.processes()
    except FixConfiguration as error:
        yield CheckLine("NVML", Verdict.NO, str(error))
        return
    finally:
        source.close()
    if not driver and not gpus:
        yield CheckLine(
            "NVML", Verdict.NO, "does not answer", "the driver may hang: see `dmesg`, and run nvidia-smi on the node"
        )
        return
    yield CheckLine("NVML", Verdict.YES, f"loaded, driver {driver or 'of unknown version'}")
    if gpus:
        yield CheckLine("GPUs", Verdict.YES, f"{len(gpus)}: {', '.join(sorted(set(gpus)))}")
        yield _check_processes(settings, processes)
    else:
        yield CheckLine(
            "GPUs", Verdict.NO, "none", "run on a node with GPUs, and give the container all of them (runtimeClassName)"
        )


def _check_processes(settings: Settings, processes: Mapping[Subject, Sequence[GpuProcess] | None]) -> CheckLine:
    """How far the way from GPU to job and rank leads."""
    name = "GPU to job"
    pids = {one.pid for listed in processes.values() for one in listed or ()}
    if not pids:
        says = "NVML names no process on any GPU"
        return CheckLine(name, Verdict.NOTE, says, "right if no job runs now; else the collector needs hostPID: true")
    proc = Proc(settings.host_proc)
    strange = sorted(pid for pid in pids if proc.stat(pid) is None)
    if strange:
        says = f"NVML names process {strange[0]}, which {proc} does not have"
        return CheckLine(name, Verdict.NO, says, "set hostPID: true, or host_proc to where the node's /proc is mounted")
    holders = GpuHolders(proc, PodFolders(settings.pod_logs), settings.gpus.job)
    holders.update(processes, _logs_there(settings), time.time_ns())
    held = {gpu: holders.attributes(gpu) for gpu, listed in processes.items() if listed}
    counts = {key: sum(key in one for one in held.values()) for key in ("pod_uid", "job", "rank")}
    says = (
        f"{len(held)} of {len(processes)} GPUs have processes; known of them are the pod of {counts['pod_uid']},"
        f" the job of {counts['job']}, the rank of {counts['rank']}"
    )
    unread = sorted(pid for pid in pids if proc.ranks(pid) is None)
    if unread:
        do = "give the container CAP_SYS_PTRACE: without it ranks and logs outside pods are not found"
        return CheckLine(name, Verdict.NOTE, f"{says}; the environment of process {unread[0]} may not be read", do)
    jobless = [gpu for gpu, attributes in held.items() if "job" not in attributes]
    if jobless:
        return CheckLine(name, Verdict.NOTE, says, _to_find_job(held[jobless[0]]))
    return CheckLine(name, Verdict.YES, says)


def _to_find_job(held: Mapping[str, str]) -> str:
    if "pods" in held:
        return f"{held['pods']} share a GPU: it works for no one job"
    if "pod" in held:
        return f"add the log of pod {held['namespace']}/{held['pod']} to `logs`"
    return "add the log that the processes have as stdout or stderr to `logs`, or set gpus.job"


def _logs_there(settings: Settings) -> FollowedLogs:
    followed: list[FollowedLog] = []
    for log in settings.logs:
        for path in glob.iglob(log.path, recursive=True):  # noqa: PTH207 - absolute patterns
            with contextlib.suppress(OSError):
                status = os.stat(path)  # noqa: PTH116
                found = follow(log.job, path, (status.st_dev, status.st_ino))
                followed += [found] if found else []
    return FollowedLogs(followed)


def _gpus_of(source: GpuSource) -> list[str]:
    return [
        one.attributes.get("model", "unknown model") for one in source.facts() if one.subject.kind is SubjectKind.GPU
    ]


def _check_dcgm(url: str, node: Subject, name: str) -> CheckLine:
    from collectors.gpu.dcgm_exporter import DcgmExporter  # few nodes have one

    try:
        exporter = DcgmExporter(node, name, url)
        exporter.scrape(time.time_ns())
    except (FixConfiguration, RetryLater) as error:
        return CheckLine("dcgm-exporter", Verdict.NO, str(error))
    gpus = _gpus_of(exporter)
    if not gpus:
        return CheckLine("dcgm-exporter", Verdict.NO, f"{url} tells of no GPU", "is it the exporter of this node?")
    return CheckLine("dcgm-exporter", Verdict.YES, f"{len(gpus)} GPUs")


def _check_kmsg(path: str | None, node: Subject) -> CheckLine:
    if path is None:
        return CheckLine("kernel log", Verdict.NOTE, "switched off (kmsg: null): no Xid, no OOM kill will be seen")
    parser = KernelLogParser(node, lambda _: None, None)
    try:
        device = KmsgDevice(parser, "", path=path)
    except FixConfiguration as error:
        return CheckLine("kernel log", Verdict.NO, str(error))
    try:
        events = device.poll(time.time_ns())
    except RetryLater as error:
        return CheckLine("kernel log", Verdict.NO, str(error), "run the collector's container privileged enough")
    finally:
        device.close()
    lines = parser.counters.lines
    if not lines:
        return CheckLine("kernel log", Verdict.NOTE, f"{path} opens and holds no line", "is it the node's own?")
    return CheckLine("kernel log", Verdict.YES, f"{path}: {lines} lines, {len(events)} of them events")


def _check_logs(settings: Settings) -> Iterator[CheckLine]:
    for log in settings.logs:
        files = sorted(glob.iglob(log.path, recursive=True))  # noqa: PTH207 - absolute patterns
        unreadable = [file for file in files if not os.access(file, os.R_OK)]
        nameless = [file for file in files if fill(log.job, find_pod_log(file)) is None]
        if unreadable:
            yield CheckLine("log", Verdict.NO, f"{unreadable[0]} may not be read", "let the collector's user read it")
        elif nameless:
            says = f"{nameless[0]} is no log of a pod that says what job {log.job} asks for"
            yield CheckLine("log", Verdict.NO, says, "narrow the pattern, or name the job without placeholders")
        elif files:
            told = ", ".join(files[:MOST_FILES_TOLD]) + (", ..." if len(files) > MOST_FILES_TOLD else "")
            yield CheckLine("log", Verdict.YES, f"{log.path} (job {log.job}): {len(files)} files, {told}")
        else:
            yield CheckLine(
                "log",
                Verdict.NOTE,
                f"{log.path} (job {log.job}) matches nothing now",
                "right if the job is yet to start; else check the pattern and the mounts",
            )


def _check_spool(settings: Settings) -> CheckLine:
    directory = Path(settings.spool.directory)
    probe = directory / f"check-{os.getpid()}.probe"
    do = "give this user a folder of its own, or set spool.directory"
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
        room = os.statvfs(directory)
    except OSError as error:
        return CheckLine("spool", Verdict.NO, f"{directory}: {error.strerror}", do)
    finally:
        # A check leaves nothing behind: the folder may be meant for another user, or another place.
        with contextlib.suppress(OSError):
            probe.unlink()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
    free = room.f_bavail * room.f_frsize
    if free < settings.spool.max_bytes:
        says = f"{directory}: {free >> 20} MiB free, less than spool.max_bytes ({settings.spool.max_bytes >> 20} MiB)"
        return CheckLine("spool", Verdict.NOTE, says, "make room or lower spool.max_bytes")
    return CheckLine("spool", Verdict.YES, f"{directory}: writable, {free >> 20} MiB free")


def _check_agent(settings: Settings) -> Iterator[CheckLine]:
    try:
        endpoint = settings.endpoint()
    except FixConfiguration as error:
        yield CheckLine("agent", Verdict.NO, str(error))
        return
    try:
        token = endpoint.read_token()
    except FixConfiguration as error:
        yield CheckLine("token", Verdict.NO, str(error))
        token = ""
    try:
        status, headers = _ask(endpoint, token)
    except FixConfiguration as error:
        yield CheckLine("agent", Verdict.NO, str(error))
        return
    except (OSError, http.client.HTTPException, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        yield CheckLine("agent", Verdict.NO, f"{endpoint}: {what}", "check agent.url, agent.ca_file and the network")
        return
    yield from _judge(endpoint, status, headers, had_token=bool(token))


def _ask(endpoint: Endpoint, token: str) -> tuple[int, dict[str, str]]:
    """An empty body: an agent looks at the credential first, and then refuses it as no batch. Nothing is stored."""
    connection = endpoint.connect()
    headers = {"content-type": CONTENT_TYPE, "content-encoding": CONTENT_ENCODING}
    if token:
        headers["authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", endpoint.path + BATCH_PATH, b"", headers)
        answer = connection.getresponse()
        answer.read(64 * 1024)
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    finally:
        connection.close()


def _judge(endpoint: Endpoint, status: int, headers: dict[str, Any], *, had_token: bool) -> Iterator[CheckLine]:
    if status in (400, 401, 403, 413, 415, 421, 422, 429, 503) or 200 <= status < 300:
        yield CheckLine("agent", Verdict.YES, f"{endpoint} answers")
    else:
        yield CheckLine(
            "agent", Verdict.NO, f"{endpoint} answers {status}", "is agent.url the address of a Watchstander agent?"
        )
        return
    if not had_token:
        return
    if status in (401, 403):
        yield CheckLine(
            "token",
            Verdict.NO,
            f"the agent answers {status} to it",
            f"put a token with the role ingest into {endpoint.token_file}",
        )
    elif status == 429:
        yield CheckLine("token", Verdict.NO, "too many wrong credentials from here", "wait a minute, then check again")
    elif status == 421:
        leader = headers.get("location") or headers.get("watchstander-leader") or "unknown"
        says = f"not tried: this agent is a standby; the leader is {leader[:200]!r}"
        yield CheckLine("token", Verdict.NOTE, says, "check again with --agent set to that")
    elif status == 503:
        yield CheckLine("token", Verdict.NOTE, "accepted, but the agent takes no batches now", "see the agent's log")
    else:
        yield CheckLine("token", Verdict.YES, "accepted")
