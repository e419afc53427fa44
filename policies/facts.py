"""What a policy may ask about an incident: the variables of its conditions, and whom its actions would touch."""

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE
from collectors.model import LIVE_ONLY, Origin, Subject, SubjectKind
from detectors.correlation import LAYERS, xid_codes
from detectors.model import Finding, FindingKind, Incident, Inventory, Layer
from policies.cel import CelType, Plain


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of conditions."""

    type: CelType
    help: str


VARIABLES: dict[str, Variable] = {
    "incident.kind": Variable(CelType.STRING, "Kind of the probable root, `xid` for example."),
    "incident.severity": Variable(CelType.STRING, "`info`, `warning` or `critical`: the worst of its findings."),
    "incident.kinds": Variable(CelType.STRINGS, "Kinds of all its findings, root first."),
    "incident.age_seconds": Variable(CelType.INT, "Whole seconds since the incident opened."),
    "incident.confidence": Variable(CelType.DOUBLE, "Confidence of the root finding, 0.0 to 1.0."),
    "subject.kind": Variable(CelType.STRING, "What the root is about: `gpu`, `node`, `job`, `rank` ..."),
    "subject.names": Variable(CelType.NAMES, "Names of the root where known: `node`, `gpu` (index), `rank`, `job`."),
    "node": Variable(CelType.STRING, "Name of the root's node; empty where unknown."),
    "job": Variable(CelType.STRING, "Name of the job that it touches; empty where unknown."),
    "xid.codes": Variable(CelType.INTS, "Xid codes in the evidence of the incident's findings, ascending."),
    "xid.actions": Variable(
        CelType.STRINGS, "NVIDIA's own immediate actions for these codes (`RESET_GPU`, `RESTART_BM` ...), catalogued."
    ),
    "sources": Variable(
        CelType.STRINGS, "Independent sources that the root's side of the incident rests on (see guard G15)."
    ),
}
"""Every name that a condition may use. docs/policies.md lists the same; a test holds the two together."""

FAMILIES: dict[str, str] = {
    "nvml": "driver_library",
    "dcgm": "driver_library",
    "collector": "driver_library",
    "kernel_log": "kernel_log",
    "training_log": "training_log",
}
"""Which sources are independent of one another. DCGM reads through the same driver library as NVML, and what the
collector itself reports about a card is that the library did not answer: together they are one witness."""

WITNESS: dict[str, str] = {
    "driver_library": "by NVML",
    "kernel_log": "in the kernel log",
    "training_log": "in the training log",
}
"""Families of sources, as a sentence names them after "seen"."""

HARDWARE_SIDE = frozenset({Layer.HARDWARE, Layer.DRIVER, Layer.LINK})

INTERRUPTIONS = frozenset(
    {
        FindingKind.RANK_CRASH,
        FindingKind.JOB_CRASH,
        FindingKind.COLLECTIVE_HANG,
        FindingKind.COLLECTIVE_TIMEOUT,
        FindingKind.TRAINING_STALL,
    }
)
"""Findings that say that a job no longer makes steps: only then has a restart something to mend."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one incident at the time of a decision."""

    incident: Incident
    findings: tuple[Finding, ...]
    """The incident's own, root first."""
    node: Subject | None
    node_name: str
    job: Subject | None
    job_name: str
    interrupted: bool
    """Whether the job no longer makes steps."""
    families: tuple[str, ...]
    """Independent sources, sorted."""
    now_ns: int
    as_live: bool = True
    """Whether the agent takes the incident's origin for live: only then may anything be done (G2)."""

    @property
    def root(self) -> Finding | None:
        """The root finding; None where the caller did not have it."""
        return self.findings[0] if self.findings and self.findings[0].id == self.incident.root else None

    @property
    def age_seconds(self) -> int:
        """Whole seconds since the incident opened, never below 0."""
        return max(0, (self.now_ns - self.incident.opened_ns) // 1_000_000_000)

    def values(self) -> dict[str, Plain]:
        """The variables of `VARIABLES`, as builtins."""
        codes = xid_codes(self.findings)
        actions = {XID_CATALOGUE[code].nvidia_action for code in codes if code in XID_CATALOGUE}
        return {
            "incident.kind": self.incident.kind.value,
            "incident.severity": self.incident.severity.value,
            "incident.kinds": [kind.value for kind in self.incident.kinds],
            "incident.age_seconds": self.age_seconds,
            "incident.confidence": self.root.confidence if self.root else 0.0,
            "subject.kind": self.incident.subject.kind.value,
            "subject.names": dict(self.incident.names),
            "node": self.node_name,
            "job": self.job_name,
            "xid.codes": list(codes),
            "xid.actions": sorted(action for action in actions if action),
            "sources": list(self.families),
        }


def gather(
    incident: Incident,
    findings: Sequence[Finding],
    inventory: Inventory,
    now_ns: int,
    as_live: frozenset[Origin] = LIVE_ONLY,
) -> Facts:
    """Read the facts of one incident. `findings` may hold those of other incidents too."""
    held = {finding.id: finding for finding in findings}
    own = tuple(held[finding_id] for finding_id in incident.findings if finding_id in held)
    node = _first(own, incident, SubjectKind.NODE) or inventory.node_of(incident.subject)
    job = inventory.job_of(incident.subject) or _first(own, incident, SubjectKind.JOB)
    return Facts(
        incident=incident,
        findings=own,
        node=node,
        node_name=_name(inventory, node, incident.names.get("node")),
        job=job,
        job_name=_name(inventory, job, incident.names.get("job")),
        interrupted=bool(INTERRUPTIONS & set(incident.kinds)),
        families=_families(own, incident),
        now_ns=now_ns,
        as_live=incident.origin in as_live,
    )


def _first(own: tuple[Finding, ...], incident: Incident, kind: SubjectKind) -> Subject | None:
    """The subject of a kind that the root names; for a job also one that a consequence names.

    A node is taken from the root alone: a consequence may show anywhere, and the fault sits where the root is.
    """
    if incident.subject.kind is kind:
        return incident.subject
    for finding in own[:1] if kind is SubjectKind.NODE else own:
        for subject in (finding.subject, *finding.related):
            if subject.kind is kind:
                return subject
    return None


def _name(inventory: Inventory, subject: Subject | None, told: str | None) -> str:
    if subject is None:
        return ""
    known = inventory.name_of(subject)
    return told if told and known == subject.id else known


def _families(own: tuple[Finding, ...], incident: Incident) -> tuple[str, ...]:
    """Sources of the root's side. Where the root is hardware only hardware findings bear witness to it: a job that
    died shows that a job died, not of what."""
    hardware = LAYERS[incident.kind] in HARDWARE_SIDE
    witnesses = [finding for finding in own if not hardware or LAYERS[finding.kind] in HARDWARE_SIDE]
    return tuple(
        sorted({FAMILIES[e.source] for finding in witnesses for e in finding.evidence if e.source in FAMILIES})
    )
