"""Readings: what comes out of compressed chunks is what went in, gauges to 0.05 %, counters and times exactly."""

import struct
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from store_samples import GPU, NODE, NOW, SECOND, counters, gauges

from agent.store import chunks
from agent.store.chunks import ReadingsChunk
from agent.store.store import Store
from collectors.errors import GiveUp
from collectors.model import COUNTER_ABSENT, Subject, SubjectKind

POWER, ENERGY = "gpu_power_watts", "gpu_energy_joules_total"


def there_and_back(chunk: ReadingsChunk) -> ReadingsChunk:
    chunk.check()
    return chunks.decode(chunks.encode(chunk), chunk.subjects, chunk.metrics)


@given(arrays.arrays(np.float32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.floats(width=32)), st.data())
def test_any_gauge_survives_to_half_a_per_mille(values: np.ndarray, data: st.DataObject) -> None:
    """NaN stays NaN, infinity infinity, zero zero; nothing finite becomes infinite."""
    samples, metrics, subjects = values.shape
    gaps = data.draw(st.lists(st.integers(1, 2**40), min_size=samples, max_size=samples))
    chunk = ReadingsChunk(
        tuple(Subject("c", SubjectKind.GPU, str(n)) for n in range(subjects)),
        tuple(f"m{n}" for n in range(metrics)),
        np.cumsum(np.array(gaps, np.int64)),
        values,
    )

    back = there_and_back(chunk)

    assert chunk.times_ns.tolist() == back.times_ns.tolist()
    normal = np.isfinite(values) & (np.abs(values) >= np.finfo(np.float32).tiny)
    assert np.all(np.isfinite(back.values[normal]))
    assert np.all(np.abs(back.values[normal].astype(float) / values[normal].astype(float) - 1) <= 2.0**-10)
    assert np.array_equal(values[~np.isfinite(values)], back.values[~np.isfinite(values)], equal_nan=True)


@given(arrays.arrays(np.int64, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(-(2**63), 2**63 - 1)))
def test_any_counter_survives_exactly(values: np.ndarray) -> None:
    """Also where a difference does not fit into 64 bits."""
    samples, metrics, subjects = values.shape
    chunk = ReadingsChunk(
        tuple(Subject("c", SubjectKind.GPU, str(n)) for n in range(subjects)),
        tuple(f"m{n}_total" for n in range(metrics)),
        np.arange(samples, dtype=np.int64),
        values,
    )

    assert values.tolist() == there_and_back(chunk).values.tolist()


@pytest.mark.parametrize("value", [0.0, 1.0, 690.0, 1024.0, 2047.0, -5.0])
def test_small_whole_numbers_are_kept_exactly(value: float) -> None:
    """Counts of processes, temperatures and watts that are whole stay whole."""
    assert value == chunks.rounded(np.array([value], np.float32))[0]


@pytest.mark.parametrize("metric", ["gpu_clocks_event_reasons", "gpu_last_xid", "gpu_row_remap_pending"])
def test_bitmasks_and_codes_are_never_rounded(metric: str) -> None:
    """A rounded bitmask says something else."""
    bits = np.float32(0b1010_0000_0000_0000_0101)
    chunk = gauges(metrics=(metric, POWER), values=np.full((120, 2, 2), bits, np.float32))

    back = there_and_back(chunk)

    assert bits == back.values[0, 0, 0]
    assert bits != back.values[0, 1, 0]


def test_readings_come_back_from_the_store(store: Store) -> None:
    """One metric of one subject out of chunks of several."""
    chunk = gauges()
    store.keep_readings([chunk, counters()])

    times, watts = store.readings(chunk.subjects[1], POWER, NOW, NOW + 3600 * SECOND)
    energy_times, joules = store.readings(GPU, ENERGY, NOW, NOW + 3600 * SECOND)

    assert chunk.times_ns.tolist() == times.tolist() == energy_times.tolist()
    np.testing.assert_allclose(watts, chunk.values[:, 0, 1], rtol=5e-4)
    assert (np.float32, np.float64) == (watts.dtype, joules.dtype)
    np.testing.assert_allclose(joules, counters().values[:, 0, 0] * 1e-3, rtol=1e-15)


def test_a_stretch_is_cut_out_of_several_chunks(store: Store) -> None:
    """From `since_ns` until before `until_ns`, in order, whatever the order of keeping."""
    step = 120 * 5 * SECOND
    store.keep_readings([gauges(NOW + step), gauges(NOW)])
    store.keep_readings([gauges(NOW + 2 * step)])

    times, values = store.readings(GPU, POWER, NOW + step - 5 * SECOND, NOW + 2 * step)

    assert [NOW + step + n * 5 * SECOND for n in range(-1, 120)] == times.tolist()
    assert len(times) == len(values)


