"""Kernel-log lines to events."""

from collections.abc import Callable
from dataclasses import dataclass

from collectors.kernel_log import memory, nvidia, stalls
from collectors.kernel_log.pci import normalise
from collectors.kernel_log.record import FACILITY_KERNEL, FACILITY_UNKNOWN, read_record
from collectors.kernel_log.statement import Statement
from collectors.masking import evidence
from collectors.model import Event, EventKind, EventSource, Subject


@dataclass(slots=True)
class KernelLogCounters:
    """What became of the lines."""

    lines: int = 0
    passed_over: int = 0
    """Lines that say nothing that Watchstander knows, most of them."""
    refused: int = 0
    """Lines of another facility than the kernel's: user space wrote them."""


class KernelLogParser:
    """Turns one node's kernel log into events.

    `resolve_gpu` is given a PCI address (`0000:18:00.0`) and answers with the GPU there, or None; it should remember
    GPUs that have fallen off the bus, whom NVML no longer names. `boot_ns` is the Unix time of boot, for the forms
    that count from it.

    One fault can print several lines (three of Xid 13, say): each is an event.
    """

    def __init__(self, node: Subject, resolve_gpu: Callable[[str], Subject | None], boot_ns: int | None) -> None:
        self.counters = KernelLogCounters()
        self._node = node
        self._resolve_gpu = resolve_gpu
        self._boot_ns = boot_ns
        self._readers: tuple[Callable[[str], Statement | None], ...] = (
            nvidia.NvidiaLines().read,
            memory.OomLines().read,
            stalls.read,
        )

    def parse(self, line: bytes, seen_ns: int) -> Event | None:
        """One line, or one record of /dev/kmsg with its ` KEY=value` lines; None if it says nothing of interest.

        `seen_ns`: when it was read, Unix ns; the event's time if the line and the boot time do not tell a better one.
        """
        self.counters.lines += 1
        record = read_record(line, seen_ns)
        if record is None:
            self.counters.passed_over += 1
            return None
        if record.facility not in (FACILITY_KERNEL, FACILITY_UNKNOWN):
            self.counters.refused += 1
            return None
        for read in self._readers:
            statement = read(record.text)
            if statement is not None:
                return self._event(statement, record.time_ns(self._boot_ns, seen_ns))
        self.counters.passed_over += 1
        return None

    def _event(self, statement: Statement, time_ns: int) -> Event:
        attributes = {name: evidence(text, 500) for name, text in statement.attributes.items() if text}
        subject = self._node
        if (raw_address := attributes.pop("pci_bus_id", None)) is not None:
            address = normalise(raw_address)
            attributes["pci_bus_id"] = address or raw_address
            if address is not None and statement.kind is EventKind.XID:
                subject = self._resolve_gpu(address) or self._node
        return Event(
            kind=statement.kind,
            subject=subject,
            time_ns=time_ns,
            source=EventSource.KERNEL_LOG,
            values=statement.values,
            attributes=attributes,
            line=evidence(statement.line),
        )
