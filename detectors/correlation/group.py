"""The inside of one incident: its findings as a tree, the probable root on top."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from collectors.model import Subject
from detectors.correlation.link import Known, causes
from detectors.correlation.table import rank_of
from detectors.correlation.wave import Wave, wave_again
from detectors.model import Finding, FindingKind


@dataclass(slots=True)
class Group:
    """Findings that belong together. Every member but the root has one parent, its nearest cause.

    In a wave the root is the member that began first; the others that have no cause of their own hang under it.
    """

    root: str
    members: dict[str, Known] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    asides: dict[str, Known] = field(default_factory=dict)
    """`unusual`: evidence, never root, never in the way of resolving."""
    wave: Wave | None = None
    wave_ns: int = 0
    """When the latest member of the wave began."""
    opened_ns: int = 0
    _holding: set[str] = field(default_factory=set)
    _cleared_ns: int = 0

    @classmethod
    def begun_by(cls, known: Known) -> "Group":
        """A group of one."""
        group = cls(root=known.finding.id)
        group._put(known)
        return group

    def copy(self) -> "Group":
        """The same again, to be changed on its own."""
        return replace(
            self,
            members=dict(self.members),
            parents=dict(self.parents),
            asides=dict(self.asides),
            _holding=set(self._holding),
        )

    def ride(self, wave: Wave) -> None:
        """From now on this is a wave."""
        self.wave = wave
        self.wave_ns = max(k.finding.since_ns for k in self.members.values() if k.finding.kind is wave.kind)

    def attach(self, newcomer: Known, parent: str, effects: Iterable[Known] = ()) -> None:
        """Hang the newcomer under a member, and under the newcomer those of its effects that it is a nearer cause
        of."""
        own_id = newcomer.finding.id
        self._put(newcomer)
        self.parents[own_id] = self._first_alike(parent, newcomer.finding.kind)
        above: set[str] = set()
        for member in effects:
            above = above or self._above(own_id)
            member_id = member.finding.id
            if member_id in above or member_id not in self.parents:
                continue
            held_by = self.members[self.parents[member_id]]
            if rank_of(held_by.finding.kind) < rank_of(newcomer.finding.kind):
                self.parents[member_id] = own_id

    def enthrone(self, newcomer: Known) -> None:
        """Put the newcomer over the present root."""
        own_id = newcomer.finding.id
        self._put(newcomer)
        self.parents[self.root] = own_id
        self.root = own_id

    def absorb(self, other: "Group", under: str) -> None:
        """Take in another group, whose root is an effect of this one's member `under`."""
        self.members.update(other.members)
        self.parents.update(other.parents)
        self.parents[other.root] = under
        self.asides.update(other.asides)
        self.opened_ns = min(self.opened_ns, other.opened_ns)
        self._holding |= other._holding
        self._cleared_ns = max(self._cleared_ns, other._cleared_ns)

    def refresh(self, known: Known) -> None:
        """Replace a finding by its newer value."""
        if known.finding.id in self.members:
            self._put(known)
        elif known.finding.id in self.asides:
            self.asides[known.finding.id] = known

    def in_order(self) -> list[Finding]:
        """Root first, each cause before its effects, early before late; what is merely unusual last."""
        children: dict[str, list[str]] = {}
        for child, parent in self.parents.items():
            children.setdefault(parent, []).append(child)
        ordered: list[Finding] = []
        ready = [self._sort_key(self.root)]
        while ready:
            current = heapq.heappop(ready)[-1]
            ordered.append(self.members[current].finding)
            for child in children.get(current, ()):
                heapq.heappush(ready, self._sort_key(child))
        asides = sorted((known.finding for known in self.asides.values()), key=lambda f: (f.since_ns, f.id))
        return ordered + asides

    def quiet_since_ns(self) -> int | None:
        """When the last of its findings cleared; None while one holds."""
        return None if self._holding else self._cleared_ns

    def _put(self, known: Known) -> None:
        finding = known.finding
        self.opened_ns = min(self.opened_ns, finding.opened_ns) if self.members else finding.opened_ns
        self.members[finding.id] = known
        if finding.cleared_ns is None:
            self._holding.add(finding.id)
        else:
            self._holding.discard(finding.id)
            self._cleared_ns = max(self._cleared_ns, finding.cleared_ns)

    def _sort_key(self, member_id: str) -> tuple[int, int, str]:
        finding = self.members[member_id].finding
        return finding.since_ns, rank_of(finding.kind), member_id

    def _first_alike(self, parent: str, kind: FindingKind) -> str:
        """Of several of one kind the first holds the others: 10,000 ranks that time out make no chain of 10,000."""
        while self.members[parent].finding.kind is kind and parent in self.parents:
            above = self.parents[parent]
            if self.members[above].finding.kind is not kind:
                break
            parent = above
        return parent

    def _above(self, member_id: str) -> set[str]:
        above = {member_id}
        while member_id in self.parents:
            member_id = self.parents[member_id]
            above.add(member_id)
        return above


def rebuilt(root: str, findings: list[Finding], subject: Subject | None = None) -> Group:
    """The group of a stored incident after a restart: parents are found anew, in the stored causal order.

    `subject`: the incident's own, which in a wave is not its root's.
    """
    known = {finding.id: Known.of(finding) for finding in findings}
    group = Group.begun_by(known[root])
    group.asides = {i: k for i, k in known.items() if k.finding.kind is FindingKind.UNUSUAL and i != root}
    for member_id, member in known.items():
        if member_id in group.members or member_id in group.asides:
            continue
        before = group.members.values()
        cause = max((m for m in before if causes(m, member)), key=lambda m: m.order, default=None)
        effects = [m for m in before if causes(member, m)]
        group.attach(member, cause.finding.id if cause else root, effects)
    wave = wave_again(known[root].finding, subject) if subject is not None else None
    if wave is not None:
        group.ride(wave)
    return group
