"""Whether one finding may be the cause of another: the table's edges, applied to two findings."""

from dataclasses import dataclass

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from collectors.model import SubjectKind
from detectors.correlation.nvlink import leads, speaks_of_links
from detectors.correlation.place import Place, place_of, share
from detectors.correlation.table import EDGE, LASTING, SLACK_SECONDS, Edge, Scope, rank_of
from detectors.correlation.xids import xid_codes
from detectors.model import Finding, FindingKind

SECOND_NS = 1_000_000_000

FOLLOWER_XIDS = frozenset({45})
"""Xids that only ever report the tidying after something else: 45 is 'preemptive cleanup, due to previous errors'
(NVIDIA's catalogue: where another Xid or a killed process is near, follow that)."""


_EDGE = {(rank_of(cause), rank_of(effect)): edge for (cause, effect), edge in EDGE.items()}
"""By ranks: enums are slow as keys."""

WAIT_SECONDS = 60.0
"""The others come to wait for a node that is gone within a step, which takes seconds; both beginnings are estimates.
Ten minutes, the time-out, would be long enough for silence of another cause."""

OVER_SECONDS = 5.0
"""A job's trouble is called over some seconds after it was (recordings, and live on two H200s: 1 to 9), and what comes
next is known to the second; one batch on top. What begins later begins in a job that worked again."""

_TROUBLES = frozenset(
    {FindingKind.HOST_STALL, FindingKind.DATALOADER_STALL, FindingKind.STRAGGLER, FindingKind.COLLECTIVE_HANG}
)
"""Troubles of a running job that bring each other about only while they last."""

OUTLIVED_SECONDS = 10.0
"""An application's Xid ends its process within a second (recordings: h200-xid). Ten for lines that come late and for
steps that were under way: a job that still says steps after that was not hit, another process was."""

_WIDTH: dict[SubjectKind, int] = {
    SubjectKind.CLUSTER: 5,
    SubjectKind.RACK: 4,
    SubjectKind.SWITCH: 3,
    SubjectKind.JOB: 2,
    SubjectKind.NODE: 2,
}
"""How much a subject spans; a card, a rank and the like span themselves."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding with its place, read once."""

    finding: Finding
    place: Place
    order: tuple[int, int, str]
    """Causes before effects, early before late; total, so that arrival does not matter."""

    @classmethod
    def of(cls, finding: Finding) -> "Known":
        """Take in a finding."""
        return cls(finding, place_of(finding), (rank_of(finding.kind), finding.since_ns, finding.id))


def causes(cause: Known, effect: Known) -> bool:
    """Whether the table lets `cause` be the cause of `effect`: an edge, a shared place, and the right time."""
    one, other = cause.finding, effect.finding
    if one.id == other.id:
        return False
    if _follows_only(one) or _outlived(one, other):
        return False
    edge = _EDGE.get((cause.order[0], effect.order[0]))
    if edge is None:
        return _follows_only(other) and _tidied_up_after(cause, effect)
    if edge.scope is Scope.LINK:
        return _takes_links_along(cause, effect, edge)
    if other.kind is FindingKind.GPU_LOST and cause.place.own_gpu is None and speaks_of_links(one):
        return False  # a switch misses the card that has left the bus: its word follows
    least = edge.least_seconds
    if one.kind is other.kind:
        # A node that is silent explains its silent cards, whichever was noticed first; among equals the earlier leads.
        wide, narrow = _WIDTH.get(one.subject.kind, 0), _WIDTH.get(other.subject.kind, 0)
        if wide < narrow or (wide == narrow and (one.since_ns, one.id) > (other.since_ns, other.id)):
            return False
        least = -SLACK_SECONDS if wide > narrow else least
    gap = (began_ns(other) - began_ns(one)) / SECOND_NS
    # The lower bound belongs to the edge with the later effect, so that an edge each way never holds at once.
    if gap < least or (gap == least < 0):
        return False
    ends_a_wait = one.kind is FindingKind.TELEMETRY_LOST and other.kind is FindingKind.COLLECTIVE_TIMEOUT
    if ends_a_wait and abs(other.since_ns - one.since_ns) > WAIT_SECONDS * SECOND_NS:
        return False
    if one.kind in _TROUBLES and other.kind in _TROUBLES and one.cleared_ns is not None:
        return other.since_ns <= one.cleared_ns + OVER_SECONDS * SECOND_NS and share(
            cause.place, effect.place, edge.scope
        )
    reach_ns = _reach_ns(one, int(edge.lag_seconds * SECOND_NS))
    late = reach_ns is not None and began_ns(other) > reach_ns
    return not late and share(cause.place, effect.place, edge.scope)


