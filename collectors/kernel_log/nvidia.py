"""NVIDIA's lines: Xids of GPUs, SXids of NVSwitches, GPUs that fell off the bus.

Forms from NVIDIA's drivers of 2018 to 2026: the process id may be a number, `'<unknown>'` or absent, and what follows
is free text. The text must begin with the driver's own tag, so that a process cannot smuggle an Xid into a line of
another kind by its name.
"""

import re

from collectors.kernel_log.statement import Statement
from collectors.model import EventKind

_XID = re.compile(
    r"NVRM: Xid \(([\w:.]{4,24})(?: GPU-I:(\d{1,4}))?\): (\d{1,5})(?:[,:]? (.*)|,|$)", re.ASCII | re.DOTALL
)
_PROCESS = re.compile(r"pid='?(\d{1,10}|<unknown>)'?(?:, |$)(?:name=([^,]{1,64}?)(?:, |$))?")
_RECOVERY = re.compile(r"recovery action changed from 0x([0-9a-f]+) \(([^)]*)\) to 0x([0-9a-f]+) \(([^)]*)\)", re.I)
_NVLINK5 = re.compile(r"(\w{1,40}) (Fatal|Nonfatal|Non-fatal) .{0,40}?Link (-?\d{1,4})", re.ASCII | re.IGNORECASE)
_LINK = re.compile(r"\blink (\d{1,4})\b", re.ASCII | re.IGNORECASE)
_SXID = re.compile(
    r"(nvidia-nvswitch\d{1,4}): SXid \(([\w:.]{4,24})\): (\d{1,6}), (Fatal|Non-fatal)\b,? ?(?:Link (\d{1,4}) )?(.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_OFF_BUS = re.compile(r"NVRM: GPU (?:at )?([\w:.]{4,24}): GPU has fallen off the bus", re.ASCII)
_OFF_BUS_HEAD = re.compile(r"NVRM: The NVIDIA GPU ([\w:.]{4,24})", re.ASCII)
_OFF_BUS_TAIL = "fallen off the bus and is not responding to commands"
_NVLINK5_CODES = range(144, 151)
_XID_OFF_BUS = 79
_XID_RECOVERY_ACTION = 154
_HEAD_REACH = 8
"""How many lines may stand between the two lines of one off-the-bus message."""


class NvidiaLines:
    """Reads NVIDIA's lines; remembers only the head of a message that spans lines."""

    def __init__(self) -> None:
        self._head = ""
        self._head_address = ""
        self._reach = 0

    def read(self, text: str) -> Statement | None:
        """What the line says, or None."""
        if text.startswith("nvidia-nvswitch"):
            return _read_sxid(text)
        if not text.startswith("NVRM: "):
            self._reach -= 1
            return None
        if text.startswith("NVRM: Xid ("):
            return _read_xid(text)
        return self._read_off_bus(text)

    def _read_off_bus(self, text: str) -> Statement | None:
        match = _OFF_BUS.match(text)
        if match is not None:
            return _off_bus(match[1], text)
        head = _OFF_BUS_HEAD.match(text)
        if head is not None:
            self._head, self._head_address, self._reach = text, head[1], _HEAD_REACH
        if _OFF_BUS_TAIL in text and self._reach > 0:
            self._reach = 0
            return _off_bus(self._head_address, text if text is self._head else f"{self._head} {text}")
        self._reach -= 1
        return None


def _off_bus(address: str, line: str) -> Statement:
    attributes = {"pci_bus_id": address, "detail": "GPU has fallen off the bus"}
    return Statement(EventKind.XID, line, {"code": float(_XID_OFF_BUS)}, attributes)


def _fatal(word: str) -> str:
    return "true" if word.lower() == "fatal" else "false"


def _read_xid(text: str) -> Statement | None:
    match = _XID.match(text)
    if match is None:
        return None
    address, mig_instance, code_text, rest = match.groups()
    code = int(code_text)
    detail = rest or ""
    attributes = {"pci_bus_id": address}
    if mig_instance is not None:
        attributes["mig_instance"] = mig_instance
    process = _PROCESS.match(detail)
    if process is not None:
        detail = detail[process.end() :]
        for name, value in (("pid", process[1]), ("process", process[2])):
            if value and value != "<unknown>":
                attributes[name] = value
    attributes["detail"] = detail
    values = {"code": float(code)}
    if code == _XID_RECOVERY_ACTION and (recovery := _RECOVERY.search(detail)) is not None:
        attributes["recovery_action"] = recovery[4]
        attributes["recovery_action_before"] = recovery[2]
        values["recovery_action"] = float(int(recovery[3][:8], 16))
    elif code in _NVLINK5_CODES and (nvlink := _NVLINK5.match(detail)) is not None:
        attributes["unit"] = nvlink[1]
        attributes["fatal"] = _fatal(nvlink[2])
        attributes["link"] = str(int(nvlink[3]))
    elif (link := _LINK.search(detail)) is not None:
        attributes["link"] = str(int(link[1]))
    return Statement(EventKind.XID, text, values, attributes)


def _read_sxid(text: str) -> Statement | None:
    # `SXid (..): 20034, Severity 1 Engine instance 30` and `Data {..}` repeat a line that said it already.
    match = _SXID.match(text)
    if match is None:
        return None
    switch, address, code, severity, link, detail = match.groups()
    attributes = {
        "pci_bus_id": address,
        "switch": switch.removeprefix("nvidia-"),
        "fatal": _fatal(severity),
        "detail": detail,
    }
    if link is not None:
        attributes["link"] = str(int(link))
    return Statement(EventKind.SXID, text, {"code": float(int(code))}, attributes)
