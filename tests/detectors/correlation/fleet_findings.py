"""Findings over a fleet that knows its racks: node 7 stands in rack r1, eight nodes a rack, eight cards a node."""

import msgspec
from correlation_findings import SECOND, finding, node

from detectors.model import Finding, FindingKind, Severity


def at(kind: FindingKind, where: int, card: int | None, since: float, of: str | None = None, **more: object) -> Finding:
    """A finding on card `card` of node number `where`; on the node itself where `card` is None."""
    name = f"n{where}"
    subject = node(name) if card is None else card
    made = finding(kind, subject, since, on=name, of=of, **more)  # type: ignore[arg-type]  # handed on
    names = {"rack": f"r{where // 8}", **made.names}
    if card is None:
        names.pop("job", None)
    return msgspec.structs.replace(made, id=f"{made.id}-{where}", names=names)


def cleared(known: Finding, when: float) -> Finding:
    return msgspec.structs.replace(known, cleared_ns=int(when * SECOND), cleared_because="back to its habit")


def rack_loses_cooling(rack: int, since: float, nodes: int = 8, cards: int = 8) -> list[Finding]:
    """Its cards slow down one after the other within a minute."""
    return [
        at(FindingKind.THERMAL_THROTTLE, rack * 8 + n, card, since + n * 5 + card, of=f"job-{n % 3}")
        for n in range(nodes)
        for card in range(cards)
    ]


def info(known: Finding) -> Finding:
    return msgspec.structs.replace(known, severity=Severity.INFO)