def _takes_links_along(cause: Known, effect: Known, edge: Edge) -> bool:
    """Whether two words are about one NVLink fault, or a link ended with its card."""
    one, other = cause.finding, effect.finding
    if not speaks_of_links(other) or not share(cause.place, effect.place, Scope.LINK):
        return False
    if one.kind is other.kind and not (speaks_of_links(one) and leads(one, other)):
        return False
    if one.kind is FindingKind.GPU_LOST and cause.place.own_gpu == effect.place.own_gpu:
        return False  # of one card the Xid explains the loss
    gap = (other.since_ns - one.since_ns) / SECOND_NS
    return edge.least_seconds <= gap <= edge.lag_seconds


def same_again(one: Finding, other: Finding) -> bool:
    """Whether two findings say one thing: the same of the same subject at two times, or one statement that a detector
    made about several subjects at once (two late ranks of one hang), each of which names the other."""
    if one.id == other.id or one.kind is not other.kind or one.origin is not other.origin:
        return False
    if one.subject == other.subject:
        return True
    together = one.opened_ns == other.opened_ns and one.since_ns == other.since_ns
    return together and other.subject in one.related and one.subject in other.related


def began_ns(finding: Finding) -> int:
    """When a condition began to have effects. A collective that timed out began to wait long before (`since_ns`); what
    it does to its ranks it does when the watchdog speaks. A flight recorder's entry bears the time of the wait."""
    if finding.kind is not FindingKind.COLLECTIVE_TIMEOUT:
        return finding.since_ns
    lines = [item.time_ns for item in finding.evidence if not item.metric.startswith("flight_recorder")]
    return max(finding.since_ns, min(lines, default=0))


def _reach_ns(cause: Finding, lag_ns: int) -> int | None:
    """The last instant at which an effect may begin; None while a lasting cause holds.

    What a lasting one did while it held may show a little later, no more: a node that is back for a minute and a half
    does not hang the job that has been started again on it.
    """
    if cause.kind not in LASTING:
        last_ns = max((item.time_ns for item in cause.evidence), default=cause.since_ns)
        return max(cause.since_ns, last_ns) + lag_ns
    if cause.cleared_ns is None:
        return None
    return max(cause.since_ns + lag_ns, cause.cleared_ns + int(SLACK_SECONDS * SECOND_NS))


def _follows_only(finding: Finding) -> bool:
    codes = set(xid_codes([finding])) if finding.kind is FindingKind.XID else set()
    return bool(codes) and codes <= FOLLOWER_XIDS


def _outlived(cause: Finding, effect: Finding) -> bool:
    """Whether an application's Xid befell a process that was none of the job's: it made steps long after it."""
    codes = xid_codes([cause]) if cause.kind is FindingKind.XID else ()
    if not codes or any(_domain(code) is not XidDomain.APPLICATION for code in codes):
        return False
    # At the time of such an item the last step was at most its value ago (detectors.job.situation_detector).
    steps_ns = (
        item.time_ns - item.value * SECOND_NS
        for item in effect.evidence
        if item.metric == "training_step" and item.value is not None
    )
    return max(steps_ns, default=0.0) > cause.since_ns + OUTLIVED_SECONDS * SECOND_NS


def _domain(code: int) -> XidDomain | None:
    return XID_CATALOGUE[code].domain if code in XID_CATALOGUE else None


def _tidied_up_after(cause: Known, effect: Known) -> bool:
    """A follower Xid comes within the slack after a process that ended, whoever ended it."""
    edge = EDGE.get((FindingKind.XID, cause.finding.kind))
    gap = (effect.finding.since_ns - cause.finding.since_ns) / SECOND_NS
    return (
        edge is not None
        and cause.finding.kind in (FindingKind.RANK_CRASH, FindingKind.JOB_CRASH, FindingKind.COLLECTIVE_TIMEOUT)
        and -SLACK_SECONDS <= gap <= SLACK_SECONDS
        and share(cause.place, effect.place, edge.scope)
    )
