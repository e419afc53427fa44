"""What arrives is either a whole and sound batch, or one GiveUp that says what is wrong and where."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace as replace_fields
from typing import Any

import msgspec
import pytest
import zstandard

from collectors import wire
from collectors.errors import GiveUp
from collectors.model import Batch, Event, EventKind, EventSource, Subject, SubjectFacts, SubjectKind, Table
from collectors.wire import DEFAULT_LIMITS, Limits, decode, encode

NODE = Subject("prod", SubjectKind.NODE, "node-uid-1")
change = msgspec.structs.replace


def packed(value: Any) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(value), 1)


def as_dict(batch: Batch) -> dict[str, Any]:
    return msgspec.to_builtins(batch, builtin_types=(bytes,))


def event(**fields: Any) -> Event:
    return Event(EventKind.XID, NODE, 1, EventSource.KERNEL_LOG, **fields)


def test_a_batch_comes_back_as_it_was_sent(batch: Batch) -> None:
    assert batch == decode(encode(batch))


def with_table(**fields: Any) -> Callable[[Batch], Batch]:
    return lambda batch: change(batch, tables=(change(batch.tables[0], **fields),))


BAD: dict[str, tuple[Callable[[Batch], Batch], str]] = {
    "short data": (with_table(data=b"\0" * 31), r"tables\[0\].data: 31 bytes, but 2 times x 2 metrics x 2 subjects"),
    "counters as float32": (
        with_table(metrics=("gpu_energy_joules_total", "gpu_pcie_replays_total")),
        r"tables\[0\].data: 32 bytes.*take 64",
    ),
    "gauges and counters": (
        with_table(metrics=("gpu_power_watts", "gpu_energy_joules_total")),
        r"tables\[0\].metrics: gauges and counters",
    ),
    "subject index past the end": (with_table(subjects=(1, 3)), r"tables\[0\].subjects: index 3"),
    "negative subject index": (with_table(subjects=(-1, 1)), r"tables\[0\].subjects: index -1"),
    "subject twice in a table": (with_table(subjects=(1, 1)), r"tables\[0\].subjects: one stands there twice"),
    "metric twice": (with_table(metrics=("gpu_power_watts",) * 2), r"tables\[0\].metrics: one stands there twice"),
    "times fall": (with_table(times_ns=(5, 4)), r"tables\[0\].times_ns: not ascending"),
    "times stand still": (with_table(times_ns=(5, 5)), r"tables\[0\].times_ns: not ascending"),
    "time before 1970": (with_table(times_ns=(-5, 4)), r"tables\[0\].times_ns: not between"),
    "time beyond int64": (with_table(times_ns=(1, 2**63)), r"tables\[0\].times_ns: not between"),
    "subject twice in the batch": (lambda b: change(b, subjects=(NODE, NODE)), "subjects: one stands there twice"),
    "subject without id": (lambda b: change(b, node=Subject("c", SubjectKind.NODE, "")), "node: a subject without"),
    "line feed in an id": (lambda b: change(b, boot_id="a\nb"), "boot_id or spool_id: control character"),
    "NUL in an id": (lambda b: change(b, node=Subject("c", SubjectKind.NODE, "a\0")), "node: control character"),
    "negative sequence": (lambda b: change(b, sequence=-1), "sequence: -1"),
    "sequence beyond int64": (lambda b: change(b, sequence=2**63), "sequence: 9223372036854775808"),
    "event before 1970": (lambda b: change(b, events=(change(event(), time_ns=-1),)), r"events\[0\].time_ns: -1"),
    "long id": (lambda b: change(b, spool_id="x" * 513), "a name of 513 characters"),
    "long line": (lambda b: change(b, events=(event(), event(line="x" * 8193))), r"events\[1\].line: 8193"),
    "long attribute": (
        lambda b: change(b, events=(event(attributes={"detail": "x" * 8193}),)),
        r"events\[0\].attributes\['detail'\]: 8193 characters",
    ),
    "long key": (lambda b: change(b, events=(event(values={"x" * 600: 1.0}),)), r"events\[0\].values: a name of 600"),
    "many values": (
        lambda b: change(b, events=(event(values={str(i): 1.0 for i in range(65)}),)),
        r"events\[0\].values: 65 entries",
    ),
    "many attributes": (
        lambda b: change(b, facts=(SubjectFacts(NODE, "n", None, {str(i): "" for i in range(65)}),)),
        r"facts\[0\].attributes: 65 entries",
    ),
    "long suspicion": (lambda b: change(b, suspicion="x" * 8193), "suspicion: 8193 characters"),
    "many events": (lambda b: change(b, events=(event(),) * 20_001), "events: 20001, at most 20000"),
    "many subjects": (
        lambda b: change(b, subjects=tuple(Subject("c", SubjectKind.POD, str(i)) for i in range(4097))),
        "subjects: 4097, at most 4096",
    ),
    "many looks": (
        lambda b: change(b, tables=(Table(("gpu_power_watts",), (0,), tuple(range(4097)), b"\0" * 16388),)),
        r"tables\[0\].times_ns: 4097 looks",
    ),
    "many tables": (lambda b: change(b, tables=b.tables[:1] * 65), "tables: 65, at most 64"),
    "many metrics": (
        lambda b: change(b, tables=(Table(tuple(map(str, range(513))), (0,), (1,), b""),)),
        r"tables\[0\].metrics: 513",
    ),
    "another version": (lambda b: change(b, version=99), "wire version 99.*upgrade the agent"),
    "an old version": (lambda b: change(b, version=0), "wire version 0.*upgrade the collector"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_is_refused_whole_with_what_and_where(name: str, batch: Batch) -> None:
    spoil, message = BAD[name]
    with pytest.raises(GiveUp, match=message) as caught:
        decode(encode(spoil(batch)))
    assert "\n" not in str(caught.value)


def test_a_wrong_type_is_named_by_its_path(batch: Batch) -> None:
    spoilt = as_dict(batch)
    spoilt["events"][0]["values"]["code"] = "seventy-nine"
    with pytest.raises(GiveUp, match=r"Expected `float`, got `str` - at `\$\.events\[0\]\.values\[\.\.\.\]`"):
        decode(packed(spoilt))


def test_another_version_is_named_even_if_its_fields_changed(batch: Batch) -> None:
    spoilt = as_dict(batch) | {"version": 5, "tables": "now something else"}
    with pytest.raises(GiveUp, match="wire version 5, this agent reads 1; upgrade the agent"):
        decode(packed(spoilt))


def test_fields_that_a_newer_collector_added_are_passed_over(batch: Batch) -> None:
    assert batch == decode(packed(as_dict(batch) | {"mood": "good"}))


def test_the_version_before_is_read_by_its_own_reader(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wire._OLDER, 0, lambda raw: change(batch, sequence=msgspec.msgpack.decode(raw)["number"]))
    assert change(batch, sequence=41) == decode(packed({"version": 0, "number": 41}))


def test_what_an_older_reader_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wire._OLDER, 0, msgspec.msgpack.Decoder(Batch).decode)
    with pytest.raises(GiveUp, match="wire version 0: Object missing required field"):
        decode(packed({"version": 0}))


def test_a_bomb_is_refused_by_its_stated_size() -> None:
    bomb = zstandard.compress(b"\0" * (300 * 2**20), 1)
    assert len(bomb) < DEFAULT_LIMITS.packed_bytes
    with pytest.raises(GiveUp, match="unpacks to 314572800 bytes, at most 8388608 allowed"):
        decode(bomb)


def test_a_frame_that_hides_its_size_is_refused(batch: Batch) -> None:
    hidden = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(msgspec.msgpack.encode(batch))
    with pytest.raises(GiveUp, match="does not state its size"):
        decode(hidden)


def test_a_second_frame_behind_the_first_is_refused(batch: Batch) -> None:
    with pytest.raises(GiveUp, match="no whole zstd frame"):
        decode(encode(batch) + encode(batch))


def test_a_body_above_the_limit_is_not_unpacked(batch: Batch) -> None:
    body = encode(batch)
    with pytest.raises(GiveUp, match=rf"body of {len(body)} bytes, at most 10 allowed"):
        decode(body, limits=replace_fields(DEFAULT_LIMITS, packed_bytes=10))


@pytest.mark.parametrize("depth", [100_000, 8_000_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(GiveUp, match=r"batch refused"):
        decode(zstandard.compress(b"\x81\xa1x" + b"\x91" * depth, 1))


def test_text_that_is_no_utf8_is_refused(batch: Batch) -> None:
    raw = msgspec.msgpack.encode(batch).replace(b"boot-1", b"boo\xff\xfe1")
    with pytest.raises(GiveUp, match="utf-8"):
        decode(zstandard.compress(raw, 1))


@pytest.mark.parametrize("body", [b"", b"\0", b"hello", b"\x28\xb5\x2f\xfd", packed(None), packed([1]), packed({})])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(GiveUp, match="batch refused: "):
        decode(body)


def test_unknown_metrics_are_kept_out_and_counted(batch: Batch) -> None:
    table = batch.tables[0]
    first, second = table.data[:16], table.data[16:]  # one look each: 2 metrics x 2 subjects x 4 bytes
    strange = b"\xff" * 8
    mixed = change(
        table,
        metrics=("gpu_power_watts", "gpu_mood_ratio", "gpu_temperature_celsius"),
        data=first[:8] + strange + first[8:] + second[:8] + strange + second[8:],
    )
    unknown: Counter[str] = Counter()
    sent = change(batch, tables=(mixed, batch.tables[1]))
    assert batch == decode(encode(sent), unknown=unknown)
    assert Counter({"gpu_mood_ratio": 1}) == unknown


@pytest.mark.parametrize("item_bytes", [4, 8])
def test_a_table_of_unknown_metrics_only_is_left_out(batch: Batch, item_bytes: int) -> None:
    strange = Table(("gpu_mood_ratio",), (1,), (1, 2, 3), b"\0" * 3 * item_bytes)
    unknown: Counter[str] = Counter()
    assert batch == decode(encode(change(batch, tables=(*batch.tables, strange))), unknown=unknown)
    assert Counter({"gpu_mood_ratio": 1}) == unknown


def test_a_table_of_unknown_metrics_has_to_have_a_sound_size_too(batch: Batch) -> None:
    strange = Table(("gpu_mood_ratio",), (1,), (1, 2, 3), b"\0" * 13)
    with pytest.raises(GiveUp, match="take 12 or 24"):
        decode(encode(change(batch, tables=(strange,))))


def test_text_that_msgpack_cannot_hold_gives_up_at_the_sender(batch: Batch) -> None:
    with pytest.raises(GiveUp, match="prod/node/node-uid-1 cannot be encoded"):
        encode(change(batch, suspicion="\udc80"))


def test_limits_are_far_above_a_burst_of_events(batch: Batch) -> None:
    burst = change(batch, events=tuple(event(line="x" * 1_000) for _ in range(5_000)))
    assert burst == decode(encode(burst), limits=Limits())
