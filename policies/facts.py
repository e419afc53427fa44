"""What is known about an incident when it is decided: the values of conditions, and whom actions would touch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE
from collectors.model import LIVE_ONLY, Origin, Subject, SubjectKind
from detectors.correlation import LAYERS, xid_codes
from detectors.model import Finding, FindingKind, Incident, Inventory, Layer
from policies.cel import Plain
from policies.cluster_view import ClusterView, NodeView, Owner, PodView

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


WAVES = frozenset({SubjectKind.RACK, SubjectKind.SWITCH, SubjectKind.CLUSTER})
"""Subjects of incidents that are about many nodes at once."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU that the root's side of an incident is about."""

    uuid: str
    index: str = ""
    pci_bus_id: str = ""
    pod: str = ""
    """uid of the pod that holds it, as its collector saw."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node that the root's kind of fault shows on."""

    subject: Subject
    name: str
    rack: str = ""
    domain: str = ""
    pool: str = ""
    since_ns: int = 0
    families: tuple[str, ...] = ()
    """Independent sources that bear witness there, sorted."""
    cards: tuple[Card, ...] = ()
    silent: str = ""
    """Why its telemetry is missing; empty where it comes in."""


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
    """Whether the job was interrupted since the incident opened."""
    families: tuple[str, ...]
    """Independent sources, sorted."""
    now_ns: int
    places: tuple[Place, ...] = ()
    """Where the root's kind of fault shows, the first hit first: one node, or in a wave many."""
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

    @property
    def wave(self) -> bool:
        """Whether it is one incident about many nodes."""
        return self.incident.subject.kind in WAVES

    @property
    def interrupted_ns(self) -> int:
        """When the job was last interrupted, Unix ns; 0: it was not."""
        return max((f.opened_ns for f in self.findings if f.kind in INTERRUPTIONS), default=0)

    @property
    def stands_still(self) -> bool:
        """Whether the job still does not make steps: an interruption that has cleared needs no restart any more."""
        return any(f.kind in INTERRUPTIONS and f.cleared_ns is None for f in self.findings)

    @property
    def job_uid(self) -> str:
        """uid of the job's owner: its key without the attempt."""
        if self.job is None:
            return ""
        owner, slash, _ = self.job.id.rpartition("/")
        return owner if slash else self.job.id

    def values(self, view: ClusterView | None = None, attempts: int = 0) -> dict[str, Plain]:
        """The variables of `VARIABLES`, as builtins."""
        codes = xid_codes(self.findings)
        actions = {XID_CATALOGUE[code].nvidia_action for code in codes if code in XID_CATALOGUE}
        place = self.places[0] if self.places else None
        node = view.node(self.node.id) if view is not None and self.node is not None else None
        pods = gang(view, self) if view is not None else ()
        owner = pods[0].owner if pods else None
        return {
            "incident.kind": self.incident.kind.value,
            "incident.severity": self.incident.severity.value,
            "incident.kinds": [kind.value for kind in self.incident.kinds],
            "incident.age_seconds": self.age_seconds,
            "incident.confidence": self.root.confidence if self.root else 0.0,
            "incident.reopened": self.incident.reopened,
            "incident.wave": self.wave,
            "incident.nodes": len(self.places),
            "subject.kind": self.incident.subject.kind.value,
            "subject.names": dict(self.incident.names),
            "node": self.node_name,
            "node.labels": dict(node.labels) if node else {},
            "node.pool": (node.pool if node else "") or (place.pool if place else ""),
            "node.rack": (node.rack if node else "") or (place.rack if place else ""),
            "node.domain": (node.domain if node else "") or (place.domain if place else ""),
            "node.gpus": node.gpus if node else 0,
            "node.ready": node.ready if node else True,
            "node.cordoned": node.unschedulable if node else False,
            "node.held_by": node.held_by if node else "",
            "job": self.job_name,
            "job.namespace": pods[0].namespace if pods else "",
            "job.kind": owner.kind if owner else "",
            "job.labels": dict(pods[0].labels) if pods else {},
            "job.pods": len(pods),
            "job.gpus": sum(pod.gpus for pod in pods),
            "job.interrupted": self.stands_still,
            "attempts": attempts,
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
    node_name = _name(inventory, node, incident.names.get("node"))
    return Facts(
        incident=incident,
        findings=own,
        node=node,
        node_name=node_name,
        job=job,
        job_name=_name(inventory, job, incident.names.get("job")),
        interrupted=bool(INTERRUPTIONS & set(incident.kinds)),
        families=_families(own, incident),
        now_ns=now_ns,
        places=_places(own, incident, inventory, node, node_name),
        as_live=incident.origin in as_live,
    )


def gang(view: ClusterView, facts: Facts) -> tuple[PodView, ...]:
    """The GPU pods of the job that an incident touches, by namespace and name; none where no job is known.

    By the uid of its owner; else by the pod that holds the card; else, on the root's node, by the owner's name.
    """
    if facts.job is None:
        return ()
    found = tuple(view.pods_of(facts.job_uid))
    if not found and facts.node is not None:
        owner = _owner_on(view, facts)
        found = tuple(view.pods_of(owner.uid)) if owner is not None else ()
    return tuple(sorted(found, key=lambda pod: (pod.namespace, pod.name, pod.uid)))


def node_of(view: ClusterView, place: Place) -> NodeView | None:
    """The node as the cluster has it, by uid only: a node made anew under the same name is another one."""
    return view.node(place.subject.id)


def _owner_on(view: ClusterView, facts: Facts) -> Owner | None:
    cards = {card.pod for place in facts.places for card in place.cards if card.pod}
    held = [pod for pod in view.pods_on(facts.node_name) if pod.gpus and pod.owner is not None]
    by_card = [pod.owner for pod in held if pod.uid in cards]
    named = {pod.owner.uid: pod.owner for pod in held if pod.owner is not None and pod.owner.name == facts.job_name}
    if by_card:
        return by_card[0]
    return next(iter(named.values())) if len(named) == 1 else None


def _places(
    own: tuple[Finding, ...], incident: Incident, inventory: Inventory, node: Subject | None, node_name: str
) -> tuple[Place, ...]:
    """The nodes that the root's kind shows on, with the cards there and the sources that bear witness there."""
    hardware = LAYERS[incident.kind] in HARDWARE_SIDE
    by_node: dict[Subject, list[Finding]] = {}
    silent: dict[Subject | None, str] = {}
    for finding in own:
        if finding.kind is FindingKind.TELEMETRY_LOST and finding.cleared_ns is None:
            silent.setdefault(_node_of(finding, inventory), finding.summary)
        if not hardware or LAYERS[finding.kind] in HARDWARE_SIDE:
            where = _node_of(finding, inventory)
            if where is not None:
                by_node.setdefault(where, []).append(finding)
    if incident.subject.kind not in WAVES:
        if node is None:
            return ()
        return (_place(node, node_name, by_node.get(node, []), incident, inventory, silent),)
    hit = {where: found for where, found in by_node.items() if any(f.kind is incident.kind for f in found)}
    places = [
        _place(where, _name(inventory, where, found[0].names.get("node")), found, incident, inventory, silent)
        for where, found in hit.items()
    ]
    return tuple(sorted(places, key=lambda place: (place.since_ns, place.name, place.subject.id)))


def _place(
    node: Subject,
    name: str,
    found: list[Finding],
    incident: Incident,
    inventory: Inventory,
    silent: Mapping[Subject | None, str],
) -> Place:
    cards: dict[str, Card] = {}
    for finding in found:
        subject = finding.subject
        if subject.kind is SubjectKind.GPU and finding.cleared_ns is None and subject.id not in cards:
            told = {key: inventory.attribute(subject, key) or "" for key in ("index", "pci_bus_id", "pod_uid")}
            cards[subject.id] = Card(subject.id, told["index"], told["pci_bus_id"], told["pod_uid"])
    return Place(
        subject=node,
        name=name,
        rack=inventory.laid_out(node, "rack") or "",
        domain=inventory.laid_out(node, "nvlink_domain") or "",
        pool=inventory.laid_out(node, "pool") or "",
        since_ns=min((f.since_ns for f in found if f.kind is incident.kind), default=incident.since_ns),
        families=_seen_by(found),
        cards=tuple(cards[uuid] for uuid in sorted(cards)),
        silent=silent.get(node, ""),
    )


def _node_of(finding: Finding, inventory: Inventory) -> Subject | None:
    for subject in (finding.subject, *finding.related):
        if subject.kind is SubjectKind.NODE:
            return subject
    return inventory.node_of(finding.subject)


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
    return _seen_by(witnesses)


def _seen_by(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(sorted({FAMILIES[e.source] for f in findings for e in f.evidence if e.source in FAMILIES}))
