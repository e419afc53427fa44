"""Waves: the same condition on many things at once has a cause that they share, not one each.

A rack that loses its cooling slows down every card in it; a power feed takes its nodes away together; an upgrade, or a
detector that errs, shows in the whole fleet. Such findings become ONE incident about what they share, its members
under it: the narrowest of node, NVLink domain, rack and fleet that holds them; for errors that a program makes, the
job. Thresholds are choices, set so that faults of their own do not meet by chance: at 40 faults a day on 200 nodes, of
ten kinds, two of a kind meet in one rack of 8 nodes within five minutes about once in 2,000 days; eight of a kind
in three racks of 5,000 nodes less than once in a million windows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from collectors.model import Origin, Subject, SubjectKind
from detectors.correlation.link import SECOND_NS, Known
from detectors.correlation.nvlink import LINK_XIDS
from detectors.correlation.xids import xid_codes
from detectors.model import Finding, FindingKind, Severity

K = FindingKind


class Span(StrEnum):
    """What a wave runs over, from narrow to wide."""

    JOB = "job"
    NODE = "node"
    DOMAIN = "domain"
    RACK = "rack"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Threshold:
    """When findings of one kind are a wave: so many of them on so many nodes in so many racks, within the window."""

    findings: int
    nodes: int = 1
    racks: int = 1


CARDS = frozenset(
    {K.THERMAL_THROTTLE, K.POWER_THROTTLE, K.GPU_LOST, K.XID, K.ECC_UNCORRECTABLE, K.ECC_CORRECTABLE_STORM, K.ROW_REMAP}
)
NODES = frozenset({K.TELEMETRY_LOST, K.CLOCK_OFFSET})
JOBS = frozenset(
    {
        K.DATALOADER_STALL,
        K.HOST_STALL,
        K.TRAINING_STALL,
        K.THROUGHPUT_DROP,
        K.COLLECTIVE_HANG,
        K.COLLECTIVE_TIMEOUT,
        K.JOB_CRASH,
    }
)
"""Kinds by what is counted: cards, nodes, or jobs. Other kinds make no waves: what a model's loss does, or the slowest
rank of a job, has no cause in the building."""

CARD_THRESHOLDS = {
    Span.NODE: Threshold(3),
    Span.DOMAIN: Threshold(4, nodes=2),
    Span.RACK: Threshold(4, nodes=2),
    Span.FLEET: Threshold(8, nodes=5, racks=3),
}
LINK_THRESHOLDS: dict[Span, Threshold] = {
    span: threshold for span, threshold in CARD_THRESHOLDS.items() if span is not Span.RACK
}
"""Links run within a node or a domain; a rack of several domains shares none."""
NODE_THRESHOLDS = {
    Span.DOMAIN: Threshold(3, nodes=3),
    Span.RACK: Threshold(3, nodes=3),
    Span.FLEET: Threshold(5, nodes=5, racks=3),
}
JOB_THRESHOLDS = {Span.FLEET: Threshold(4)}
PROGRAM_THRESHOLDS = {Span.JOB: Threshold(3)}

MOST_COUNTED = 256
"""The latest findings that are looked at for a wave; the widest needs eight."""
LARGEST_SHARE = 0.75
"""Of a wave over several nodes (or racks), one node (or rack) holds at most this share: else it is that one's own."""

WINDOW_SECONDS = 120.0
"""Members begin within this of each other: two minutes hold the silence limit (30 s), counters read every 30 s, and
ticks."""
HEAT_WINDOW_SECONDS = 300.0
"""The same for heat, which reaches the cards of a rack one after the other."""

_SUBJECT = {
    Span.JOB: SubjectKind.JOB,
    Span.NODE: SubjectKind.NODE,
    Span.DOMAIN: SubjectKind.SWITCH,
    Span.RACK: SubjectKind.RACK,
    Span.FLEET: SubjectKind.CLUSTER,
}
_WIDTH = {span: width for width, span in enumerate(Span)}
_SPAN = {kind: span for span, kind in _SUBJECT.items()}
_NAME = {Span.JOB: "job", Span.NODE: "node", Span.DOMAIN: "nvlink_domain", Span.RACK: "rack"}


