"""Looks that have not left the node yet, and the tables that they become."""

import math
import sys
from array import array
from collections.abc import Callable, Iterable

from collectors.gpu.source import GpuLook
from collectors.model import CATALOGUE, COUNTER_ABSENT, Subject, Table, Tier

Place = Callable[[Subject], int]
"""Gives a subject its index in the batch."""

_Shape = tuple[tuple[Subject, ...], tuple[str, ...], tuple[str, ...]]


class LookBuffer:
    """The unsent looks of one source, tier by tier."""

    def __init__(self) -> None:
        self._looks: dict[Tier, list[GpuLook]] = {tier: [] for tier in Tier}

    def add(self, look: GpuLook) -> None:
        """Keep one look, split by tier."""
        for tier in Tier:
            gauges = {name: values for name, values in look.gauges.items() if CATALOGUE[name].tier is tier}
            counters = {name: values for name, values in look.counters.items() if CATALOGUE[name].tier is tier}
            if gauges or counters:
                self._looks[tier].append(GpuLook(look.time_ns, look.gpus, gauges, counters))

    def __bool__(self) -> bool:
        return any(self._looks.values())

    def take(self, place: Place, *, one_by_one: bool) -> list[Table]:
        """Empty the buffer into tables.

        One by one, every look keeps its time. Otherwise each tier is folded into one look: the last value of each
        metric, and the extremes of those that the catalogue says have them.
        """
        tables: list[Table] = []
        for tier in Tier:
            looks, self._looks[tier] = self._looks[tier], []
            for alike in _stretches(looks):
                tables.extend(_tables(alike if one_by_one else [_fold(alike)], place))
        return tables


def _shape(look: GpuLook) -> _Shape:
    return look.gpus, tuple(look.gauges), tuple(look.counters)


def _stretches(looks: Iterable[GpuLook]) -> list[list[GpuLook]]:
    """Looks in a row at the same metrics of the same GPUs; nearly always all of them."""
    stretches: list[list[GpuLook]] = []
    shape: _Shape | None = None
    for look in looks:
        if _shape(look) != shape:
            shape = _shape(look)
            stretches.append([])
        stretches[-1].append(look)
    return stretches


def _fold(looks: list[GpuLook]) -> GpuLook:
    last = looks[-1]
    gauges = dict(last.gauges)
    for name in last.gauges:
        if CATALOGUE[name].extremes:
            least, most = [], []
            for values in zip(*(look.gauges[name] for look in looks)):
                seen = [value for value in values if not math.isnan(value)]
                least.append(min(seen, default=math.nan))
                most.append(max(seen, default=math.nan))
            gauges[f"{name}_min"], gauges[f"{name}_max"] = least, most
    return GpuLook(last.time_ns, last.gpus, gauges, last.counters)


def _tables(looks: list[GpuLook], place: Place) -> list[Table]:
    times = tuple(look.time_ns for look in looks)
    subjects = tuple(place(gpu) for gpu in looks[0].gpus)
    tables = []
    if looks[0].gauges:
        numbers = array("f")
        for look in looks:
            for gauges in look.gauges.values():
                numbers.extend(gauges)
        tables.append(Table(tuple(looks[0].gauges), subjects, times, _little_endian(numbers)))
    if looks[0].counters:
        counts = array("q")
        for look in looks:
            for counters in look.counters.values():
                counts.extend(count if 0 <= count < 2**63 else COUNTER_ABSENT for count in counters)
        tables.append(Table(tuple(looks[0].counters), subjects, times, _little_endian(counts)))
    return tables


def _little_endian(numbers: "array[float] | array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
