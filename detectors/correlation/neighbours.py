"""Who is near whom: the indexes over all unresolved incidents, and the questions that a newcomer asks of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from collectors.model import Subject
from detectors.correlation.index import MOST_ASKED, Index
from detectors.correlation.link import Known, causes, same_again
from detectors.correlation.place import share
from detectors.correlation.table import EDGE, Scope, rank_of
from detectors.model import FindingKind

MOST_REHUNG = 8
"""Effects of one kind at one place that are hung under a nearer cause: it only sorts the list that people see."""

_FOLLOWED = (FindingKind.RANK_CRASH, FindingKind.JOB_CRASH, FindingKind.COLLECTIVE_TIMEOUT)
"""What an Xid 45 tidies up after (`detectors.correlation.link`): there is no edge, time and place decide."""


_STEPS_CLEAR = (FindingKind.JOB_CRASH, FindingKind.COLLECTIVE_TIMEOUT)
"""What clears when its job makes steps again."""

_Asked = dict[int, list[tuple[int, Scope]]]
"""By a kind's rank: the ranks of other kinds, with the edge's scope. Ranks, because enums are slow as keys."""


def _asked() -> tuple[_Asked, _Asked]:
    causes_of: _Asked = {rank_of(kind): [] for kind in FindingKind}
    effects_of: _Asked = {rank_of(kind): [] for kind in FindingKind}
    pairs = [(cause, effect, edge.scope) for (cause, effect), edge in EDGE.items()]
    pairs += [(kind, FindingKind.XID, EDGE[FindingKind.XID, kind].scope) for kind in _FOLLOWED]
    for cause, effect, scope in pairs:
        causes_of[rank_of(effect)].append((rank_of(cause), scope))
        effects_of[rank_of(cause)].append((rank_of(effect), scope))
    for asked in (*causes_of.values(), *effects_of.values()):
        asked.sort(key=lambda item: -item[0])
    return causes_of, effects_of


_CAUSES_OF, _EFFECTS_OF = _asked()
"""What may cause a kind and what it may cause, the latest in the causal order first."""


@dataclass(slots=True)
class Neighbours:
    """Members and roots of unresolved incidents, by place."""

    members: Index = field(default_factory=Index)
    roots: Index = field(default_factory=Index)
    """Roots, and in a wave whatever hangs directly under its root: what a newcomer may be the cause of."""
    said: dict[tuple[FindingKind, Subject], dict[str, Known]] = field(default_factory=dict)
    recovered: dict[Subject, int] = field(default_factory=dict)
    """When each job has last made steps again after it had died, Unix ns."""

    def __len__(self) -> int:
        return len(self.members) + len(self.roots) + len(self.said) + len(self.recovered)

    def put(self, known: Known) -> None:
        """A member, new or with a newer value."""
        finding = known.finding
        self.members.put(known)
        self.said.setdefault((finding.kind, finding.subject), {})[finding.id] = known
        if finding.id in self.roots:
            self.roots.put(known)
        if finding.kind in _STEPS_CLEAR and finding.cleared_ns is not None:
            job = finding.subject
            self.recovered[job] = max(self.recovered.get(job, 0), finding.cleared_ns)

    def drop(self, known: Known) -> None:
        """Its incident is over."""
        finding = known.finding
        self.members.drop(finding.id)
        self.roots.drop(finding.id)
        told = self.said.get((finding.kind, finding.subject), {})
        told.pop(finding.id, None)
        if not told:
            self.said.pop((finding.kind, finding.subject), None)
        if finding.kind in _STEPS_CLEAR and self.recovered.get(finding.subject) == finding.cleared_ns:
            self.recovered.pop(finding.subject, None)

    def same_again(self, newcomer: Known) -> list[Known]:
        """Findings that say what the newcomer says."""
        finding = newcomer.finding
        found: list[Known] = []
        for subject in dict.fromkeys((finding.subject, *finding.related)):
            told = self.said.get((finding.kind, subject), {})
            found += [known for known in told.values() if same_again(known.finding, finding)]
        # one fault may show in Xids of several codes; another code after the job had got over the first is another
        return [k for k in found if k.finding.mark == finding.mark or not self._steps_between(k, newcomer)]

    def cause_of(self, newcomer: Known) -> Known | None:
        """The newcomer's nearest cause: the latest in the causal order, then in time."""
        cells = self.members.cells(newcomer)
        for rank, scope in _CAUSES_OF[newcomer.order[0]] if cells else ():
            best: Known | None = None
            for near in self.members.near(newcomer, cells, rank, scope):
                later = best is None or near.order > best.order
                if later and causes(near, newcomer) and not self._got_over(near, newcomer):
                    best = near
            if best is not None:
                return best
        return None

    def _got_over(self, cause: Known, effect: Known) -> bool:
        """Whether the job made steps between the two: a lost card or node that it has left for another holds it up no
        more.

        On the card or node itself the cause holds for as long as it lasts.
        """
        own = cause.place.own_gpu
        if own is None:
            lost = cause.finding.kind is FindingKind.TELEMETRY_LOST
            if not lost or share(cause.place, effect.place, Scope.NODE):
                return False
        elif own == effect.place.own_gpu:
            return False
        return self._steps_between(cause, effect)

    def _steps_between(self, one: Known, other: Known) -> bool:
        """Whether a job that had died made steps again between the beginnings of two findings."""
        since_ns, until_ns = one.finding.since_ns, other.finding.since_ns
        return any(since_ns < self.recovered.get(job, 0) <= until_ns for job in other.place.jobs)

    def effects_of(self, newcomer: Known) -> Iterator[Known]:
        """What the newcomer may be the cause of."""
        return self._effects(newcomer, self.members, MOST_REHUNG)

    def led_by(self, newcomer: Known) -> Iterator[Known]:
        """Roots that the newcomer may be the cause of."""
        return self._effects(newcomer, self.roots, MOST_ASKED)

    @staticmethod
    def _effects(newcomer: Known, among: Index, most: int) -> Iterator[Known]:
        seen: set[str] = set()
        cells = among.cells(newcomer)
        for rank, scope in _EFFECTS_OF[newcomer.order[0]] if cells else ():
            for near in among.near(newcomer, cells, rank, scope, most):
                if near.finding.id in seen or _led_already(near, newcomer):
                    continue
                if causes(newcomer, near):
                    seen.add(near.finding.id)
                    yield near


def _led_already(earlier: Known, newcomer: Known) -> bool:
    """Among equals the earlier leads (`link.causes`): no need to look closer, 10,000 times over."""
    one, other = earlier.finding, newcomer.finding
    return (
        earlier.order[0] == newcomer.order[0]
        and one.subject.kind is other.subject.kind
        and earlier.order < newcomer.order
    )
