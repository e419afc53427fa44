"""A batch as bytes: msgpack by msgspec, zstd level 1 around it. docs/wire.md describes it byte by byte.

Everything that arrives is hostile until `decode` has looked at it. A bad body is refused whole with one GiveUp that
says what is wrong and where; a metric that this version does not know is kept out and counted, since a newer collector
may know more.

Compressors and decompressors are made per call: zstandard objects shared by threads corrupt the heap, and a new one
costs 2-3 us.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import zstandard

from collectors.errors import GiveUp
from collectors.model import CATALOGUE, WIRE_VERSION, Batch, Event, MetricType, Subject, SubjectFacts, Table

CONTENT_TYPE = "application/vnd.watchstander.batch"
CONTENT_ENCODING = "zstd"

GAUGE_BYTES = 4
COUNTER_BYTES = 8
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one batch may hold.

    Far above what a node of 8 GPUs sends (2.5 kB unpacked, 12 subjects; a minute of second-by-second readings in one
    batch is 120 kB), far below what hurts an agent that has 200 bodies in its hands at once.
    """

    packed_bytes: int = 4 * 2**20
    unpacked_bytes: int = 8 * 2**20
    subjects: int = 4_096
    facts: int = 4_096
    tables: int = 64
    metrics_per_table: int = 512
    looks_per_table: int = 4_096
    events: int = 20_000
    pairs: int = 64
    """Entries in one event's `values`, one event's `attributes`, or one subject's `attributes`."""
    name_chars: int = 512
    """Ids, names, keys, cluster names, `boot_id`, `spool_id`."""
    text_chars: int = 8_192
    """An event's `line`, an attribute's value, `suspicion`."""


DEFAULT_LIMITS = Limits()

_USUAL_KEYS = frozenset(
    {
        "code",
        "rank",
        "sequence_number",
        "ran_for_seconds",
        "duration_seconds",
        "step",
        "loss",
        "grad_norm",
        "learning_rate",
        "step_time_seconds",
        "data_wait_seconds",
        "tokens_per_second",
        "loss_scale",
        "skipped_steps",
        "nan_steps",
        "pci_bus_id",
        "path",
        "operation",
        "process",
        "detail",
        "index",
        "uuid",
        "model",
        "power_limit_watts",
        "slowdown_celsius",
        "memory_total_bytes",
        "job",
        "world_size",
        "boot_id",
        "driver",
    }
)
"""Keys that need no second look: a set comparison costs a tenth of a look at each."""

_SOUND_TABLES: dict[tuple[tuple[str, ...], tuple[int, ...]], tuple[int, int]] = {}
"""By a table's metrics and subjects, of those seen whole and sound: bytes of one look, and the least number of subjects
that its batch must have. A fleet sends a handful; 1,000 bound it."""
_SOUND_SUBJECTS: set[tuple[Subject, ...]] = set()
"""Subjects of batches seen sound: a node sends the same for hours. 20,000 nodes of 8 GPUs take about 30 MiB."""
_MOST_SOUND_SUBJECTS = 20_000

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Batch)


class _Head(msgspec.Struct):
    version: int


_HEAD_DECODER = msgspec.msgpack.Decoder(_Head)

_OLDER: dict[int, Callable[[bytes], Batch]] = {}
"""How to read the version before this one: its body, unpacked, to today's Batch. Version 1 has none before it; version
2 puts `{1: _read_version_1}` here, and version 3 replaces it."""

READABLE_VERSIONS: tuple[int, ...] = (WIRE_VERSION, *_OLDER)
"""The wire versions that `decode` reads: N and, once there is one, N-1."""


def encode(batch: Batch) -> bytes:
    """The batch as one zstd frame that states its size and bears a checksum.

    Raises GiveUp for what msgpack cannot hold: an integer beyond 64 bits, text with lone surrogates.
    """
    try:
        raw = _ENCODER.encode(batch)
    except (ValueError, OverflowError) as error:
        raise GiveUp(f"batch of {batch.node} cannot be encoded: {_one_line(error)}") from None
    return zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True).compress(raw)


