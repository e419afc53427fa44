"""Incidents laid against causes: which is about which.

An incident is about a cause when it opened while the cause lasted or shortly after, and has a finding at its place: its
card or node, one of the jobs that suffer from it, or its rack. Of several causes it belongs to the one that fits best:
the right root at the right place before the right place alone, then the cause that began last before it.
"""

from dataclasses import dataclass, field

from agent.scoring.inventory import Cluster
from agent.scoring.told import Told
from agent.scoring.truth import Cause, Place

EARLY_S = 6.0
"""An incident may open this much before its cause is said to begin: one sampling interval and a little."""
GRACE_S = 30.0
"""And this long after its end: sampling, persistence and tick together are 15 s."""


@dataclass(slots=True)
class Match:
    """One cause and its incidents, oldest first."""

    cause: Cause
    incidents: list[Told] = field(default_factory=list)
    merged_into: Told | None = None
    """Another cause's incident that holds findings of this one, where it has none of its own."""

    @property
    def first(self) -> Told | None:
        """The one that told it."""
        return self.incidents[0] if self.incidents else None

    @property
    def delay_s(self) -> float | None:
        """From the fault to the incident."""
        return None if self.first is None else max(0.0, self.first.opened - self.cause.start)

    @property
    def root_right(self) -> bool:
        """Whether that incident's root is of a right kind."""
        return self.first is not None and self.first.kind in self.cause.roots

    @property
    def guilty_right(self) -> bool | None:
        """Whether it names the right card, rank or node; None where the truth blames none."""
        guilty = self.cause.guilty
        if guilty.node is None and guilty.rank is None and guilty.gpu is None and guilty.rack is None:
            return None
        return self.first is not None and names_guilty(self.first.place, self.cause, self.cluster)

    cluster: Cluster = field(default_factory=Cluster)


@dataclass(frozen=True, slots=True)
class Matched:
    """Everything laid out."""

    causes: tuple[Match, ...]
    false: tuple[Told, ...]
    """Incidents about no cause."""


def match(causes: tuple[Cause, ...], incidents: list[Told], cluster: Cluster) -> Matched:
    """Lay incidents against causes. Incidents that were absorbed by others are left out."""
    matches = [Match(cause, cluster=cluster) for cause in causes]
    false = []
    for told in incidents:
        if told.absorbed:
            continue
        fits = [(fit, one) for one in matches if (fit := _fit(told, one.cause, cluster)) is not None]
        if fits:
            max(fits, key=lambda item: item[0])[1].incidents.append(told)
        else:
            false.append(told)
    for one in matches:
        if not one.incidents:
            one.merged_into = _holder(one, matches, cluster)
    return Matched(tuple(matches), tuple(false))


def names_guilty(place: Place, cause: Cause, cluster: Cluster) -> bool:
    """Whether a place is the guilty one, as exactly as both say.

    A card where the truth blames a card; a node where it blames a node; a rank where a recording knows no more. A
    place that says less than the truth (only the job) is not right.
    """
    guilty = cause.guilty
    if guilty.rack is not None:
        own = place.rack or cluster.rack_of.get(place.node or "")
        return own == guilty.rack
    if guilty.node is not None and place.node != guilty.node:
        return False
    if guilty.gpu is not None:
        return place.gpu == guilty.gpu
    if guilty.node is not None:
        return True
    return place.rank == guilty.rank


def _fit(told: Told, cause: Cause, cluster: Cluster) -> tuple[int, float] | None:
    if not cause.start - EARLY_S <= told.opened <= cause.end + GRACE_S:
        return None
    here = max(_near(member.place, cause, cluster) for member in told.members)
    if here == 0:
        return None
    right = told.kind in cause.roots
    return (here + 4 * right, cause.start)


def _near(place: Place, cause: Cause, cluster: Cluster) -> int:
    """3: the guilty itself, 2: its node, 1: a job that suffers from it, 0: elsewhere."""
    guilty = cause.guilty
    blamed = (guilty.node, guilty.gpu, guilty.rank, guilty.rack) != (None,) * 4
    if blamed and names_guilty(place, cause, cluster):
        return 3
    if guilty.node is not None and place.node == guilty.node:
        return 2
    if place.job is not None and place.job in cause.jobs:
        return 1
    # a recording of one job names neither node nor job in its truth: whatever is told there is near
    return 1 if not cause.jobs and guilty.node is None and guilty.rack is None else 0


def _holder(lost: Match, matches: list[Match], cluster: Cluster) -> Told | None:
    """The incident of another cause in which this one's findings went under."""
    for other in matches:
        for told in other.incidents:
            for member in told.members:
                in_time = lost.cause.start - EARLY_S <= member.opened <= lost.cause.end + GRACE_S
                if in_time and member.kind in lost.cause.roots and _near(member.place, lost.cause, cluster):
                    return told
    return None
