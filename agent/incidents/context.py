"""An incident among its like: peers that show the same now, how often it was seen here, and how the last ones ended."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from agent.store.rows import Feedback, NodeSeen, Occurrences
from agent.store.store import Store
from collectors.model import Subject, SubjectKind
from detectors.model import Finding, Incident, IncidentState

DAY_NS = 86_400 * 1_000_000_000
BASE_DAYS = 30
"""A month: long enough for a card that fails once a week to stand out, short enough to forget its last repair."""
MOST_SIMILAR = 5
_COUNTED = {SubjectKind.GPU: "GPUs", SubjectKind.NODE: "nodes", SubjectKind.JOB: "jobs"}


@dataclass(frozen=True, slots=True)
class Peers:
    """How many show the same kind of finding while the incident lasts, the subject among them."""

    node_affected: int | None
    """Of the node's cards; None where it is not about a card, or the node is not known."""
    node_total: int | None
    fleet_affected: int
    """Besides the subject's own node, or besides the subject itself where that is no card."""
    fleet_total: int | None
    """Of the same sort in the cluster; None where nobody has told."""
    sentence: str


@dataclass(frozen=True, slots=True)
class BaseRate:
    """How usual it is."""

    here: int
    """On this subject in BASE_DAYS up to now, this incident among them."""
    fleet_median: float | None
    """Of all other subjects of its sort; None where their number is not known."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Similar:
    """An earlier incident of the same kind, and what became of it."""

    incident: Incident
    shares: str
    """`the same subject`, `the same node` or `the same job`."""
    ended: str
    """How it ended, or that it has not."""


@dataclass(frozen=True, slots=True)
class Context:
    """All of it."""

    peers: Peers
    base_rate: BaseRate
    similar: tuple[Similar, ...]


def context_of(store: Store, incident: Incident, now_ns: int) -> Context:
    """From the store alone, so that it can be told of incidents long past. Each part is one bounded query."""
    cluster = incident.subject.cluster
    until_ns = incident.resolved_ns if incident.resolved_ns is not None else max(now_ns, incident.updated_ns)
    alike = store.alike(incident.kind, incident.since_ns, until_ns + 1, cluster=cluster)
    nodes = [node for node in store.nodes(cluster=cluster) if node.origin is incident.origin]
    total = _how_many(store, incident, nodes)
    occurrences = store.occurrences(incident, incident.opened_ns - BASE_DAYS * DAY_NS)
    earlier = store.similar(incident, MOST_SIMILAR)
    return Context(
        peers_of(incident, [finding for finding in alike if finding.origin is incident.origin], nodes, total),
        base_rate_of(incident, occurrences, total),
        tuple(Similar(one, _shares(incident, one), ended(one, store.feedback(one.id))) for one in earlier),
    )


def peers_of(incident: Incident, alike: Iterable[Finding], nodes: Sequence[NodeSeen], total: int | None) -> Peers:
    """`alike`: findings of the incident's kind while it lasts; `total`: subjects of its sort in the cluster."""
    sort = incident.subject.kind
    plural = _COUNTED.get(sort, f"{sort.value}s")
    node = incident.names.get("node", "")
    affected: dict[Subject, str] = {f.subject: f.names.get("node", "") for f in alike if f.subject.kind is sort}
    affected.setdefault(incident.subject, node)
    if sort is not SubjectKind.GPU or not node:
        others = len(affected) - 1
        rest = None if total is None else max(total - 1, others)
        return Peers(None, None, others, rest, f"{_of(others, rest)} other {plural} in the fleet")
    here = sum(place == node for place in affected.values())
    there = len(affected) - here
    cards = next((seen.gpus for seen in nodes if seen.name == node and seen.gpus), None)
    cards = None if cards is None else max(cards, here)
    rest = None if total is None or cards is None else max(total - cards, there)
    elsewhere = f"{_of(there, rest)} in the rest of the fleet"
    return Peers(here, cards, there, rest, f"{_of(here, cards)} on this node; {elsewhere}")


def base_rate_of(incident: Incident, occurrences: Occurrences, total: int | None) -> BaseRate:
    """`total`: subjects of its sort in the cluster, those without any such incident among them."""
    here = max(occurrences.here, 1)
    others = None if total is None else max(total - 1, len(occurrences.elsewhere))
    middle: float | None = None
    if others:
        # the median needs no list of thousands of zeros: half of them decide
        quiet = others - len(occurrences.elsewhere)
        middle = 0.0 if quiet > others / 2 else float(median([0] * quiet + list(occurrences.elsewhere)))
    fleet = "" if middle is None else f", fleet median {middle:g}"
    return BaseRate(here, middle, f"{_ordinal(here)} here in {BASE_DAYS} days{fleet}")


def ended(incident: Incident, feedback: Sequence[Feedback]) -> str:
    """What became of an incident, in words; people's judgement last."""
    if incident.state is not IncidentState.RESOLVED or incident.resolved_ns is None:
        said = f"not over: {incident.state.value}"
    else:
        lasted = (incident.resolved_ns - incident.since_ns) / 1e9
        said = f"over after {math.ceil(max(lasted, 0)):,} s: {incident.resolved_because or 'no reason told'}"
    return f"{said}; judged {feedback[-1].judgement.value} by {feedback[-1].who}" if feedback else said


def _how_many(store: Store, incident: Incident, nodes: Sequence[NodeSeen]) -> int | None:
    if incident.subject.kind is SubjectKind.GPU:
        return sum(node.gpus for node in nodes) or None
    if incident.subject.kind is SubjectKind.NODE:
        return len(nodes) or None
    if incident.subject.kind is SubjectKind.JOB:
        cluster = incident.subject.cluster
        return sum(job.origin is incident.origin for job in store.jobs(cluster=cluster)) or None
    return None


def _shares(incident: Incident, other: Incident) -> str:
    if other.subject == incident.subject:
        return "the same subject"
    same_node = other.names.get("node") and other.names.get("node") == incident.names.get("node")
    return "the same node" if same_node else "the same job"


def _of(some: int, total: int | None) -> str:
    return f"{some:,}" if total is None else f"{some:,} of {total:,}"


def _ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`, `23rd`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
