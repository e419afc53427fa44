"""The findings that are open: opinions in, findings out. Saying an open condition again adds evidence, no finding."""

from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from collectors.model import Origin, Subject, SubjectKind
from detectors.contract import Clearing, Opening, Opinion
from detectors.inventory import UNKNOWN
from detectors.model import Finding, FindingKind, Inventory
from detectors.model.namespaces import namespaces_at
from detectors.recurrence import ANEW, Recoveries

MOST_EVIDENCE = 12
Key = tuple[FindingKind, Subject, str]


def finding_id(kind: FindingKind, subject: Subject, mark: str, opened_ns: int) -> str:
    """Deterministic, so that a replay, and an agent that was killed and reads its log again, give the same id."""
    digest = sha256(f"{kind}|{subject}|{mark}|{opened_ns}".encode()).digest()
    return "F-" + b32encode(digest[:10]).decode().lower()[:12]


@dataclass(slots=True)
class Book:
    """All open findings of one space (one origin and cluster)."""

    origin: Origin
    _open: dict[Key, Finding] = field(default_factory=dict)
    _of_kind: dict[FindingKind, dict[Key, None]] = field(default_factory=dict)
    _count: dict[Subject, int] = field(default_factory=dict)
    """Open findings by subject and by related subject."""
    recoveries: Recoveries = field(default_factory=Recoveries)

    def __len__(self) -> int:
        return len(self._open)

    def open_findings(self) -> list[Finding]:
        """Every finding that is open now, oldest first."""
        return sorted(self._open.values(), key=lambda f: (f.opened_ns, f.id))

    def of_kind(self, kind: FindingKind) -> list[Finding]:
        """Open findings of one kind, in the order in which they opened."""
        return [self._open[key] for key in self._of_kind.get(kind, ())]

    def is_open(self, kind: FindingKind, subject: Subject, mark: str = "") -> bool:
        """Whether this very condition is open."""
        return (kind, subject, mark) in self._open

    def touches(self, subject: Subject) -> bool:
        """Whether any open finding is about this subject or relates to it."""
        return subject in self._count

    def touched(self) -> Iterable[Subject]:
        """Every subject that some open finding is about or relates to, once."""
        return self._count.keys()

    def restore(self, findings: Iterable[Finding]) -> None:
        """Take over findings that were open before a restart."""
        for finding in findings:
            self._put((finding.kind, finding.subject, finding.mark), finding)

    def apply(self, opinions: Iterable[Opinion], inventory: Inventory, now_ns: int) -> list[Finding]:
        """Findings that opened, cleared or gained evidence, in the order in which they were said."""
        changed: dict[str, Finding] = {}
        for opinion in opinions:
            key = (opinion.kind, opinion.subject, opinion.mark)
            finding = self._open.get(key)
            if isinstance(opinion, Opening):
                if finding is not None and self.recoveries.anew(finding, opinion, inventory):
                    changed[finding.id] = self._cleared(key, finding, ANEW, now_ns)
                    finding = None
                if finding is None:
                    new = self._opened(opinion, inventory, now_ns)
                else:
                    new = _grown(finding, opinion, inventory)
                if new is not finding:
                    self._put(key, new)
                    changed[new.id] = new
            elif finding is not None:
                changed[finding.id] = self._cleared(key, finding, opinion.because, now_ns)
        return list(changed.values())

    def _cleared(self, key: Key, finding: Finding, because: str, now_ns: int) -> Finding:
        self._drop(key)
        return msgspec.structs.replace(finding, cleared_ns=now_ns, cleared_because=because)

    def clear_about(self, subject: Subject, because: str) -> list[Clearing]:
        """What to say to clear everything that is open about one subject: it is gone."""
        return [Clearing(kind, about, because, mark) for kind, about, mark in self._open if about == subject]

    def _opened(self, opening: Opening, inventory: Inventory, now_ns: int) -> Finding:
        about = inventory.names(opening.subject)
        for related in opening.related:
            for name, value in inventory.names(related).items():
                if name in ("node", "job"):
                    about.setdefault(name, value)
        return Finding(
            id=finding_id(opening.kind, opening.subject, opening.mark, now_ns),
            kind=opening.kind,
            subject=opening.subject,
            severity=opening.severity,
            opened_ns=now_ns,
            since_ns=min(opening.since_ns, now_ns),
            confidence=opening.confidence,
            summary=opening.summary,
            origin=self.origin,
            evidence=opening.evidence[:MOST_EVIDENCE],
            related=_relations(opening, inventory),
            names=about,
            namespaces=_namespaces(opening, inventory, min(opening.since_ns, now_ns)),
            mark=opening.mark,
        )

    def _put(self, key: Key, finding: Finding) -> None:
        if key not in self._open:
            for subject in {finding.subject, *finding.related}:
                self._count[subject] = self._count.get(subject, 0) + 1
            self._of_kind.setdefault(finding.kind, {})[key] = None
        self._open[key] = finding

    def _drop(self, key: Key) -> None:
        finding = self._open.pop(key)
        del self._of_kind[finding.kind][key]
        for subject in {finding.subject, *finding.related}:
            self._count[subject] -= 1
            if not self._count[subject]:
                del self._count[subject]


def _relations(opening: Opening, inventory: Inventory) -> tuple[Subject, ...]:
    """What the detector said, and the node and job that the inventory places the subject in."""
    found = [*opening.related]
    for subject in (inventory.node_of(opening.subject), inventory.job_of(opening.subject)):
        if subject is not None and subject != opening.subject and subject not in found:
            found.append(subject)
    return tuple(found)


def _namespaces(opening: Opening, inventory: Inventory, since_ns: int | None = None) -> tuple[str, ...]:
    """Whose pods and jobs it concerns: its subject's, and those of the jobs and pods that it names beside it."""
    found = set(namespaces_at(inventory, opening.subject, since_ns))
    for related in _relations(opening, inventory):
        if related.kind in _NAMED:
            found.update(namespaces_at(inventory, related))
    return tuple(sorted(found)) if found != {UNKNOWN} else ()


def _grown(finding: Finding, opening: Opening, inventory: Inventory) -> Finding:
    """The finding with what is new in the opening: evidence of a source or metric that it did not have."""
    have = {(e.source, e.metric) for e in finding.evidence}
    new = [e for e in opening.evidence if (e.source, e.metric) not in have]
    worse = _RANK[opening.severity] > _RANK[finding.severity]
    if (not new or len(finding.evidence) >= MOST_EVIDENCE) and not worse:
        return finding
    return msgspec.structs.replace(
        finding,
        evidence=(*finding.evidence, *new)[:MOST_EVIDENCE],
        namespaces=_more(finding.namespaces, opening, inventory),
        severity=opening.severity if worse else finding.severity,
    )


def _more(held: tuple[str, ...], opening: Opening, inventory: Inventory) -> tuple[str, ...]:
    """Whoever it concerns by now too. What was nobody's when it opened stays so: its evidence is not the next one's."""
    return tuple(sorted({*held, *_namespaces(opening, inventory)})) if held else held


_NAMED = frozenset({SubjectKind.JOB, SubjectKind.POD, SubjectKind.RANK})
_RANK = {"info": 0, "warning": 1, "critical": 2}
