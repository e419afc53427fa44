"""`xid`, and the Xids that are another kind's own word: a lost card, an uncorrectable error, a row remap."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite, nan

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from collectors.model import Event, EventKind, EventSource, Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.frame import NS
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity
from detectors.view import where

SAME_FAULT = {
    79: FindingKind.GPU_LOST,
    48: FindingKind.ECC_UNCORRECTABLE,
    94: FindingKind.ECC_UNCORRECTABLE,
    95: FindingKind.ECC_UNCORRECTABLE,
    140: FindingKind.ECC_UNCORRECTABLE,
    171: FindingKind.ECC_UNCORRECTABLE,
    172: FindingKind.ECC_UNCORRECTABLE,
    63: FindingKind.ROW_REMAP,
    64: FindingKind.ROW_REMAP,
}
"""Xids that state what another kind is about: one fault, one finding, with the Xid as its evidence."""
_FAULT = {
    FindingKind.GPU_LOST: "GPU fell off the bus",
    FindingKind.ECC_UNCORRECTABLE: "Uncorrectable memory error",
    FindingKind.ROW_REMAP: "Row remapping",
}
_SEVERITY = {
    XidDomain.HARDWARE: Severity.CRITICAL,
    XidDomain.LINK: Severity.CRITICAL,
    XidDomain.FIRMWARE: Severity.CRITICAL,
    XidDomain.DRIVER: Severity.WARNING,
    XidDomain.APPLICATION: Severity.WARNING,
    XidDomain.INFORMATIONAL: Severity.INFO,
}
PASSES = frozenset({XidDomain.APPLICATION, XidDomain.INFORMATIONAL})
PASS_S = 300.0
_ADOPTED = -1
"""An application's Xid is over five minutes after its last line; a hardware one stays until the card is reset."""
_SOURCE = {"kernel_log": "in the kernel log", "nvml": "by NVML", "dcgm": "by DCGM"}


@dataclass(slots=True)
class XidDetector:
    """Every Xid and SXid that the kernel log or NVML reports, once a card and code, severity by the catalogue.

    One fault may print three lines of one code: they are one finding. A code that the catalogue does not know is
    reported as a warning. A log line of a program that merely prints an Xid never comes here: only the kernel's own
    facility and NVML do. Fails where the kernel log is not readable and NVML's event was missed.
    """

    kinds = (FindingKind.XID, FindingKind.GPU_LOST, FindingKind.ECC_UNCORRECTABLE, FindingKind.ROW_REMAP)
    needs = Needs(events=(EventKind.XID, EventKind.SXID))
    _last_ns: dict[tuple[Subject, str], int] = field(default_factory=dict)
    """When a passing Xid was last seen."""

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One Xid or SXid."""
        told = event.values.get("code", nan)
        if event.kind not in (EventKind.XID, EventKind.SXID) or not isfinite(told):
            return
        if event.source is EventSource.TRAINING_LOG:
            return  # any program can print such a line
        code = int(told)
        if event.kind is EventKind.SXID:
            yield self._switch(event, code, inventory)
            return
        entry = XID_CATALOGUE.get(code)
        name = entry.name if entry else "not in NVIDIA's catalogue"
        severity = _SEVERITY[entry.domain] if entry else Severity.WARNING
        kind = SAME_FAULT.get(code, FindingKind.XID)
        if code == 63:
            severity = Severity.WARNING  # a row was remapped as it should be; the reset can wait for a pause
        place = where(inventory, event.subject)
        action = f"; NVIDIA advises {entry.nvidia_action}" if entry and entry.nvidia_action else ""
        evidence = Evidence(
            f"Xid {code} ({name}) on {place}, seen {_SOURCE.get(event.source, 'by the collector')}",
            event.time_ns,
            "xid",
            float(code),
            source=event.source.value,
            line=event.line,
        )
        if kind is FindingKind.XID:
            summary = f"Xid {code} on {place}: {name}{action}."
        else:
            summary = f"{_FAULT[kind]} on {place}: Xid {code}, {name}{action}."
        mark = str(code) if kind is FindingKind.XID else ""
        if kind is FindingKind.XID and entry is not None and entry.domain in PASSES:
            self._last_ns[event.subject, mark] = now_ns
        yield Opening(kind, event.subject, event.time_ns, severity, 0.97, summary, (evidence,), mark=mark)

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Application Xids pass."""
        for (subject, mark), last_ns in list(self._last_ns.items()):
            if last_ns == _ADOPTED:
                self._last_ns[subject, mark] = now_ns
            elif now_ns - last_ns > PASS_S * NS:
                del self._last_ns[subject, mark]
                yield Clearing(FindingKind.XID, subject, "not seen again for five minutes", mark)

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart: the five minutes begin anew, since nobody listened."""
        entry = XID_CATALOGUE.get(int(finding.mark)) if finding.mark.isdecimal() else None
        if finding.kind is FindingKind.XID and entry is not None and entry.domain in PASSES:
            self._last_ns[finding.subject, finding.mark] = _ADOPTED

    def ready(self, subject: Subject) -> bool:
        """It needs no history."""
        return True

    @staticmethod
    def _switch(event: Event, code: int, inventory: Inventory) -> Opening:
        fatal = event.attributes.get("fatal", "").lower() in ("true", "fatal", "yes", "1")
        place = where(inventory, event.subject)
        said = "fatal" if fatal else "non-fatal"
        evidence = Evidence(
            f"SXid {code} ({said}) of an NVSwitch on {place}",
            event.time_ns,
            "sxid",
            float(code),
            source=event.source.value,
            line=event.line,
        )
        return Opening(
            FindingKind.XID,
            event.subject,
            event.time_ns,
            Severity.CRITICAL if fatal else Severity.INFO,
            0.95,
            f"NVSwitch error on {place}: SXid {code}, {said}.",
            (evidence,),
            mark=f"sxid-{code}",
        )
