"""Cards by their PCI address: an index, since kernel log lines name nothing else and come by the thousand."""

from dataclasses import dataclass, field

from collectors.model import Subject


def bus_and_device(address: str) -> tuple[int | None, str]:
    """Domain (None where the address names none) and `bus:device` of a PCI address, function left out.

    >>> bus_and_device("00000000:18:00.0") == bus_and_device("0000:18:00")
    True
    """
    parts = address.strip().lower().split(".")[0].split(":")
    short = ":".join(parts[-2:])
    try:
        return (int(parts[-3], 16) if len(parts) > 2 else None), short
    except ValueError:
        return None, short


@dataclass(slots=True)
class PciIndex:
    """Which card sits at an address of a node; the newest where several have sat there."""

    _at: dict[tuple[Subject, str], dict[int | None, Subject]] = field(default_factory=dict)

    def put(self, node: Subject, address: str, card: Subject) -> None:
        """A card is said to sit there."""
        if address:
            domain, short = bus_and_device(address)
            held = self._at.setdefault((node, short), {})
            held.pop(domain, None)
            held[domain] = card

    def take(self, node: Subject, address: str, card: Subject) -> None:
        """The card sits there no more; nothing happens where another has taken its place."""
        domain, short = bus_and_device(address)
        held = self._at.get((node, short))
        if held is not None and held.get(domain) == card:
            del held[domain]
            if not held:
                del self._at[node, short]

    def find(self, node: Subject, address: str) -> Subject | None:
        """The card at an address; an address without a domain fits any, as long as it is the only one."""
        domain, short = bus_and_device(address)
        held = self._at.get((node, short))
        if not held:
            return None
        if domain in held:
            return held[domain]
        if domain is None:
            return next(iter(held.values())) if len(held) == 1 else None
        return held.get(None)