@dataclass(frozen=True, slots=True)
class Wave:
    """One condition over one thing."""

    span: Span
    subject: Subject
    kind: FindingKind
    mark: str
    origin: Origin
    name: str
    """How people call the subject."""

    @property
    def names(self) -> dict[str, str]:
        """As `Finding.names`, of the subject."""
        return {_NAME[self.span]: self.name} if self.span in _NAME else {}

    @property
    def width(self) -> int:
        """Wider waves take in narrower ones."""
        return _WIDTH[self.span]

    @property
    def window_ns(self) -> int:
        """How far apart its members may begin."""
        seconds = HEAT_WINDOW_SECONDS if self.kind is K.THERMAL_THROTTLE else WINDOW_SECONDS
        return int(seconds * SECOND_NS)

    @property
    def threshold(self) -> Threshold:
        """What makes it one."""
        return _thresholds(self.kind, self.mark)[self.span]


@dataclass(slots=True)
class Waves:
    """Counts roots of unresolved incidents by what they share. Holds nothing that is over."""

    _members: dict[Wave, dict[str, Known]] = field(default_factory=dict)
    """Roots that would belong to a wave, whether it is one or not."""
    _of: dict[str, tuple[Wave, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._of)

    def note(self, root: Known, wider_than: Wave | None = None) -> None:
        """A finding has opened an incident of its own, or joined a wave, and may be part of a wider one."""
        self.drop(root.finding.id)
        least = wider_than.width if wider_than is not None else -1
        waves = tuple(wave for wave in waves_of(root) if wave.width > least)
        if waves:
            self._of[root.finding.id] = waves
            for wave in waves:
                self._members.setdefault(wave, {})[root.finding.id] = root

    def drop(self, finding_id: str) -> None:
        """It is a root no more, or its incident is over."""
        for wave in self._of.pop(finding_id, ()):
            members = self._members[wave]
            del members[finding_id]
            if not members:
                del self._members[wave]

    def made_by(self, newcomer: Known) -> tuple[Wave, list[str]] | None:
        """The widest wave that a newcomer completes, and the roots in it, the first to begin first."""
        for wave in sorted(self._of.get(newcomer.finding.id, ()), key=lambda w: -w.width):
            latest = islice(reversed(self._members[wave].values()), MOST_COUNTED)
            near = [m for m in latest if _within(m, newcomer, wave.window_ns)]
            if len(near) >= wave.threshold.findings and _spread(near, wave.threshold):
                near.sort(key=lambda m: (m.finding.since_ns, m.finding.id))
                return wave, [m.finding.id for m in near]
        return None


def waves_of(known: Known) -> Iterator[Wave]:
    """The waves that a finding would be part of, wherever it knows where it stands; narrow ones first."""
    finding = known.finding
    if finding.severity is Severity.INFO or finding.kind not in CARDS | NODES | JOBS:
        return
    if finding.kind in NODES and finding.subject.kind is not SubjectKind.NODE:
        return
    mark = _mark(finding)
    for span in _thresholds(finding.kind, mark):
        subject, name = _shared(known, span)
        if subject is not None:
            yield Wave(span, subject, finding.kind, mark, finding.origin, name)


def wave_again(root: Finding, subject: Subject) -> Wave | None:
    """The wave of a stored incident, whose subject is not its root's; None where it is none."""
    if subject == root.subject or subject.kind not in _SPAN:
        return None
    found = (wave for wave in waves_of(Known.of(root)) if wave.subject == subject)
    return next(found, None)


def wave_words(wave: Wave, members: Iterable[Finding]) -> str:
    """What a wave is, as a title says it: how many, where, and what it points to."""
    findings = list(members)
    nodes = {name for finding in findings if (name := finding.names.get("node"))}
    cards = wave.kind in CARDS
    jobs = {name for finding in findings if (name := finding.names.get("job"))}
    if wave.kind in JOBS:
        count = f"{len(jobs)} jobs"
    elif cards:
        count = f"{len({f.subject for f in findings if f.subject.kind is SubjectKind.GPU})} GPUs"
        if wave.span is not Span.NODE:
            count += f" on {len(nodes)} node{'s' * (len(nodes) != 1)}"
    else:
        count = f"{len({finding.subject for finding in findings})} nodes"
    return f"{count} at once; {suspicion(wave)}"


def where_words(wave: Wave) -> str:
    """The place of a wave in words."""
    if wave.span is Span.FLEET:
        return f"the fleet of cluster {wave.subject.cluster}"
    return f"{'NVLink domain' if wave.span is Span.DOMAIN else wave.span.value} {wave.name}"


def suspicion(wave: Wave) -> str:
    """What so many at once point to; a suspicion in words, for a person to check."""
    place = where_words(wave)
    if wave.span is Span.JOB:
        return "one code runs on every rank: suspect the job itself"
    if wave.span is Span.FLEET:
        if wave.kind in JOBS:
            return "suspect what the jobs share (storage, network), an upgrade, or the detector"
        if wave.kind is K.CLOCK_OFFSET:
            return "suspect the time service, or the agent's own clock"
        return "suspect an upgrade, the facility, or the detector"
    if wave.kind is K.THERMAL_THROTTLE:
        return f"suspect the cooling of {place}"
    if wave.kind is K.POWER_THROTTLE:
        return f"suspect the power feed or a power cap of {place}"
    if wave.kind is K.TELEMETRY_LOST:
        return f"suspect the power feed or the network of {place}"
    if wave.kind is K.CLOCK_OFFSET:
        return f"suspect the time service of {place}"
    if wave.span is Span.NODE and _of_links(wave.mark):
        return f"suspect the NVSwitch or the baseboard of {place}"
    if wave.span is Span.NODE:
        return f"suspect the baseboard, power supply or driver of {place}"
    if wave.span is Span.DOMAIN:
        return f"suspect the NVLink switches or the power feed of {place}"
    return f"suspect the power feed or the cooling of {place}"


def _shared(known: Known, span: Span) -> tuple[Subject | None, str]:
    finding, place = known.finding, known.place
    cluster = finding.subject.cluster
    if span is Span.FLEET:
        return Subject(cluster, SubjectKind.CLUSTER, cluster), cluster
    if span in (Span.RACK, Span.DOMAIN):
        name = finding.names.get(_NAME[span])
        return (Subject(cluster, _SUBJECT[span], name), name) if name else (None, "")
    held = place.nodes if span is Span.NODE else place.jobs
    subject = min(held) if len(held) == 1 else None
    return subject, finding.names.get(_NAME[span], subject.id if subject else "")


def _thresholds(kind: FindingKind, mark: str) -> dict[Span, Threshold]:
    if kind is K.XID and mark == "program":
        return PROGRAM_THRESHOLDS
    if kind is K.XID and _of_links(mark):
        return LINK_THRESHOLDS
    return CARD_THRESHOLDS if kind in CARDS else NODE_THRESHOLDS if kind in NODES else JOB_THRESHOLDS


def _mark(finding: Finding) -> str:
    """Tells apart what must not be counted together: Xids by code, and those that a program causes."""
    if finding.kind is not K.XID:
        return ""
    codes = xid_codes([finding])
    if codes and all(code in XID_CATALOGUE and XID_CATALOGUE[code].domain is XidDomain.APPLICATION for code in codes):
        return "program"
    return finding.mark or ",".join(map(str, codes))


def _of_links(mark: str) -> bool:
    return mark.isdecimal() and int(mark) in LINK_XIDS


def _within(one: Known, other: Known, window_ns: int) -> bool:
    return abs(one.finding.since_ns - other.finding.since_ns) <= window_ns


def _spread(members: list[Known], threshold: Threshold) -> bool:
    """Whether they are enough different things: a job or a node that says a thing twice is one."""
    if members[0].finding.kind in JOBS:
        jobs = {job for m in members for job in m.place.jobs}
        return len(jobs) >= threshold.findings
    subjects = {m.finding.subject: m for m in members}
    if len(subjects) < threshold.findings:
        return False
    nodes = Counter(min(m.place.nodes, default=m.finding.subject) for m in subjects.values())
    racks = Counter(
        m.finding.names.get("rack") or str(min(m.place.nodes, default=m.finding.subject)) for m in subjects.values()
    )
    return _evenly(nodes, threshold.nodes) and _evenly(racks, threshold.racks)


def _evenly(counted: Counter[Subject] | Counter[str], least: int) -> bool:
    """At least so many, and where it is several none that holds nearly all."""
    if len(counted) < least:
        return False
    return least == 1 or max(counted.values()) <= LARGEST_SHARE * sum(counted.values())
