"""Takes off what container runtimes, launchers and terminals put around a line.

Containers: RFC 3339 (`2026-11-22T03:12:44.673996Z text`, as `kubectl logs --timestamps` writes it), CRI
(`<time> stdout F text`; P marks a part that goes on), Docker's JSON (`{"log":"text\\n","stream":..,"time":..}`).
Launchers: `[rank0]:`, `[default7]:`, `[lrdn3321:3]:`, `(TaskRunner pid=16292)`, `3: ` (srun --label).
"""

import re
from dataclasses import dataclass

import msgspec

from collectors import log_time
from collectors.masking import strip_control
from collectors.training_log.line import LogLine

MAX_LINE_BYTES = 64 * 1024
_CONTAINER = re.compile(log_time.RFC3339.pattern + " ", re.ASCII)
_CRI = re.compile(r"(stdout|stderr) ([FP]) ?", re.ASCII)
_WRITER = re.compile(
    r"\[rank(?P<rank>\d{1,7})\]: ?"
    r"|\[default(?P<local>\d{1,4})\]: ?"
    r"|\[[\w.-]{1,64}:(?P<task>\d{1,7})\]: ?"
    r"|\([\w.]{1,64}(?:\([^()]{0,64}\))? pid=\d{1,10}(?:, ip=[\w.:]{1,64})?\) ?"
    r"|(?P<label>\d{1,6}): (?=\S)",
    re.ASCII,
)
_MOST_PREFIXES = 3


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The pieces of one raw line, and the container runtime's time for them."""

    time_ns: int | None
    lines: tuple[LogLine, ...]


class _DockerLine(msgspec.Struct):
    log: str
    stream: str = ""
    time: str = ""


class Unwrapper:
    """Unwraps the lines of one log; remembers only the parts of a line that CRI has split."""

    def __init__(self, rank: int | None) -> None:
        self._rank = rank
        self._parts: dict[str, str] = {}
        self._last_ns = 0

    def unwrap(self, raw: bytes) -> Unwrapped:
        """Every segment between carriage returns is a line of its own, as tqdm writes them."""
        text = raw[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r\n")
        time_ns, text = self._off_container(text)
        if time_ns is not None:
            time_ns = self._last_ns = log_time.in_order(time_ns, self._last_ns)
        segments = text.split("\r") if "\r" in text else (text,)
        lines = tuple(self._off_launcher(segment) for segment in segments if segment)
        return Unwrapped(time_ns, lines)

    def _off_container(self, text: str) -> tuple[int | None, str]:
        if text.startswith('{"log":'):
            try:
                docker = msgspec.json.decode(text, type=_DockerLine)
            except (msgspec.MsgspecError, RecursionError):
                return None, text
            match = log_time.RFC3339.match(docker.time)
            time_ns = log_time.of_rfc3339(match) if match is not None else None
            return time_ns, docker.log.rstrip("\r\n")
        match = _CONTAINER.match(text)
        if match is None or match["zone"] is None:
            return None, text
        time_ns = log_time.of_rfc3339(match)
        text = text[match.end() :]
        cri = _CRI.match(text)
        if cri is None:
            return time_ns, text
        return time_ns, self._joined(cri[1], cri[2] == "P", text[cri.end() :])

    def _joined(self, stream: str, goes_on: bool, text: str) -> str:
        text = (self._parts.pop(stream, "") + text)[:MAX_LINE_BYTES]
        if goes_on:
            self._parts[stream] = text
            return ""
        return text

    def _off_launcher(self, text: str) -> LogLine:
        text = strip_control(text)
        writer = ""
        rank = self._rank
        for _ in range(_MOST_PREFIXES):
            match = _WRITER.match(text)
            if match is None:
                break
            writer += match[0]
            text = text[match.end() :]
            if match["rank"] is not None:
                rank = int(match["rank"])
        return LogLine(text, writer, rank)
