"""The inside of one incident: its findings as a tree, the probable root on top."""

import heapq
from dataclasses import dataclass, field

from detectors.correlation.link import Known, causes
from detectors.correlation.table import rank_of
from detectors.model import Finding, FindingKind


@dataclass(slots=True)
class Group:
    """Findings that belong together. Every member but the root has one parent, its nearest cause."""

    root: str
    members: dict[str, Known] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    asides: dict[str, Known] = field(default_factory=dict)
    """`unusual`: evidence, never root, never in the way of resolving."""

    @classmethod
    def begun_by(cls, known: Known) -> "Group":
        """A group of one."""
        return cls(root=known.finding.id, members={known.finding.id: known})

    def cause_of(self, newcomer: Known) -> Known | None:
        """The member that is the newcomer's nearest cause: the latest in the causal order, then in time."""
        return max((m for m in self.members.values() if causes(m, newcomer)), key=lambda m: m.order, default=None)

    def led_by(self, newcomer: Known) -> bool:
        """Whether the newcomer is the cause of the present root, and so takes its place."""
        return causes(newcomer, self.members[self.root])

    def attach(self, newcomer: Known, parent: str) -> None:
        """Hang the newcomer under a member, and under the newcomer those members that it is a nearer cause of."""
        own_id = newcomer.finding.id
        self.members[own_id] = newcomer
        self.parents[own_id] = parent
        above = self._above(own_id)
        for member_id, member in self.members.items():
            if member_id in above or member_id not in self.parents:
                continue
            held_by = self.members[self.parents[member_id]]
            if rank_of(held_by.finding.kind) < rank_of(newcomer.finding.kind) and causes(newcomer, member):
                self.parents[member_id] = own_id

    def enthrone(self, newcomer: Known) -> None:
        """Put the newcomer over the present root."""
        own_id = newcomer.finding.id
        self.members[own_id] = newcomer
        self.parents[self.root] = own_id
        self.root = own_id

    def absorb(self, other: "Group", under: str) -> None:
        """Take in another group, whose root is an effect of this one's member `under`."""
        self.members.update(other.members)
        self.parents.update(other.parents)
        self.parents[other.root] = under
        self.asides.update(other.asides)

    def refresh(self, finding: Finding) -> None:
        """Replace a finding by its newer value."""
        for held in (self.members, self.asides):
            if finding.id in held:
                held[finding.id] = Known.of(finding)

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
        latest = 0
        for known in self.members.values():
            if known.finding.cleared_ns is None:
                return None
            latest = max(latest, known.finding.cleared_ns)
        return latest

    def _sort_key(self, member_id: str) -> tuple[int, int, str]:
        finding = self.members[member_id].finding
        return finding.since_ns, rank_of(finding.kind), member_id

    def _above(self, member_id: str) -> set[str]:
        above = {member_id}
        while member_id in self.parents:
            member_id = self.parents[member_id]
            above.add(member_id)
        return above


def rebuilt(root: str, findings: list[Finding]) -> Group:
    """The group of a stored incident after a restart: parents are found anew, in the stored causal order."""
    known = {finding.id: Known.of(finding) for finding in findings}
    aside = {i: k for i, k in known.items() if k.finding.kind is FindingKind.UNUSUAL and i != root}
    group = Group(root=root, members={root: known[root]}, asides=aside)
    for member_id, member in known.items():
        if member_id not in group.members and member_id not in aside:
            cause = group.cause_of(member)
            group.attach(member, cause.finding.id if cause else root)
    return group
