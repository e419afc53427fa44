"""Batches made anew from what the store keeps, for the time before the ingest log begins.

Readings are there (rounded to 10 bits of mantissa), and every event but training steps. What is lost: the steps, how
looks shared a batch, when a batch came, and why a collector was suspicious. An announcement (a start, a save, an
evaluation) that only a step would end excuses a job's silence for half an hour: without its end it is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.bundle.reach import Span
from agent.store.chunks import ReadingsChunk
from agent.store.store import Store
from agent.store.stretch import chunks_between
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)

MOST_EVENTS = 50_000
CLOSE_NS = 2_500_000_000
"""Looks of one node closer together than this were sent under suspicion, second by second."""
SPOOL = "stored"
_ENDED_BY = {
    EventKind.TRAINING_START: EventKind.TRAINING_STEP,
    EventKind.CHECKPOINT_START: EventKind.CHECKPOINT_END,
    EventKind.EVALUATION_START: EventKind.EVALUATION_END,
}


@dataclass(slots=True)
class Stored:
    """What there is of some nodes in a stretch."""

    cards: Mapping[Subject, Subject]
    """The node of each GPU."""
    facts: Mapping[Subject, SubjectFacts]
    jobs: frozenset[Subject]
    boots: Mapping[Subject, str]
    """Boot ids of nodes: another one later would look like a reboot."""
    batches: list[tuple[int, Batch]] = field(default_factory=list)
    events_cut: bool = False
    """There were more than MOST_EVENTS."""


def rebuilt(
    store: Store,
    origin: Origin,
    span: Span,
    nodes: frozenset[Subject],
    jobs: frozenset[Subject],
    facts: Mapping[Subject, SubjectFacts],
    boots: Mapping[Subject, str],
) -> Stored:
    """Batches of these nodes in order of time; `facts`: what is known of nodes and cards."""
    cards = {
        one.subject: one.node
        for one in facts.values()
        if one.subject.kind is SubjectKind.GPU and one.node is not None and one.node in nodes
    }
    told = Stored(cards, facts, jobs, boots)
    looks: dict[tuple[int, Subject], list[_Look]] = {}
    for chunk in chunks_between(store, list(cards), span.start_ns, span.until_ns):
        home = next((cards[subject] for subject in chunk.subjects if subject in cards), None)
        if home is not None:
            for look in _looks(chunk, span):
                looks.setdefault((look.time_ns, home), []).append(look)
    events: dict[tuple[int, Subject], list[Event]] = {}
    cluster = next(iter(nodes)).cluster if nodes else ""
    known = store.events(since_ns=span.start_ns, until_ns=span.until_ns, cluster=cluster, limit=MOST_EVENTS)
    told.events_cut = len(known) >= MOST_EVENTS
    for event in _without_open_announcements(known):
        home = _home(event, cards, nodes, jobs)
        if home is not None and event.kind is not EventKind.AS_FOUND:
            events.setdefault((event.time_ns, home), []).append(event)
    heard: dict[Subject, int] = {}
    for number, (time_ns, node) in enumerate(sorted({*looks, *events}), 1):
        what = (looks.get((time_ns, node), []), tuple(events.get((time_ns, node), ())))
        told.batches.append((time_ns, _batch(origin, node, number, time_ns, *what, told, heard.get(node))))
        heard[node] = time_ns
    return told


@dataclass(frozen=True, slots=True)
class _Look:
    time_ns: int
    chunk: ReadingsChunk
    row: int


def _looks(chunk: ReadingsChunk, span: Span) -> Iterator[_Look]:
    for row in np.flatnonzero((chunk.times_ns >= span.start_ns) & (chunk.times_ns < span.until_ns)).tolist():
        yield _Look(int(chunk.times_ns[row]), chunk, row)


def _batch(
    origin: Origin,
    node: Subject,
    number: int,
    time_ns: int,
    looks: list[_Look],
    events: tuple[Event, ...],
    told: Stored,
    heard_ns: int | None,
) -> Batch:
    subjects = tuple(dict.fromkeys([node, *(subject for look in looks for subject in look.chunk.subjects)]))
    place = {subject: at for at, subject in enumerate(subjects)}
    return Batch(
        WIRE_VERSION,
        origin,
        node,
        told.boots.get(node) or _boot_of(node, told),
        SPOOL,
        number,
        time_ns,
        subjects,
        facts=_facts_of(node, told) if heard_ns is None else (),
        tables=tuple(
            Table(
                look.chunk.metrics,
                tuple(place[subject] for subject in look.chunk.subjects),
                (time_ns,),
                look.chunk.values[look.row].astype("<i8" if look.chunk.counters else "<f4").tobytes(),
            )
            for look in looks
        ),
        events=events,
        suspicion="as stored" if heard_ns is not None and time_ns - heard_ns < CLOSE_NS else "",
    )


def _boot_of(node: Subject, told: Stored) -> str:
    known = told.facts.get(node)
    return (known.attributes.get("boot_id") if known is not None else None) or SPOOL


def _facts_of(node: Subject, told: Stored) -> tuple[SubjectFacts, ...]:
    own = [told.facts[node]] if node in told.facts else []
    jobs = sorted(job for job in told.jobs if job in told.facts)
    return (
        *own,
        *(told.facts[card] for card, home in sorted(told.cards.items()) if home == node),
        *(told.facts[job] for job in jobs),
    )


def _without_open_announcements(events: Sequence[Event]) -> list[Event]:
    """The events, but for announcements that none of the later ones ends."""
    kept: list[Event] = []
    ended: set[tuple[EventKind, Subject]] = set()
    for event in reversed(events):
        if event.kind in _ENDED_BY:
            end = (_ENDED_BY[event.kind], event.subject)
            if end not in ended:
                continue
            ended.discard(end)
        ended.add((event.kind, event.subject))
        kept.append(event)
    return kept[::-1]


def _home(
    event: Event, cards: Mapping[Subject, Subject], nodes: frozenset[Subject], jobs: frozenset[Subject]
) -> Subject | None:
    """The node in whose batch an event leaves; None: it is none of ours."""
    subject = event.subject
    if subject in nodes:
        return subject
    if subject in cards:
        return cards[subject]
    return min(nodes) if subject in jobs else None
