"""Code or machine, and whom to leave out: what the faults of a job's attempts say together, and what would settle it.

The rules are few, so that they can be read:

- a fault of hardware (its kind, or an Xid of the catalogue's hardware, link, firmware or driver domain) is the
  machine's;
- a fault that applications bring about (an application Xid, out of memory, an exception) is the code's once the same
  fault has come on different nodes;
- everything else cannot be told yet. A rank that is killed without a word, or the same exception on the same node, has
  either cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.jobs.record import AttemptRecord, Fault
from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from detectors.model import FindingKind

K = FindingKind
MACHINE_KINDS = frozenset({K.ECC_UNCORRECTABLE, K.ECC_CORRECTABLE_STORM, K.ROW_REMAP, K.GPU_LOST, K.THERMAL_THROTTLE})
APPLICATION_KINDS = frozenset({K.JOB_CRASH, K.GPU_OUT_OF_MEMORY, K.GPU_MEMORY_LEAK, K.LOSS_NAN, K.LOSS_DIVERGENCE})
MACHINE_DOMAINS = frozenset({XidDomain.HARDWARE, XidDomain.LINK, XidDomain.FIRMWARE, XidDomain.DRIVER})


class Blame(StrEnum):
    """Whose fault it is."""

    CODE = "code"
    MACHINE = "machine"
    UNKNOWN = "cannot tell yet"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A node to run without."""

    node: str
    """Name, as the inventory knows it."""
    certain: bool
    because: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt's fault says in the light of those before it."""

    blame: Blame
    because: str
    settled_by: str
    """What would tell, where nothing tells yet; empty otherwise."""
    same_as_before: bool | None
    """Whether the attempt before died of the same cause; None where either cause is unknown."""
    suspects: tuple[Suspect, ...]


def judge(died: AttemptRecord, earlier: Sequence[AttemptRecord]) -> Verdict:
    """`earlier`: the attempts before it, of this job and of earlier runs of its name, newest first."""
    fault = died.fault
    if fault is None:
        text = "nothing was found that it died of"
        return Verdict(Blame.UNKNOWN, text, "its own last output, or its pods' exit codes, would tell", None, ())
    faults = [(attempt, attempt.fault) for attempt in earlier if attempt.fault is not None and attempt.fault.deadly]
    before = faults[0][1] if faults else None
    same = None if before is None else is_same(fault, before)
    alike = [(attempt, other) for attempt, other in faults if is_same(fault, other)]
    here = place(died, fault)
    if is_machine(fault):
        suspect = Suspect(here, True, f"{words_of(fault)} there") if here else None
        because = f"{words_of(fault)} is a fault of hardware or of its driver"
        return Verdict(Blame.MACHINE, because, "", same, (suspect,) if suspect else ())
    places = {place(attempt, other) for attempt, other in alike} | {here}
    known = sorted(name for name in places if name)
    if is_application(fault) and len(known) > 1:
        because = f"the same fault ({words_of(fault)}) came on different nodes: {', '.join(known[:4])}"
        return Verdict(Blame.CODE, because, "", same, ())
    again = sum(1 for attempt, other in alike if here and place(attempt, other) == here)
    suspects: tuple[Suspect, ...] = ()
    if again and len(died.nodes) > 1:
        suspects = (Suspect(here, False, f"{words_of(fault)} there {again + 1} times, and the job had other nodes"),)
    other = f"on nodes other than {here}" if here and len(died.nodes) > 1 else "on other nodes"
    return Verdict(Blame.UNKNOWN, _why_unknown(fault, again, here), _settled_by(fault, other), same, suspects)


def is_same(one: Fault, other: Fault) -> bool:
    """Whether two faults have the same cause as far as the records tell: kind, Xids, exception."""
    return (one.kind, one.codes, one.signature) == (other.kind, other.codes, other.signature)


def is_machine(fault: Fault) -> bool:
    """Whether its root is a fault of hardware."""
    domains = {XID_CATALOGUE[code].domain for code in fault.codes if code in XID_CATALOGUE}
    if fault.kind is K.XID:
        return bool(domains & MACHINE_DOMAINS)
    return fault.kind in MACHINE_KINDS


def is_application(fault: Fault) -> bool:
    """Whether applications bring such faults about."""
    return fault.kind in APPLICATION_KINDS or (fault.kind is K.XID and not is_machine(fault))


def place(attempt: AttemptRecord, fault: Fault) -> str:
    """The node of a fault by name: its own, or the only one that the attempt ran on; empty where unknown."""
    if "node" in fault.names:
        return fault.names["node"]
    return attempt.nodes[0].name if len(attempt.nodes) == 1 else ""


def words_of(fault: Fault) -> str:
    """`Xid 79`, `rank crash`, `job crash (KeyError)`."""
    if fault.codes and fault.kind is K.XID:
        return "Xid " + ", ".join(str(code) for code in fault.codes)
    name = fault.kind.value.replace("_", " ").replace("gpu", "GPU")
    return f"{name} ({fault.signature})" if fault.signature else name


def _why_unknown(fault: Fault, again: int, here: str) -> str:
    if again:
        return f"{words_of(fault)} came {again + 1} times on {here}, and on no other node"
    if is_application(fault):
        return f"{words_of(fault)} came once, and either cause brings it about"
    return f"{words_of(fault)} says that it died, not why"


def _settled_by(fault: Fault, where: str) -> str:
    if is_application(fault):
        return f"a run {where}: if the same fault comes again it is the code, if not the machine"
    if fault.kind in (K.RANK_CRASH, K.JOB_CRASH):
        return f"the rank's exit code or its node's kernel log (an OOM kill, an Xid); or a run {where}"
    return f"what the kernel log and the network say of the node that the others waited for; or a run {where}"
