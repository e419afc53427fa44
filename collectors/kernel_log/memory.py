"""Out-of-memory kills: who was killed, and whether the pod's limit or the host's memory was the constraint.

The anchor is the line `… Killed process`: the kernel always prints it, whereas it limits the rate of the
`oom-kill:constraint=` line before it, which is only remembered for what it adds.
"""

import re

from collectors.kernel_log.statement import Statement
from collectors.model import EventKind

_CONSTRAINT = re.compile(r"oom-kill:constraint=CONSTRAINT_(\w{1,20}),(.*)", re.ASCII | re.DOTALL)
_KILLED = re.compile(
    r"(Memory cgroup out of memory|Out of memory(?: \([^)]{0,64}\))?): Kill(?:ed)? process (\d{1,10})"
    r"(?:,? UID:? ?\d{1,10},?)?[, ]*(?:\(([^)]{0,64})\))?",
    re.ASCII,
)
_ANON = re.compile(r"anon-rss:(\d{1,15})kB", re.ASCII)
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})", re.ASCII)
_KIBIBYTE = 1024


class OomLines:
    """Reads the lines of a kill; remembers the last stated constraint until its kill is reported."""

    def __init__(self) -> None:
        self._constraint = ""
        self._fields: dict[str, str] = {}

    def read(self, text: str) -> Statement | None:
        """What the line says, or None."""
        if text.startswith("oom-kill:"):
            self._remember(text)
            return None
        if "ut of memory" not in text:
            return None
        match = _KILLED.match(text)
        if match is None:
            return None
        headline, pid, process = match.groups()
        stated, fields = self._constraint, self._fields
        self._constraint, self._fields = "", {}
        if fields.get("pid", pid) != pid:
            stated, fields = "", {}
        in_cgroup = headline.startswith("Memory cgroup")
        attributes = {"constraint": "memcg" if in_cgroup else stated or "none", "pid": pid, "process": process or ""}
        memcg = fields.get("task_memcg") or fields.get("oom_memcg") or ""
        attributes["memcg"] = memcg
        if (pod := _POD.search(memcg)) is not None:
            attributes["pod_uid"] = pod[1].replace("_", "-")
        values = {"pid": float(pid)}
        if (anon := _ANON.search(text)) is not None:
            values["anonymous_memory_bytes"] = float(int(anon[1]) * _KIBIBYTE)
        return Statement(EventKind.OOM_KILL, text, values, attributes)

    def _remember(self, text: str) -> None:
        match = _CONSTRAINT.match(text)
        if match is not None:
            pairs = (pair.partition("=") for pair in match[2][:4096].split(","))
            self._constraint = match[1].lower()
            self._fields = {name: value for name, _, value in pairs}
