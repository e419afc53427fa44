"""One incident, gathered and written: the span, the nodes, the batches, and what could not be had."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import IO, Any

import msgspec

from agent.api.shapes import DecisionShape, EventShape, FindingShape, IncidentShape
from agent.bundle import logged
from agent.bundle.names import Names
from agent.bundle.reach import ALL_NODES, NS, Involved, Span, involved, span_of
from agent.bundle.rewrite import NAMES_IN, Rewriter, note_batch, note_facts, note_names, note_namespaces, note_subjects
from agent.bundle.stored import MOST_EVENTS as STORED_EVENTS
from agent.bundle.stored import rebuilt
from agent.ingest.log import IngestLog
from agent.inventory_csv import TOPOLOGY, written
from agent.store.store import Store
from collectors.model import Batch, Event, Origin, Subject, SubjectFacts, SubjectKind
from collectors.recording.batches import FILE, MAGIC, META, record
from collectors.recording.bundle import EVENTS, FORMAT, INCIDENT, INVENTORY_CSV, INVENTORY_JSON, VERSION
from collectors.wire import encode
from detectors.inventory import Source
from detectors.model import Finding, Incident, Inventory
from policies.model import Decision

MOST_BYTES = 256 * 2**20
"""Of batches, as they came; beyond it the history is shortened from its beginning."""
MOST_EVENTS = 20_000
"""Events in `events.jsonl`, which is for people: the batches hold all."""


_MOVES = ("job", "rank", "pod_uid", "pod", "namespace")
"""Attributes of a card that are gone once its job has ended."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be bundled, and how."""

    incident: Incident
    findings: Sequence[Finding]
    decisions: Sequence[Decision]
    now_ns: int
    before_s: float
    after_s: float
    rename: bool = False
    live: bool = True
    """Its watch goes by the agent's clock."""


@dataclass(slots=True)
class Gathered:
    """What will be written; `batches` begins anew at each call."""

    span: Span
    nodes: frozenset[Subject]
    jobs: frozenset[Subject]
    batches: Callable[[], Iterator[tuple[int, Batch]]]
    topology: dict[str, dict[str, str]] = field(default_factory=dict)
    told: dict[Source, list[SubjectFacts]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def gather(asked: Asked, store: Store, log: IngestLog | None, inventory: Inventory | None) -> Gathered:
    """Find everything; reads the ingest log once, and the store where the log does not reach back."""
    incident = asked.incident
    origin, cluster = incident.origin, incident.subject.cluster
    known = inventory if inventory is not None else Inventory()
    now_ns = asked.now_ns if asked.live else None
    span = span_of(incident, asked.findings, now_ns, asked.before_s, asked.after_s)
    about = involved(incident, asked.findings, store.attempts(cluster=cluster, origin=origin), known)
    kept = None if about.whole or not about.nodes else about.nodes
    run = None
    if log is not None:
        run = logged.survey(log, origin, cluster, incident.opened_ns, span, live=asked.live, kept=kept)
    if run is not None and not (run.first_ns < span.until_ns and run.last_ns >= span.start_ns):
        run = None  # it has nothing of that time any more
    missing: list[str] = []
    nodes = _nodes(asked, about, run, store, known, missing)
    begins_ns = run.first_ns if run is not None else span.until_ns
    if run is not None:
        span, begins_ns = _shortened(run, span, begins_ns, missing)
    facts = {subject: _as_at(known, subject, incident.opened_ns) for subject in list(known.facts)}
    facts |= run.facts if run is not None else {}
    boots = run.boots if run is not None else {}
    early = Span(span.start_ns, min(begins_ns, span.until_ns))
    old: list[tuple[int, Batch]] = []
    if early.start_ns < early.until_ns:
        stored = rebuilt(store, origin, early, nodes, about.jobs, facts, boots)
        old = stored.batches
        if stored.events_cut:
            missing.append(f"events of the store beyond the first {STORED_EVENTS:,}")
    missing += _not_there(span, begins_ns, old, run is not None)
    if inventory is None:
        missing.append("the inventory was not at hand: no watch over this cluster runs now")

    def batches() -> Iterator[tuple[int, Batch]]:
        yield from old
        if log is not None and run is not None:
            yield from logged.batches(log, run, span, nodes)

    topology, told = _inventory(known, nodes, about)
    sources = [
        {"from": name, "start_unix": first / NS, "until_unix": last / NS}
        for name, first, last, there in (
            ("store", old[0][0] if old else 0, early.until_ns, bool(old)),
            ("ingest log", max(span.start_ns, begins_ns), span.until_ns, run is not None),
        )
        if there
    ]
    return Gathered(span, nodes, about.jobs, batches, topology, told, sources, missing)


def write(target: IO[bytes], asked: Asked, found: Gathered, store: Store) -> dict[str, Any]:
    """Write the archive; what stands in its `meta.json`."""
    rewriter = Rewriter(_names(asked, found, store) if asked.rename else None)
    counted, first_ns = 0, 0
    with zipfile.ZipFile(target, "w", allowZip64=False) as archive:
        with archive.open(_member(FILE, zipfile.ZIP_STORED), "w") as out:
            out.write(MAGIC)
            for taken_ns, batch in found.batches():
                out.write(record(taken_ns, encode(rewriter.batch(batch))))
                counted, first_ns = counted + 1, first_ns or taken_ns
        incident = rewriter.document(msgspec.to_builtins(IncidentShape.of(asked.incident)))
        for name, content in (
            (INVENTORY_CSV, written(_renamed(found.topology, rewriter)).encode()),
            (INVENTORY_JSON, _json({k: [rewriter.facts(one) for one in v] for k, v in found.told.items()})),
            (INCIDENT, _json(_told(asked, rewriter))),
            (EVENTS, b"".join(_lines(found, store, asked, rewriter))),
        ):
            archive.writestr(_member(name, zipfile.ZIP_DEFLATED), content)
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "made_by": version("watchstander"),
            "made_unix": asked.now_ns / NS,
            "cluster": incident["subject"]["cluster"],
            "incident": asked.incident.id,
            "kind": asked.incident.kind.value,
            "title": incident["title"],
            "was": asked.incident.origin.value,
            "origin": Origin.REPLAY.value,
            "renamed": asked.rename,
            "start_unix": (first_ns or found.span.start_ns) / NS,
            "end_unix": found.span.until_ns / NS,
            "history_seconds": round(max(0.0, asked.incident.since_ns - (first_ns or asked.incident.since_ns)) / NS, 3),
            "nodes": len(found.nodes),
            "batches": counted,
            "sources": found.sources,
            "missing": found.missing if counted else [*found.missing, "no batch at all: nothing can be played"],
        }
        archive.writestr(_member(META, zipfile.ZIP_DEFLATED), _json(meta))
    return meta


