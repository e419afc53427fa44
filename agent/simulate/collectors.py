"""Many collectors at once: `collectors.collector.Collector` on arrays, so that a fleet is simulated in minutes.

The same looks and events give the same batches as one `Collector` a node would (a test holds it), at a twentieth of
the cost. It is told the time in steps of a quarter of a second, as the collector is; all nodes of one object are looked
at in the same quarter of each second.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.simulate import parameters as p
from agent.simulate.cards import (
    CHEAP,
    DEAR_COUNTERS,
    DEAR_GAUGES,
    MIDDLE_COUNTERS,
    MIDDLE_GAUGES,
    FleetLook,
)
from agent.simulate.fleet import Node
from agent.simulate.suspicion import FleetSuspicion
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
)
from collectors.sampling.plan import SamplingPlan

_EXTREMES = tuple(row for row, name in enumerate(CHEAP) if CATALOGUE[name].extremes)
_FOLDED = CHEAP + tuple(f"{CHEAP[row]}_{end}" for row in _EXTREMES for end in ("min", "max"))
_SLOTS = 16
"""Looks kept; a batch leaves every five."""
_READ_LATER = frozenset({EventSource.TRAINING_LOG, EventSource.KERNEL_LOG})
"""Sources whose position outlasts a collector (`collectors/run_sources.py`, Positions)."""
_MOST_UNREAD = 20_000


@dataclass(slots=True)
class _Process:
    """One node's collector."""

    node: Node
    subjects: tuple[Subject, ...]
    boot_id: str
    sequence: int = 0
    alive: bool = False
    start_ns: int = 0
    next_batch_ns: int = 0
    next_facts_ns: int = 0
    facts: tuple[SubjectFacts, ...] = ()
    facts_changed: bool = False
    events: list[Event] = field(default_factory=list)
    oldest_event_ns: int = 0
    urgent: bool = False
    has_run: bool = False
    """One ran before, and how far it read its logs is on the node's disk."""
    unread: list[Event] = field(default_factory=list)
    """What its logs told since the last one stopped."""