def test_absent_values_are_left_out(store: Store) -> None:
    """NaN of gauges and COUNTER_ABSENT of counters are no readings."""
    gauge, counter = gauges(samples=3), counters(samples=3)
    gauge.values[1] = np.nan
    counter.values[2] = COUNTER_ABSENT
    store.keep_readings([gauge, counter])

    assert [gauge.times_ns[0], gauge.times_ns[2]] == store.readings(GPU, POWER, 0, NOW * 2)[0].tolist()
    assert store.readings(GPU, ENERGY, 0, NOW * 2)[1].tolist() == [1e12, 1e12 + 3500.123]


@pytest.mark.parametrize(
    ("subject", "metric"),
    [
        pytest.param(NODE, POWER, id="unknown-subject"),
        pytest.param(GPU, "gpu_processes", id="unknown-metric"),
        pytest.param(Subject("c2", GPU.kind, GPU.id), POWER, id="another-cluster"),
    ],
)
def test_what_was_never_read_is_empty(store: Store, subject: Subject, metric: str) -> None:
    """And no error."""
    store.keep_readings([gauges()])

    times, values = store.readings(subject, metric, 0, NOW * 2)

    assert (times.tolist(), values.tolist()) == ([], [])


def test_a_chunk_kept_twice_counts_once_and_the_longer_one_stays(store: Store) -> None:
    """After a restart a stretch is gathered again, perhaps from another moment on."""
    store.keep_readings([gauges(samples=120)])
    store.keep_readings([gauges(samples=60), gauges(samples=120)])
    store.keep_readings([gauges(NOW + 300 * SECOND, samples=80)])

    times, _ = store.readings(GPU, POWER, 0, NOW * 2)

    assert [NOW + n * 5 * SECOND for n in range(140)] == times.tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"values": np.zeros((120, 2, 2))}, "float64", id="float64"),
        pytest.param({"values": np.zeros((119, 2, 2), np.float32)}, "shape", id="shape"),
        pytest.param({"times_ns": np.zeros(120, np.int64)}, "ascending", id="same-times"),
        pytest.param({"times_ns": np.arange(120)[::-1].copy()}, "ascending", id="backwards"),
        pytest.param({"times_ns": np.arange(120.0)}, "ascending", id="float-times"),
        pytest.param({"metrics": (POWER, POWER)}, "twice", id="a-metric-twice"),
        pytest.param(
            {"times_ns": np.empty(0, np.int64), "values": np.empty((0, 2, 2), np.float32)}, "empty", id="empty"
        ),
    ],
)
def test_a_malformed_chunk_is_refused_with_its_neighbours(store: Store, changes: dict[str, Any], said: str) -> None:
    """One line says what is wrong, and nothing of the call is kept."""
    with pytest.raises(GiveUp, match=said):
        store.keep_readings([gauges(), gauges(**changes)])

    assert len(store.readings(GPU, POWER, 0, NOW * 2)[0]) == 0


@given(st.binary(max_size=200))
def test_garbage_is_no_chunk(payload: bytes) -> None:
    """It is refused, not believed."""
    with pytest.raises(GiveUp):
        chunks.decode(payload, (GPU,), (POWER,))


@given(st.integers(0, 2**32), st.integers(1, 255))
def test_a_damaged_chunk_is_refused_or_read_without_a_crash(at: int, flip: int) -> None:
    """A flipped byte gives an error or other numbers, never anything else."""
    payload = bytearray(chunks.encode(counters(samples=10)))
    payload[at % len(payload)] ^= flip
    try:
        back = chunks.decode(bytes(payload), (GPU,), (ENERGY,))
    except GiveUp:
        return
    assert back.values.shape == (10, 1, 1)


def test_a_bomb_is_not_unpacked() -> None:
    """The size that the frame states is checked before anything is decompressed."""
    header = struct.pack("<BBIq", 1, 0, 10, NOW)

    with pytest.raises(GiveUp, match="another size"):
        chunks.decode(header + zstandard.ZstdCompressor().compress(bytes(300_000_000)), (GPU,), (POWER,))


def test_ten_minutes_of_a_node_are_small() -> None:
    """A steady GPU costs less than a byte for every ten values; the benchmark measures a real one."""
    steady = gauges(values=np.full((120, 2, 2), 690.0, np.float32))

    assert len(chunks.encode(steady)) < 120 * 2 * 2 / 2