def decode(body: bytes, *, limits: Limits = DEFAULT_LIMITS, unknown: Counter[str] | None = None) -> Batch:
    """Read one batch and check everything that its type cannot say.

    Readings of metrics that the catalogue does not know are kept out of the batch; their names are added to `unknown`,
    once a table. Raises GiveUp, and nothing else, for every body that is not a whole and sound batch.
    """
    batch = _read(_unpack(body, limits))
    _check_head(batch, limits)
    _check_subjects(batch, limits)
    _check_events(batch.events, limits)
    tables = _checked_tables(batch, limits, unknown)
    if tables is not batch.tables:
        batch = msgspec.structs.replace(batch, tables=tables)
    return batch


def _refuse(what: str) -> GiveUp:
    return GiveUp(f"batch refused: {what}")


def _unpack(body: bytes, limits: Limits) -> bytes:
    if len(body) > limits.packed_bytes:
        raise _refuse(f"body of {len(body)} bytes, at most {limits.packed_bytes} allowed")
    try:
        size = zstandard.frame_content_size(body)
        # The stated size comes first: with one stated, zstandard ignores max_output_size and unpacks it all.
        if size < 0:
            raise _refuse("body: the zstd frame does not state its size")
        if size > limits.unpacked_bytes:
            raise _refuse(f"body: unpacks to {size} bytes, at most {limits.unpacked_bytes} allowed")
        raw = zstandard.ZstdDecompressor().decompress(
            body, max_output_size=limits.unpacked_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise _refuse(f"body of {len(body)} bytes is no whole zstd frame ({_one_line(error)})") from None
    if len(raw) != size:
        raise _refuse(f"body: states {size} bytes unpacked, has {len(raw)}")
    return raw


def _read(raw: bytes) -> Batch:
    try:
        batch = _DECODER.decode(raw)
    except RecursionError:
        raise _refuse("body is nested too deeply") from None
    except ValueError as error:  # msgspec's own errors, and UnicodeDecodeError for text that is no UTF-8
        version = _version_of(raw)
        if version is None or version == WIRE_VERSION:
            raise _refuse(_one_line(error)) from None
    else:
        version = batch.version
        if version == WIRE_VERSION:
            return batch
    older = _OLDER.get(version)
    if older is None:
        readable = " or ".join(str(v) for v in READABLE_VERSIONS)
        side = "agent" if version > WIRE_VERSION else "collector"
        raise _refuse(f"wire version {version}, this agent reads {readable}; upgrade the {side}")
    try:
        return older(raw)
    except RecursionError:
        raise _refuse("body is nested too deeply") from None
    except ValueError as error:
        raise _refuse(f"wire version {version}: {_one_line(error)}") from None


def _version_of(raw: bytes) -> int | None:
    try:
        return _HEAD_DECODER.decode(raw).version
    except (ValueError, RecursionError):
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _check_head(batch: Batch, limits: Limits) -> None:
    _check_names((batch.boot_id, batch.spool_id), "boot_id or spool_id", limits)
    _check_int64(batch.sequence, "sequence")
    _check_int64(batch.sent_ns, "sent_ns")
    _check_text(batch.suspicion, "suspicion", limits)
    for what, count, most in (
        ("subjects", len(batch.subjects), limits.subjects),
        ("facts", len(batch.facts), limits.facts),
        ("tables", len(batch.tables), limits.tables),
        ("events", len(batch.events), limits.events),
    ):
        if count > most:
            raise _refuse(f"{what}: {count}, at most {most} allowed")


def _check_subjects(batch: Batch, limits: Limits) -> None:
    _check_subject(batch.node, "node", limits)
    for i, facts in enumerate(batch.facts):
        _check_facts(facts, i, limits)
    if limits is DEFAULT_LIMITS and batch.subjects in _SOUND_SUBJECTS:
        return
    names = [name for subject in batch.subjects for name in (subject.cluster, subject.id)]
    # One look at all of them is five times cheaper than one at each, which is for finding the culprit.
    if not (all(names) and "".join(names).isprintable() and max(map(len, names), default=0) <= limits.name_chars):
        for i, subject in enumerate(batch.subjects):
            _check_subject(subject, f"subjects[{i}]", limits)
    if len(set(batch.subjects)) != len(batch.subjects):
        raise _refuse("subjects: one stands there twice")
    if limits is DEFAULT_LIMITS:
        if len(_SOUND_SUBJECTS) >= _MOST_SOUND_SUBJECTS:
            _SOUND_SUBJECTS.clear()
        _SOUND_SUBJECTS.add(batch.subjects)


def _check_subject(subject: Subject, where: str, limits: Limits) -> None:
    if not subject.id or not subject.cluster:
        raise _refuse(f"{where}: a subject without an id or a cluster")
    _check_names((subject.cluster, subject.id), where, limits)


def _check_facts(facts: SubjectFacts, i: int, limits: Limits) -> None:
    where = f"facts[{i}]"
    _check_subject(facts.subject, where, limits)
    if facts.node is not None:
        _check_subject(facts.node, f"{where}.node", limits)
    _check_names((facts.name,), f"{where}.name", limits)
    _check_attributes(facts.attributes, "facts", i, limits)


def _check_events(events: tuple[Event, ...], limits: Limits) -> None:
    last: Subject | None = None  # a burst is about few subjects, mostly one after the other
    most_chars = limits.text_chars
    for i, event in enumerate(events):
        if event.subject != last:
            _check_subject(event.subject, f"events[{i}].subject", limits)
            last = event.subject
        if not 0 <= event.time_ns <= _INT64_MAX:
            raise _refuse(f"events[{i}].time_ns: {event.time_ns} is no Unix time in ns")
        if len(event.line) > most_chars:
            raise _refuse(f"events[{i}].line: {len(event.line)} characters, at most {limits.text_chars} allowed")
        if not event.values.keys() <= _USUAL_KEYS:
            if len(event.values) > limits.pairs:
                raise _refuse(f"events[{i}].values: {len(event.values)} entries, at most {limits.pairs} allowed")
            _check_names(event.values, f"events[{i}].values", limits)
        if event.attributes:
            _check_attributes(event.attributes, "events", i, limits)


def _check_attributes(attributes: dict[str, str], field: str, i: int, limits: Limits) -> None:
    if not attributes.keys() <= _USUAL_KEYS:
        if len(attributes) > limits.pairs:
            raise _refuse(f"{field}[{i}].attributes: {len(attributes)} entries, at most {limits.pairs} allowed")
        _check_names(attributes, f"{field}[{i}].attributes", limits)
    for key, value in attributes.items():
        if len(value) > limits.text_chars:
            where = f"{field}[{i}].attributes[{key!r}]"
            raise _refuse(f"{where}: {len(value)} characters, at most {limits.text_chars} allowed")


def _check_names(names: Iterable[str], where: str, limits: Limits) -> None:
    for name in names:
        if len(name) > limits.name_chars:
            raise _refuse(f"{where}: a name of {len(name)} characters, at most {limits.name_chars} allowed")
        # Names are keys in logs, tables and pages; a line feed or a NUL in one has no honest use.
        if not name.isprintable():
            raise _refuse(f"{where}: control character in {name[:60]!r}")


def _check_text(text: str, where: str, limits: Limits) -> None:
    if len(text) > limits.text_chars:
        raise _refuse(f"{where}: {len(text)} characters, at most {limits.text_chars} allowed")


def _check_int64(value: int, where: str) -> None:
    if not 0 <= value <= _INT64_MAX:
        raise _refuse(f"{where}: {value} is not between 0 and 2^63-1")


def _checked_tables(batch: Batch, limits: Limits, unknown: Counter[str] | None) -> tuple[Table, ...]:
    kept: list[Table] = []
    changed = False
    for i, table in enumerate(batch.tables):
        sound = _checked_table(table, f"tables[{i}]", len(batch.subjects), limits, unknown)
        changed = changed or sound is not table
        if sound is not None:
            kept.append(sound)
    return tuple(kept) if changed else batch.tables


def _checked_table(
    table: Table, where: str, subject_count: int, limits: Limits, unknown: Counter[str] | None
) -> Table | None:
    metrics, subjects, times = table.metrics, table.subjects, table.times_ns
    sound = _SOUND_TABLES.get((metrics, subjects)) if limits is DEFAULT_LIMITS else None
    if (
        sound is not None
        and len(times) == 1  # what a calm node sends
        and 0 <= times[0] <= _INT64_MAX
        and sound[1] <= subject_count
        and len(table.data) == sound[0]
    ):
        return table
    if len(metrics) > limits.metrics_per_table:
        raise _refuse(f"{where}.metrics: {len(metrics)}, at most {limits.metrics_per_table} allowed")
    if len(subjects) > limits.subjects:
        raise _refuse(f"{where}.subjects: {len(subjects)}, at most {limits.subjects} allowed")
    if len(times) > limits.looks_per_table:
        raise _refuse(f"{where}.times_ns: {len(times)} looks, at most {limits.looks_per_table} allowed")
    if len(set(subjects)) != len(subjects):
        raise _refuse(f"{where}.subjects: one stands there twice")
    for index in subjects:
        if not 0 <= index < subject_count:
            raise _refuse(f"{where}.subjects: index {index}, but the batch has {subject_count} subjects")
    if times and (times[0] < 0 or times[-1] > _INT64_MAX):
        raise _refuse(f"{where}.times_ns: not between 0 and 2^63-1")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise _refuse(f"{where}.times_ns: not ascending")

    if len(set(metrics)) != len(metrics):
        raise _refuse(f"{where}.metrics: one stands there twice")
    known = [CATALOGUE.get(name) for name in metrics]
    types = {metric.type for metric in known if metric is not None}
    if len(types) > 1:
        raise _refuse(f"{where}.metrics: gauges and counters in one table")
    cells = len(times) * len(metrics) * len(subjects)
    # With no metric known, either size is sound.
    sizes = [COUNTER_BYTES if MetricType.COUNTER in types else GAUGE_BYTES] if types else [GAUGE_BYTES, COUNTER_BYTES]
    if len(table.data) not in [cells * size for size in sizes]:
        wanted = " or ".join(str(cells * size) for size in sizes)
        shape = f"{len(times)} times x {len(metrics)} metrics x {len(subjects)} subjects"
        raise _refuse(f"{where}.data: {len(table.data)} bytes, but {shape} take {wanted}")

    if None not in known:
        if limits is DEFAULT_LIMITS and len(_SOUND_TABLES) < 1_000:
            look_bytes = len(metrics) * len(subjects) * sizes[0]
            _SOUND_TABLES[metrics, subjects] = (look_bytes, max(subjects, default=-1) + 1)
        return table
    for name, metric in zip(metrics, known):
        if metric is None:
            _check_names((name,), f"{where}.metrics", limits)
            if unknown is not None:
                unknown[name] += 1
    return _without_unknown(table, [metric is not None for metric in known], sizes[0]) if types else None


def _without_unknown(table: Table, keep: list[bool], item_bytes: int) -> Table:
    row = len(table.subjects) * item_bytes
    look = row * len(keep)
    parts = [
        table.data[t * look + m * row : t * look + (m + 1) * row]
        for t in range(len(table.times_ns))
        for m, kept in enumerate(keep)
        if kept
    ]
    metrics = tuple(name for name, kept in zip(table.metrics, keep) if kept)
    return Table(metrics, table.subjects, table.times_ns, b"".join(parts))
