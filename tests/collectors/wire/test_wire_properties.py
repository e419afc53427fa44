"""For any batch, and any damage to it on the way."""

import math
import struct

import msgspec
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.errors import GiveUp
from collectors.model import (
    CATALOGUE,
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    MetricType,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from collectors.wire import decode, encode

INT64 = st.integers(0, 2**63 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"]), max_size=20)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
SUBJECTS = st.builds(Subject, NAMES.filter(bool), st.sampled_from(SubjectKind), NAMES.filter(bool))
ATTRIBUTES = st.dictionaries(NAMES, TEXT, max_size=4)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(EventKind),
    subject=SUBJECTS,
    time_ns=INT64,
    source=st.sampled_from(EventSource),
    values=st.dictionaries(NAMES, st.floats(allow_nan=False), max_size=4),
    attributes=ATTRIBUTES,
    line=TEXT,
)
METRICS_OF = {kind: sorted(m.name for m in CATALOGUE.values() if m.type is kind) for kind in MetricType}


@st.composite
def tables(draw: st.DrawFn, subject_count: int) -> Table:
    kind = draw(st.sampled_from(MetricType))
    metrics = tuple(draw(st.lists(st.sampled_from(METRICS_OF[kind]), unique=True, max_size=4)))
    most = min(4, subject_count)
    subjects = tuple(draw(st.lists(st.integers(0, max(0, subject_count - 1)), unique=True, max_size=most)))
    times = tuple(sorted(draw(st.sets(INT64, max_size=4))))
    cells = len(metrics) * len(subjects) * len(times)
    if kind is MetricType.COUNTER:
        values = draw(st.lists(st.integers(-1, 2**63 - 1), min_size=cells, max_size=cells))
        return Table(metrics, subjects, times, struct.pack(f"<{cells}q", *values))
    readings = draw(st.lists(st.floats(width=32), min_size=cells, max_size=cells))
    return Table(metrics, subjects, times, struct.pack(f"<{cells}f", *readings))


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    subjects = tuple(draw(st.lists(SUBJECTS, unique=True, max_size=5)))
    return Batch(
        version=WIRE_VERSION,
        origin=draw(st.sampled_from(Origin)),
        node=draw(SUBJECTS),
        boot_id=draw(NAMES),
        spool_id=draw(NAMES),
        sequence=draw(INT64),
        sent_ns=draw(INT64),
        subjects=subjects,
        facts=tuple(draw(st.lists(st.builds(SubjectFacts, SUBJECTS, NAMES, SUBJECTS, ATTRIBUTES), max_size=2))),
        tables=tuple(draw(st.lists(tables(len(subjects)), max_size=3))),
        events=tuple(draw(st.lists(EVENTS, max_size=3))),
        suspicion=draw(TEXT),
    )


@given(batches())
def test_every_sound_batch_survives_the_trip(batch: Batch) -> None:
    assert batch == decode(encode(batch))


def test_a_loss_that_is_no_number_survives_the_trip(batch: Batch) -> None:
    sick = Event(EventKind.TRAINING_STEP, batch.node, 1, EventSource.TRAINING_LOG, {"loss": math.nan})
    arrived = decode(encode(msgspec.structs.replace(batch, events=(sick,))))
    assert math.isnan(arrived.events[0].values["loss"])


@given(batches(), st.data())
def test_a_cut_body_is_refused(batch: Batch, data: st.DataObject) -> None:
    body = encode(batch)
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    assert not_a_batch(cut)


@given(batches(), st.data())
def test_a_flipped_bit_gives_a_refusal_or_a_sound_batch(batch: Batch, data: st.DataObject) -> None:
    body = flipped(encode(batch), data)
    if not not_a_batch(body):
        assert batch == decode(body)  # the checksum lets no other content through


@given(batches(), st.data())
def test_a_bit_flipped_before_packing_gives_a_refusal_or_a_sound_batch(batch: Batch, data: st.DataObject) -> None:
    """The checksum is right here, as it is for whoever means harm."""
    body = zstandard.compress(flipped(msgspec.msgpack.encode(batch), data), 1)
    if not not_a_batch(body):
        arrived = decode(body)
        assert encode(arrived)
        assert arrived.version == WIRE_VERSION


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_in_a_sound_frame_give_a_refusal(junk: bytes) -> None:
    assert not_a_batch(zstandard.compress(junk, 1))


def flipped(body: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def not_a_batch(body: bytes) -> bool:
    try:
        decode(body)
    except GiveUp as error:
        assert "\n" not in str(error)
        return True
    return False
