"""What speaks of NVLink: one link that fails is told by the card at each end and by the switch between them.

Facts (gpu-faults 4): beside an Xid 74 "the peer GPU may raise 74 too"; SXid 20034, "LTSSM Fault Up", "often follows Xid
79". So such words of one node, or of one NVLink domain, within ten seconds of each other are one fault; a card that has
fallen off the bus takes its links with it. Two links that fail for reasons of their own are further apart: at 1.5 link
faults in 40 a day on 200 nodes (`agent.simulate.parameters`) two meet on one node within ten seconds in some ten
million days.
"""

from detectors.correlation.xids import xid_codes
from detectors.model import Finding, FindingKind, Severity

LINK_SECONDS = 10.0
"""Both ends and the switch notice within milliseconds, and one kernel log has one clock. Nodes of one domain may be 2 s
apart either way (`clock_offset` speaks beyond that), and a link that trains again fails for good some seconds later."""

LINK_XIDS = frozenset({74, 136, *range(144, 151), 155})
"""Of NVIDIA's catalogue: NVLink error, link training failed, NVLink5's units, software-defined. Not 137 (a program's
privilege error), 121 (C2C, to the node's own processor), 166 (confidential computing)."""


def speaks_of_links(finding: Finding) -> bool:
    """Whether it is an Xid about NVLink and nothing else, or an NVSwitch's own word (SXid)."""
    if finding.kind is not FindingKind.XID:
        return False
    codes = xid_codes([finding])
    return set(codes) <= LINK_XIDS if codes else any(item.metric == "sxid" for item in finding.evidence)


def leads(one: Finding, other: Finding) -> bool:
    """Of two words about one fault, which is the root: the earlier; but what may be ignored (a non-fatal SXid) never
    leads what may not."""
    mild = one.severity is Severity.INFO, other.severity is Severity.INFO
    return (mild[0], one.since_ns, one.id) < (mild[1], other.since_ns, other.id)