class FleetCollectors:
    """The collectors of some nodes; index `i` is the place of a node in `nodes`."""

    def __init__(
        self,
        nodes: list[Node],
        plan: SamplingPlan,
        facts: Callable[[int], tuple[SubjectFacts, ...]],
        origin: Origin = Origin.REPLAY,
    ) -> None:
        """`facts(i)`: what node i's sources know now; asked at its looks after `changed(i)`."""
        cards = len(nodes[0].cards) if nodes else 0
        self._plan, self._facts, self._origin = plan, facts, origin
        self._all = [_Process(n, tuple(c.subject for c in n.cards), n.boot_id) for n in nodes]
        self._suspicion = FleetSuspicion(
            len(nodes), cards, plan.suspicion_seconds, p.SLOWDOWN_CELSIUS, float(p.CARD_BYTES)
        )
        self._alive = np.zeros(len(nodes), np.bool_)
        self._start_ns = np.zeros(len(nodes), np.int64)
        self._ring = np.zeros((_SLOTS, len(CHEAP), len(nodes), cards), np.float32)
        self._ring_ns = [0] * _SLOTS
        self._looks = 0
        self._first = np.zeros(len(nodes), np.int64)
        """Number of the first look that has not left."""
        self._changed: set[int] = set()
        self._busy: set[int] = set()
        """Nodes with events that have not left."""

    def begin(self, i: int, now_ns: int) -> None:
        """A collector starts; it looks, for the first time, in this very step."""
        process = self._all[i]
        process.alive, process.start_ns = True, now_ns
        process.next_batch_ns = process.next_facts_ns = now_ns
        process.facts, process.events, process.urgent = (), [], False
        self._alive[i], self._start_ns[i] = True, now_ns
        self._first[i] = self._looks
        self._suspicion.forget(i)
        self._changed.add(i)
        self.gather(i, Event(EventKind.COLLECTOR_START, process.node.subject, now_ns, EventSource.COLLECTOR), now_ns)
        unread, process.unread = process.unread, []
        for event in unread:
            self.gather(i, event, now_ns)

    def end(self, i: int) -> None:
        """It is gone without a word."""
        self._all[i].alive = self._alive[i] = False
        self._all[i].has_run = True
        self._all[i].events = []
        self._busy.discard(i)

    def goodbye(self, i: int, now_ns: int) -> Batch:
        """It stops in order; its last batch."""
        process = self._all[i]
        self.gather(i, Event(EventKind.COLLECTOR_GOODBYE, process.node.subject, now_ns, EventSource.COLLECTOR), now_ns)
        suspicious = bool(self._suspicion.reason(i, now_ns))
        tables = self._cheap_tables(i, one_by_one=suspicious)
        events = tuple(process.events)
        self.end(i)
        return self._batch(i, now_ns, (), tables, events)

    def rebooted(self, i: int, boot_id: str) -> None:
        """The node runs under a new boot id."""
        process = self._all[i]
        process.boot_id = boot_id
        process.unread = [event for event in process.unread if event.source is not EventSource.KERNEL_LOG]

    def alive(self, i: int) -> bool:
        """Whether its collector runs."""
        return self._all[i].alive

    def changed(self, i: int) -> None:
        """What is known about its cards or jobs has changed."""
        self._changed.add(i)

    def gather(self, i: int, event: Event, now_ns: int) -> None:
        """An event that the node's collector comes to know now. Where none runs, its successor reads what stands in a
        log from where its predecessor stopped; anything else is lost."""
        process = self._all[i]
        if not process.alive:
            if process.has_run and event.source in _READ_LATER and len(process.unread) < _MOST_UNREAD:
                process.unread.append(event)
            return
        if not process.events:
            process.oldest_event_ns = now_ns
        process.events.append(event)
        self._busy.add(i)
        self._suspicion.note_event(i, event, now_ns)
        if event.kind is not EventKind.TRAINING_STEP:
            process.urgent = True

    def step(self, now_ns: int, look: FleetLook | None, after: dict[int, list[Event]]) -> list[tuple[int, Batch]]:
        """The batches that leave now, by node. `look`: what all nodes show, in the quarter in which they look;
        `after`: what a node's driver library told about that look."""
        leaving: set[int] = set()
        middle = dear = np.zeros(len(self._all), np.bool_)
        if look is not None:
            since = now_ns - self._start_ns
            middle = self._alive & (since % int(self._plan.middle_seconds * 1e9) == 0)
            dear = self._alive & (since % int(self._plan.dear_seconds * 1e9) == 0)
            self._ring[self._looks % _SLOTS] = look.cheap
            self._ring_ns[self._looks % _SLOTS] = now_ns
            self._looks += 1
            self._learn_facts()
            self._suspicion.note_look(look, self._alive, middle)
            for i, events in after.items():
                for event in events:
                    self.gather(i, event, now_ns)
            suspicious = now_ns < self._suspicion.until_ns
            leaving |= set(np.flatnonzero(self._alive & (middle | suspicious)).tolist())
        wait_ns = int(self._plan.events_seconds * 1e9)
        for i in self._busy:
            process = self._all[i]
            if process.urgent or now_ns - process.oldest_event_ns >= wait_ns:
                leaving.add(i)
        leaving |= {i for i in self._changed if self._all[i].facts_changed}
        return [(i, self._leave(i, now_ns, look, bool(middle[i]), bool(dear[i]))) for i in sorted(leaving)]

    def _learn_facts(self) -> None:
        for i in [i for i in self._changed if self._all[i].alive]:
            facts, process = self._facts(i), self._all[i]
            if facts != process.facts:
                process.facts, process.facts_changed = facts, True
            else:
                self._changed.discard(i)

    def _leave(self, i: int, now_ns: int, look: FleetLook | None, middle: bool, dear: bool) -> Batch:
        process = self._all[i]
        suspicious = bool(self._suspicion.reason(i, now_ns))
        beat = now_ns >= process.next_batch_ns
        tables: list[Table] = []
        if beat or (suspicious and self._first[i] < self._looks):
            tables = self._cheap_tables(i, one_by_one=suspicious)
            if look is not None and (middle or dear):
                tables += self._other_tables(i, look, middle, dear)
            if beat:
                process.next_batch_ns += int(self._plan.batch_seconds * 1e9)
        facts: tuple[SubjectFacts, ...] = ()
        if process.facts_changed or now_ns >= process.next_facts_ns:
            facts = self._all_facts(process)
            process.facts_changed = False
            self._changed.discard(i)
            process.next_facts_ns = now_ns + int(self._plan.facts_seconds * 1e9)
        events, process.events, process.urgent = tuple(process.events), [], False
        self._busy.discard(i)
        return self._batch(i, now_ns, facts, tables, events)

    def _cheap_tables(self, i: int, *, one_by_one: bool) -> list[Table]:
        first, last = int(self._first[i]), self._looks
        self._first[i] = last
        if first == last:
            return []
        slots = [number % _SLOTS for number in range(first, last)]
        looks = self._ring[slots, :, i]
        places = tuple(range(looks.shape[2]))
        if one_by_one:
            times = tuple(self._ring_ns[slot] for slot in slots)
            return [Table(CHEAP, places, times, looks.astype("<f4").tobytes())]
        folded = np.empty((len(_FOLDED), looks.shape[2]), "<f4")
        folded[: len(CHEAP)] = looks[-1]
        ranged = looks[:, _EXTREMES]
        folded[len(CHEAP) :: 2] = np.fmin.reduce(ranged)
        folded[len(CHEAP) + 1 :: 2] = np.fmax.reduce(ranged)
        return [Table(_FOLDED, places, (self._ring_ns[slots[-1]],), folded.tobytes())]

    @staticmethod
    def _other_tables(i: int, look: FleetLook, middle: bool, dear: bool) -> list[Table]:
        places, times = tuple(range(look.cheap.shape[2])), (look.time_ns,)
        tables = []
        for due, gauges, values, counters, counts in (
            (middle, MIDDLE_GAUGES, look.middle_gauges, MIDDLE_COUNTERS, look.middle_counters),
            (dear, DEAR_GAUGES, look.dear_gauges, DEAR_COUNTERS, look.dear_counters),
        ):
            if due:
                tables.append(Table(gauges, places, times, values[:, i].astype("<f4").tobytes()))
                tables.append(Table(counters, places, times, counts[:, i].astype("<i8").tobytes()))
        return tables

    def _all_facts(self, process: _Process) -> tuple[SubjectFacts, ...]:
        """The node's own first, with its boot id; the sources know nothing else about it but its driver."""
        node = process.node
        own = {"boot_id": process.boot_id}
        rest = []
        for one in process.facts:
            if one.subject == node.subject:
                own = {**one.attributes, **own}
            else:
                rest.append(one)
        return (SubjectFacts(node.subject, node.name, None, own), *rest)

    def _batch(
        self,
        i: int,
        now_ns: int,
        facts: tuple[SubjectFacts, ...],
        tables: list[Table],
        events: tuple[Event, ...],
    ) -> Batch:
        process = self._all[i]
        process.sequence += 1
        return Batch(
            version=WIRE_VERSION,
            origin=self._origin,
            node=process.node.subject,
            boot_id=process.boot_id,
            spool_id=process.node.spool_id,
            sequence=process.sequence - 1,
            sent_ns=now_ns,
            subjects=process.subjects if tables else (),
            facts=facts,
            tables=tuple(tables),
            events=events,
            suspicion=self._suspicion.reason(i, now_ns),
        )