def _nodes(
    asked: Asked, about: Involved, run: logged.Run | None, store: Store, known: Inventory, missing: list[str]
) -> frozenset[Subject]:
    """The nodes that are taken."""
    cluster = asked.incident.subject.cluster
    everywhere = set(run.nodes) if run is not None else set()
    if not everywhere:
        everywhere = {
            Subject(cluster, SubjectKind.NODE, node.id)
            for node in store.nodes(cluster=cluster)
            if node.origin is asked.incident.origin
        } | about.nodes
    if about.whole or len(everywhere) <= ALL_NODES or not about.nodes:
        return frozenset(everywhere)
    taken = about.nodes & everywhere or about.nodes
    missing.append(
        f"{len(everywhere) - len(taken)} other nodes of the cluster were left out: ticks, and with them times of "
        "opening and ids, may differ by up to 5 s"
    )
    return frozenset(taken)


def _shortened(run: logged.Run, span: Span, begins_ns: int, missing: list[str]) -> tuple[Span, int]:
    """The span with as much history as MOST_BYTES hold. Counts all nodes: some may be left out, and more would fit."""
    room, start_ns = MOST_BYTES, span.until_ns
    for second in sorted((s for s in run.bytes_by_second if span.start_ns <= s * NS < span.until_ns), reverse=True):
        room -= run.bytes_by_second[second]
        if room < 0:
            missing.append(
                f"the {(start_ns - span.start_ns) / NS:.0f} s of history before {start_ns / NS:.0f} (Unix s): "
                f"with them it would hold more than {MOST_BYTES // 2**20} MiB of batches"
            )
            return Span(start_ns, span.until_ns), max(begins_ns, start_ns)
        start_ns = second * NS
    return span, begins_ns


