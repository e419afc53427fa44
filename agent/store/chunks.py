"""Readings as compressed blocks: a stretch of time of some metrics of some subjects that share their times.

Layout before compression, all little-endian: the gaps between times (int64), then metric by metric, subject by subject,
its values over time; each block of numbers with its bytes regrouped (all first bytes, all second bytes, ...), because
neighbouring values agree in their high bytes. Then zstd level 3 (level 9 gains 2 % at a third of the speed).

- Gauges are float32, rounded to 10 bits of mantissa: at most 0.05 % off. Rounding gains more than any cleverer coding.
  Metrics whose unit is in EXACT_UNITS are kept bit by bit. NaN is absent.
- Counters are int64 and exact, as differences from sample to sample. COUNTER_ABSENT is absent.
- Times are exact.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from collectors.errors import GiveUp
from collectors.model import CATALOGUE, Subject

EXACT_UNITS = frozenset({"bitmask", "code", "boolean"})
"""Units in which a rounded value would say something else."""

_LEVEL = 3
_VERSION = 1
_HEADER = struct.Struct("<BBIq")  # version, 1 for counters, samples, first time
_DROPPED_BITS = 13  # of float32's 23 bits of mantissa; 10 stay
_HALF = np.uint32(1 << (_DROPPED_BITS - 1))
_KEPT = np.uint32(0xFFFFFFFF ^ ((1 << _DROPPED_BITS) - 1))
_EXPONENT = np.uint32(0x7F800000)


@dataclass(frozen=True, slots=True)
class ReadingsChunk:
    """A stretch of readings, shaped as the ring and the wire hold them.

    `values` has the shape (times, metrics, subjects): float32 for gauges, NaN where absent; int64 for counters,
    COUNTER_ABSENT where absent. Metrics read at different paces belong in different chunks. Ten minutes of one node's
    GPUs make a good chunk: smaller ones cost space, larger ones must be held in memory for longer.
    """

    subjects: tuple[Subject, ...]
    metrics: tuple[str, ...]
    times_ns: npt.NDArray[np.int64]
    """Unix ns, ascending."""
    values: npt.NDArray[np.float32] | npt.NDArray[np.int64]

    @property
    def counters(self) -> bool:
        """Whether it holds counters; gauges otherwise."""
        return bool(self.values.dtype == np.int64)

    def check(self) -> None:
        """GiveUp unless shapes, types and times fit together."""
        shape = (len(self.times_ns), len(self.metrics), len(self.subjects))
        problem = ""
        if self.values.dtype not in (np.float32, np.int64):
            problem = f"values are {self.values.dtype}, not float32 (gauges) or int64 (counters)"
        elif self.values.shape != shape:
            problem = f"values have the shape {self.values.shape}, not (times, metrics, subjects) = {shape}"
        elif 0 in shape:
            problem = f"it is empty: (times, metrics, subjects) = {shape}"
        elif self.times_ns.dtype != np.int64 or np.any(np.diff(self.times_ns) <= 0):
            problem = "times are not ascending int64 nanoseconds"
        elif len(set(self.metrics)) < len(self.metrics) or len(set(self.subjects)) < len(self.subjects):
            problem = "a metric or subject stands in it twice"
        if problem:
            first = f"{self.metrics[:1]} of {self.subjects[0] if self.subjects else 'nothing'}"
            raise GiveUp(f"store: chunk of readings {first} refused: {problem}")


def encode(chunk: ReadingsChunk) -> bytes:
    """The chunk's times and values as bytes; subjects and metrics are not in it."""
    by_series = np.ascontiguousarray(np.moveaxis(chunk.values, 0, 2))  # metrics, subjects, times
    parts = [_regrouped(np.diff(chunk.times_ns))]
    for metric, values in zip(chunk.metrics, by_series, strict=True):
        if chunk.counters:
            with np.errstate(over="ignore"):  # differences wrap around, and so do their sums
                parts.append(_regrouped(np.diff(values, axis=1, prepend=np.int64(0))))
        else:
            known = CATALOGUE.get(metric)
            exact = known is not None and known.unit in EXACT_UNITS
            parts.append(_regrouped(values if exact else rounded(values)))
    header = _HEADER.pack(_VERSION, chunk.counters, len(chunk.times_ns), int(chunk.times_ns[0]))
    # One compressor per call: zstandard's objects must not be shared by threads.
    return header + zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(parts))


def decode(payload: bytes, subjects: tuple[Subject, ...], metrics: tuple[str, ...]) -> ReadingsChunk:
    """The chunk back; GiveUp when the bytes are not such a chunk."""
    try:
        version, counters, samples, first_ns = _HEADER.unpack_from(payload)
        dtype = np.dtype("<i8" if counters else "<f4")
        series = len(metrics) * len(subjects)
        gaps_size, series_size = (samples - 1) * 8, samples * dtype.itemsize
        frame = payload[_HEADER.size :]
        # The size that the frame states is checked first: zstandard would otherwise believe a bomb.
        if version != _VERSION or zstandard.frame_content_size(frame) != gaps_size + series * series_size:
            raise GiveUp("store: a chunk of readings has another size or version than its row says")
        data = zstandard.ZstdDecompressor().decompress(frame)
    except (struct.error, zstandard.ZstdError) as error:
        raise GiveUp(f"store: a chunk of readings cannot be read ({error})") from error
    gaps = _grouped(data[:gaps_size], np.dtype("<i8"), samples - 1)
    times = np.cumsum(np.concatenate(([first_ns], gaps)), dtype=np.int64)
    values = np.empty((len(metrics), len(subjects), samples), dtype)
    block = len(subjects) * series_size
    for at in range(len(metrics)):
        start = gaps_size + at * block
        flat = _grouped(data[start : start + block], dtype, len(subjects) * samples)
        values[at] = flat.reshape(len(subjects), samples)
    if counters:
        with np.errstate(over="ignore"):
            values = np.cumsum(values, axis=2, dtype=np.int64)
    return ReadingsChunk(subjects, metrics, times, np.moveaxis(values, 2, 0))


def rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To the nearest float32 with 10 bits of mantissa; NaN and infinity stay, and nothing finite becomes infinite."""
    bits = np.ascontiguousarray(values, dtype="<f4").view(np.uint32)
    near = (bits + _HALF) & _KEPT
    overflown = (near & _EXPONENT) == _EXPONENT
    result = np.where(overflown, bits & _KEPT, near)
    special = (bits & _EXPONENT) == _EXPONENT
    return np.where(special, bits, result).view(np.float32)


def _regrouped(values: npt.NDArray[Any]) -> bytes:
    flat = np.ascontiguousarray(values.ravel()).view(np.uint8).reshape(-1, values.dtype.itemsize)
    return flat.T.tobytes()


def _grouped(data: bytes, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    if count == 0:
        return np.empty(0, dtype)
    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).ravel()
