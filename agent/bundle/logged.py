"""Batches of one space from the ingest log: byte for byte what the watch was given, at the times at which it was."""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import zstandard
from msgspec.structs import replace

from agent.bundle.reach import ALL_NODES, NS, Span
from agent.ingest.dedupe import Seen, run_of
from agent.ingest.log import IngestLog, Record
from collectors.errors import GiveUp
from collectors.model import Batch, EventKind, Origin, Subject, SubjectFacts
from collectors.wire import DEFAULT_LIMITS, decode

FACTS_NS = 90 * NS
"""Collectors say what they know of their subjects every minute."""


class _Kind(msgspec.Struct):
    kind: str


class _Head(msgspec.Struct):
    """As much of a batch as sorting it out needs: a tenth of the price of all of it."""

    origin: str
    node: Subject
    boot_id: str
    spool_id: str
    sent_ns: int
    facts: list[SubjectFacts] = []
    events: list[_Kind] = []


_HEADS = msgspec.msgpack.Decoder(_Head)


@dataclass(slots=True)
class Run:
    """One stretch of batches that one watch was given: a live watch has one, each replay is one."""

    first_ns: int
    last_ns: int = 0
    places: dict[Subject, tuple["array[int]", "array[int]"]] = field(default_factory=dict)
    """Where the batches of each node that is kept lie in the log, and when they were taken in."""
    nodes: Counter[Subject] = field(default_factory=Counter)
    """Batches of each node."""
    bytes_by_second: Counter[int] = field(default_factory=Counter)
    facts: dict[Subject, SubjectFacts] = field(default_factory=dict)
    """The last that was said of each subject."""
    boots: dict[Subject, str] = field(default_factory=dict)
    """The first boot id of each node."""


@dataclass(slots=True)
class _Clock:
    """When a watch takes a batch in: by the agent's clock, or, where it does not go by that, by the batches' own."""

    live: bool
    now_ns: int = 0

    def at(self, received_ns: int, sent_ns: int) -> int:
        self.now_ns = max(self.now_ns, received_ns if self.live else sent_ns)
        return self.now_ns


def survey(
    log: IngestLog,
    origin: Origin,
    cluster: str,
    at_ns: int,
    span: Span,
    *,
    live: bool,
    kept: frozenset[Subject] | None,
) -> Run | None:
    """The run in which this space was at `at_ns`; the last one where none was; None where the log has nothing.

    `live`: it goes by the agent's clock (`agent.server.spaces`), so that only the span and what was said of subjects
    just before it is gone through; what is not live lies somewhere. `kept`: nodes whose batches will be asked for;
    None: all. In a cluster of at most ALL_NODES all are kept. The one pass over the log.
    """
    runs: list[Run] = []
    clock, speaking, ended = _Clock(live), set[str](), True
    for record in log.read_from(log.position_before(span.start_ns - FACTS_NS) if live else 0):
        if live and record.received_ns >= span.until_ns:
            break
        head = _head(record)
        if head is None or head.origin != origin.value or head.node.cluster != cluster:
            continue
        if ended:
            clock, ended = _Clock(live), False
            runs.append(Run(clock.at(record.received_ns, head.sent_ns)))
        run = runs[-1]
        _note(run, record, head, clock.at(record.received_ns, head.sent_ns), kept)
        if not live:
            # as agent.server.spaces: a replay is over once all its spools have said goodbye
            speaking.add(head.spool_id)
            if any(event.kind == EventKind.COLLECTOR_GOODBYE.value for event in head.events):
                speaking.discard(head.spool_id)
                ended = not speaking
    there = [run for run in runs if run.first_ns <= at_ns <= run.last_ns + 10 * NS]
    found = there or runs
    return found[-1] if found else None


def batches(log: IngestLog, run: Run, span: Span, nodes: frozenset[Subject]) -> Iterator[tuple[int, Batch]]:
    """(taken in, batch) of these nodes within a span of a run, in order.

    The first batch of each node bears what its collector had said of its subjects before: it says so once a minute.
    """
    seen = Seen()
    facts: dict[Subject, dict[Subject, SubjectFacts]] = {}
    begun: set[Subject] = set()
    places = sorted(
        place
        for node, (positions, times) in run.places.items()
        if node in nodes
        for place in zip(positions, times)
        if place[1] < span.until_ns
    )
    taken_ns = dict(places)
    for record in log.read_at(position for position, _ in places):
        at_ns = taken_ns[record.position]
        if at_ns < span.start_ns:
            head = _head(record)
            if head is not None and head.facts:
                facts.setdefault(head.node, {}).update((one.subject, one) for one in head.facts)
            continue
        try:
            batch = decode(record.body)
        except GiveUp:
            continue  # the worker has said so
        if not seen.add(run_of(batch), batch.sequence):
            continue
        if batch.node not in begun:
            begun.add(batch.node)
            batch = with_facts(batch, facts.pop(batch.node, {}))
        yield at_ns, batch


def _note(run: Run, record: Record, head: _Head, taken_ns: int, kept: frozenset[Subject] | None) -> None:
    """One batch of a run."""
    node = head.node
    run.last_ns = taken_ns
    new = node not in run.nodes
    run.nodes[node] += 1
    run.boots.setdefault(node, head.boot_id)
    run.bytes_by_second[taken_ns // NS] += len(record.body)
    if head.facts:
        run.facts.update((facts.subject, facts) for facts in head.facts)
    if new and len(run.nodes) == ALL_NODES + 1 and kept is not None:
        for other in run.places.keys() - kept:
            del run.places[other]
    if kept is None or node in kept or len(run.nodes) <= ALL_NODES:
        positions, times = run.places.setdefault(node, (array("q"), array("q")))
        positions.append(record.position)
        times.append(taken_ns)


def with_facts(batch: Batch, known: dict[Subject, SubjectFacts]) -> Batch:
    """The batch with what is known of its subjects and what it does not say itself."""
    said = {one.subject for one in batch.facts}
    more = [one for subject, one in known.items() if subject not in said]
    room = DEFAULT_LIMITS.facts - len(batch.facts)
    return replace(batch, facts=(*batch.facts, *more[:room])) if more else batch


def _head(record: Record) -> _Head | None:
    try:
        raw = zstandard.ZstdDecompressor().decompress(record.body, max_output_size=DEFAULT_LIMITS.unpacked_bytes)
        return _HEADS.decode(raw)
    except (zstandard.ZstdError, ValueError, RecursionError):
        return None