def _not_there(span: Span, begins_ns: int, old: list[tuple[int, Batch]], has_log: bool) -> list[str]:
    """What neither log nor store has, in words."""
    said = []
    if begins_ns > span.start_ns and old:
        reach = (
            f"the ingest log reaches back to {begins_ns / NS:.0f} (Unix s) only" if has_log else "the ingest log has"
        )
        reach += "" if has_log else " nothing of that time any more"
        said.append(
            f"{reach}: before that readings and events are from the store, without training steps and rounded to "
            "10 bits; what rests on a job's rhythm or its loss may be missing"
        )
    first_ns = old[0][0] if old else begins_ns
    if first_ns - span.start_ns > 10 * NS:
        said.append(
            f"{(min(first_ns, span.until_ns) - span.start_ns) / NS:.0f} s of the history asked for are not there: "
            "nothing was collected then, or it is no longer kept"
        )
    return said


def _inventory(
    known: Inventory, nodes: frozenset[Subject], about: Involved
) -> tuple[dict[str, dict[str, str]], dict[Source, list[SubjectFacts]]]:
    """Racks, domains and pools of all nodes by name, and what the cluster's API said of what is taken."""
    topology = {}
    for subject, facts in list(known.facts.items()):
        if subject.kind is SubjectKind.NODE and subject not in known.gone:
            topology[facts.name] = {key: facts.attributes[key] for key in TOPOLOGY if facts.attributes.get(key)}
    told = [
        one
        for one in known.said_by(Source.KUBERNETES)
        if one.subject in nodes or one.node in nodes or one.subject in about.jobs
    ]
    return topology, {Source.KUBERNETES: told} if told else {}


def _as_at(known: Inventory, subject: Subject, time_ns: int) -> SubjectFacts:
    """What was known of a subject at a time; what was not known yet, as it is known now."""
    facts = known.facts[subject]
    keys = {*facts.attributes, *_MOVES} if subject.kind is SubjectKind.GPU else set(facts.attributes)
    then = {key: known.value_at(subject, key, time_ns) or facts.attributes.get(key, "") for key in sorted(keys)}
    return SubjectFacts(subject, facts.name, facts.node, {key: value for key, value in then.items() if value})


def _names(asked: Asked, found: Gathered, store: Store) -> Names:
    names = Names()
    for namespace in (*asked.incident.namespaces, *(name for f in asked.findings for name in f.namespaces)):
        names.note("namespace", namespace)
    for event in _events(found, store, asked):
        note_namespaces(names, event)
    note_subjects(names, (asked.incident.subject, *found.nodes, *found.jobs))
    note_names(names, asked.incident.names)
    for job in asked.incident.gpus:
        names.note("job", job)
    for finding in asked.findings:
        note_subjects(names, (finding.subject, *finding.related))
        note_names(names, finding.names)
    for node, said in found.topology.items():
        names.note("node", node)
        for key, value in said.items():
            names.note(NAMES_IN[key], value)
    for facts in (one for several in found.told.values() for one in several):
        note_facts(names, facts)
    for _, batch in found.batches():
        note_batch(names, batch)
    names.settle()
    return names


def _renamed(topology: dict[str, dict[str, str]], rewriter: Rewriter) -> dict[str, dict[str, str]]:
    names = rewriter.names
    if names is None:
        return topology
    return {names.id(node): {key: names.id(value) for key, value in said.items()} for node, said in topology.items()}


def _told(asked: Asked, rewriter: Rewriter) -> dict[str, Any]:
    """As the API shows them, without what people said."""
    shapes = {
        "incident": IncidentShape.of(asked.incident),
        "findings": [FindingShape.of(finding) for finding in asked.findings],
        "decisions": [DecisionShape.of(decision) for decision in asked.decisions],
    }
    told: dict[str, Any] = rewriter.document(msgspec.to_builtins(shapes))
    return told


def _lines(found: Gathered, store: Store, asked: Asked, rewriter: Rewriter) -> Iterator[bytes]:
    """Events about what is taken, one a line, in order of time."""
    for event in _events(found, store, asked):
        yield _json(rewriter.document(msgspec.to_builtins(EventShape.of(event)))) + b"\n"


def _events(found: Gathered, store: Store, asked: Asked) -> Iterator[Event]:
    cluster, span = asked.incident.subject.cluster, found.span
    homes = found.nodes | found.jobs
    events = store.events(since_ns=span.start_ns, until_ns=span.until_ns, cluster=cluster, limit=MOST_EVENTS)
    about = {s for finding in asked.findings for s in (finding.subject, *finding.related)}
    yield from (event for event in events if event.subject in homes or event.subject in about)


def _member(name: str, packed: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = packed
    info.external_attr = 0o600 << 16
    return info


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=0)
