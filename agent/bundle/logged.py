"""Batches of one space from the ingest log: byte for byte what the watch was given, at the times at which it was."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import zstandard
from msgspec.structs import replace

from agent.bundle.reach import NS, Span
from agent.ingest.dedupe import Seen, run_of
from agent.ingest.log import IngestLog, Record
from collectors.errors import GiveUp
from collectors.model import Batch, EventKind, Origin, Subject, SubjectFacts
from collectors.wire import DEFAULT_LIMITS, decode


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
    start_position: int = 0
    end_position: int = 0
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


def survey(log: IngestLog, origin: Origin, cluster: str, at_ns: int, *, live: bool) -> Run | None:
    """The run in which this space was at `at_ns`; the last one where none was; None where the log has nothing.

    `live`: it goes by the agent's clock (`agent.server.spaces`).
    """
    runs: list[Run] = []
    clock, speaking, ended = _Clock(live), set[str](), True
    for record in log.read_from(0):
        head = _head(record)
        if head is None or head.origin != origin.value or head.node.cluster != cluster:
            continue
        if ended:
            clock, ended = _Clock(live), False
            runs.append(Run(clock.at(record.received_ns, head.sent_ns), start_position=record.position))
        run = runs[-1]
        run.last_ns, run.end_position = clock.at(record.received_ns, head.sent_ns), record.end
        run.nodes[head.node] += 1
        run.boots.setdefault(head.node, head.boot_id)
        run.bytes_by_second[run.last_ns // NS] += len(record.body)
        run.facts.update((facts.subject, facts) for facts in head.facts)
        if not live:
            # as agent.server.spaces: a replay is over once all its spools have said goodbye
            speaking.add(head.spool_id)
            if any(event.kind == EventKind.COLLECTOR_GOODBYE.value for event in head.events):
                speaking.discard(head.spool_id)
                ended = not speaking
    there = [run for run in runs if run.first_ns <= at_ns <= run.last_ns + 10 * NS]
    found = there or runs
    return found[-1] if found else None


def batches(
    log: IngestLog,
    run: Run,
    origin: Origin,
    cluster: str,
    span: Span,
    nodes: frozenset[Subject] | None,
    *,
    live: bool,
) -> Iterator[tuple[int, Batch]]:
    """(taken in, batch) of a run within a span, in order; `nodes`: of these only, None: of all.

    The first batch of each node bears what its collector had said of its subjects before: it says so once a minute.
    """
    clock, seen = _Clock(live), Seen()
    facts: dict[Subject, dict[Subject, SubjectFacts]] = {}
    begun: set[Subject] = set()
    for record in log.read_from(run.start_position):
        if record.end > run.end_position:
            return
        head = _head(record)
        if head is None or head.origin != origin.value or head.node.cluster != cluster:
            continue
        at_ns = clock.at(record.received_ns, head.sent_ns)
        if at_ns >= span.until_ns:
            return
        if nodes is not None and head.node not in nodes:
            continue
        if at_ns < span.start_ns:
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
