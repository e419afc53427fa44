"""From looks and events to batches: what one node sends, and when. No clock and no thread; `step` is told the time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collectors.gpu.source import GpuLook, GpuSource
from collectors.log_source import LogSource
from collectors.model import (
    CATALOGUE,
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    Table,
    Tier,
)
from collectors.sampling.buffer import LookBuffer
from collectors.sampling.plan import SamplingPlan
from collectors.sampling.suspicion import Suspicion

STEP_SECONDS = 0.25
"""How often `Collector.step` is called, about."""
BATCH_EVENT_BYTES = 512 * 1024
"""Events of more than this are split over several batches."""
_EVENT_BYTES = 200
"""What an event takes besides its texts, rounded up."""
_BY_TIER = {tier: tuple(metric.name for metric in CATALOGUE.values() if metric.tier is tier) for tier in Tier}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose batches these are; (node, boot_id, spool_id, sequence) names one batch for good."""

    cluster: str
    node: Subject
    node_name: str
    boot_id: str
    spool_id: str
    origin: Origin
    first_sequence: int = 0


@dataclass(slots=True)
class _Source:
    gpus: GpuSource
    buffer: LookBuffer


class Collector:
    """Takes the looks that are due, gathers events, and hands out the batches that are to leave now."""

    def __init__(
        self,
        identity: Identity,
        gpu_sources: Sequence[GpuSource],
        log_sources: Sequence[LogSource],
        plan: SamplingPlan,
    ) -> None:
        """Where two GPU sources give the same metric, the one named first is asked for it."""
        self._identity = identity
        self._sources = [_Source(source, LookBuffer()) for source in gpu_sources]
        self._logs = list(log_sources)
        self._plan = plan
        self._suspicion = Suspicion(plan.suspicion_seconds)
        self._sequence = identity.first_sequence
        self._events: list[Event] = []
        self._oldest_event_ns = 0
        self._urgent = False
        self._facts: tuple[SubjectFacts, ...] = ()
        self._facts_changed = False
        self._next_look_ns: dict[Tier, int] = {}
        self._next_batch_ns = self._next_facts_ns = 0
        self._now_ns = -1

    def step(self, now_ns: int) -> list[Batch]:
        """Look, listen, and return what is to be sent now, in order. `now_ns` is the node's clock, Unix ns."""
        batches: list[Batch] = []
        if self._now_ns < 0:
            self._gather(Event(EventKind.COLLECTOR_START, self._identity.node, now_ns, EventSource.COLLECTOR), now_ns)
            self._restart_schedule(now_ns)
        elif now_ns < self._now_ns:
            # The node's clock was set back: what was seen before leaves under its own times, and all waits begin anew.
            batches.extend(self._leave(now_ns, one_by_one=True, readings=True))
            self._restart_schedule(now_ns)
            self._suspicion = Suspicion(self._plan.suspicion_seconds)
            self._suspicion.learn(self._facts)
        self._now_ns = now_ns
        for log in self._logs:
            for event in log.poll(now_ns):
                self._gather(event, now_ns)
        for source in self._sources:
            for event in source.gpus.events():
                self._gather(event, now_ns)
        self._look(now_ns)
        suspicious = bool(self._suspicion.reason(now_ns))
        readings = now_ns >= self._next_batch_ns or (suspicious and any(source.buffer for source in self._sources))
        events_wait_ns = int(self._plan.events_seconds * 1e9)
        events = self._urgent or (bool(self._events) and now_ns - self._oldest_event_ns >= events_wait_ns)
        if readings or events or self._facts_changed:
            batches.extend(self._leave(now_ns, one_by_one=suspicious, readings=readings))
        return batches

    def goodbye(self, now_ns: int) -> Batch:
        """The last batch: everything that has not left yet, and the word that the silence after it is meant."""
        self._gather(Event(EventKind.COLLECTOR_GOODBYE, self._identity.node, now_ns, EventSource.COLLECTOR), now_ns)
        suspicious = bool(self._suspicion.reason(now_ns))
        subjects, tables = self._tables(one_by_one=suspicious)
        events, self._events = tuple(self._events), []
        return self._batch(now_ns, subjects, (), tables, events)

    def _restart_schedule(self, now_ns: int) -> None:
        self._next_look_ns = dict.fromkeys(Tier, now_ns)
        self._next_batch_ns = self._next_facts_ns = now_ns

    def _gather(self, event: Event, now_ns: int) -> None:
        if not self._events:
            self._oldest_event_ns = now_ns
        self._events.append(event)
        self._suspicion.note_event(event, now_ns)
        if event.kind is not EventKind.TRAINING_STEP:
            self._urgent = True

    def _look(self, now_ns: int) -> None:
        due = [tier for tier in Tier if now_ns >= self._next_look_ns[tier]]
        if not due or not self._sources:
            return
        for tier in due:
            self._next_look_ns[tier] = _next(self._next_look_ns[tier], self._plan.tier_seconds(tier), now_ns)
        metrics = tuple(name for tier in due for name in _BY_TIER[tier])
        looks: list[GpuLook] = []
        for source in self._sources:
            look = source.gpus.look(metrics, now_ns)
            source.buffer.add(look)
            looks.append(look)
            metrics = tuple(name for name in metrics if name not in look.gauges and name not in look.counters)
        self._learn_facts()
        for look in looks:
            self._suspicion.note_look(look)
        # What a look has shown may be an event too, a lost GPU say: it leaves with the batch that shows it.
        for source in self._sources:
            for event in source.gpus.events():
                self._gather(event, now_ns)

    def _learn_facts(self) -> None:
        facts = tuple(one for source in self._sources for one in source.gpus.facts())
        if facts != self._facts:
            self._facts, self._facts_changed = facts, True
            self._suspicion.learn(facts)

    def _all_facts(self) -> tuple[SubjectFacts, ...]:
        """The sources' facts, those about one subject made one, with the node's own first."""
        identity = self._identity
        own = SubjectFacts(identity.node, identity.node_name, None, {"boot_id": identity.boot_id})
        merged = {identity.node: own}
        for one in self._facts:
            held = merged.get(one.subject)
            if held is None:
                merged[one.subject] = one
            else:
                # The source named first wins, as with readings.
                both = {**one.attributes, **held.attributes}
                merged[one.subject] = SubjectFacts(one.subject, held.name, held.node or one.node, both)
        return tuple(merged.values())

    def _tables(self, *, one_by_one: bool) -> tuple[tuple[Subject, ...], tuple[Table, ...]]:
        places: dict[Subject, int] = {}

        def place(subject: Subject) -> int:
            return places.setdefault(subject, len(places))

        tables = [table for source in self._sources for table in source.buffer.take(place, one_by_one=one_by_one)]
        return tuple(places), tuple(tables)

    def _leave(self, now_ns: int, *, one_by_one: bool, readings: bool) -> Iterator[Batch]:
        subjects: tuple[Subject, ...] = ()
        tables: tuple[Table, ...] = ()
        if readings:
            subjects, tables = self._tables(one_by_one=one_by_one)
            if now_ns >= self._next_batch_ns:  # what leaves early for a suspicion does not move the beat
                self._next_batch_ns = _next(self._next_batch_ns, self._plan.batch_seconds, now_ns)
        facts: tuple[SubjectFacts, ...] = ()
        if self._facts_changed or now_ns >= self._next_facts_ns:
            facts = self._all_facts()
            self._facts_changed = False
            self._next_facts_ns = now_ns + int(self._plan.facts_seconds * 1e9)
        parts = _split(self._events)
        self._events, self._urgent = [], False
        for number, part in enumerate(parts):
            if number == 0:
                yield self._batch(now_ns, subjects, facts, tables, part)
            else:
                yield self._batch(now_ns, (), (), (), part)

    def _batch(
        self,
        now_ns: int,
        subjects: tuple[Subject, ...],
        facts: tuple[SubjectFacts, ...],
        tables: tuple[Table, ...],
        events: tuple[Event, ...],
    ) -> Batch:
        identity = self._identity
        batch = Batch(
            version=WIRE_VERSION,
            origin=identity.origin,
            node=identity.node,
            boot_id=identity.boot_id,
            spool_id=identity.spool_id,
            sequence=self._sequence,
            sent_ns=now_ns,
            subjects=subjects,
            facts=facts,
            tables=tables,
            events=events,
            suspicion=self._suspicion.reason(now_ns),
        )
        self._sequence += 1
        return batch


def _next(was_ns: int, seconds: float, now_ns: int) -> int:
    """The next time on the same beat; where beats were missed, one interval from now."""
    after = was_ns + int(seconds * 1e9)
    return after if after > now_ns else now_ns + int(seconds * 1e9)


def _split(events: list[Event]) -> list[tuple[Event, ...]]:
    """In order, each part below the cap (one event may be larger than it by itself); at least one part."""
    parts: list[list[Event]] = [[]]
    room = BATCH_EVENT_BYTES
    for event in events:
        size = _size(event)
        if size > room and parts[-1]:
            parts.append([])
            room = BATCH_EVENT_BYTES
        parts[-1].append(event)
        room -= size
    return [tuple(part) for part in parts]


def _size(event: Event) -> int:
    """An upper bound of the bytes that an event takes on the wire."""
    texts = (event.line, event.subject.cluster, event.subject.id, *event.attributes, *event.attributes.values())
    text = sum(len(text) if text.isascii() else 4 * len(text) for text in texts)
    return _EVENT_BYTES + text + 40 * len(event.values) + 10 * len(event.attributes)
