"""Looks folded into tables."""

import math
import struct

from collectors.gpu.source import GpuLook
from collectors.model import Subject, SubjectKind
from collectors.sampling.buffer import LookBuffer

A, B = (Subject("c", SubjectKind.GPU, name) for name in "AB")
NAN = math.nan


def unpack(table, letter="f"):
    size = 4 if letter == "f" else 8
    return list(struct.unpack(f"<{len(table.data) // size}{letter}", table.data))


def filled(*looks: GpuLook) -> LookBuffer:
    buffer = LookBuffer()
    for look in looks:
        buffer.add(look)
    return buffer


def place(subject: Subject) -> int:
    return (A, B).index(subject)


def test_in_calm_the_last_value_leaves_with_the_extremes_of_all():
    buffer = filled(
        *(GpuLook(n, (A, B), {"gpu_power_watts": [float(n), NAN if n == 3 else 9.0]}) for n in (1, 5, 2, 3))
    )
    (table,) = buffer.take(place, one_by_one=False)
    assert table.metrics == ("gpu_power_watts", "gpu_power_watts_min", "gpu_power_watts_max")
    assert (table.times_ns, table.subjects) == ((3,), (0, 1))
    assert str(unpack(table)) == str([3.0, NAN, 1.0, 9.0, 5.0, 9.0])
    assert not buffer


def test_one_by_one_each_look_keeps_its_time():
    buffer = filled(*(GpuLook(n, (A, B), {"gpu_power_watts": [n, n + 0.5]}) for n in (1, 2, 3)))
    (table,) = buffer.take(place, one_by_one=True)
    assert (table.metrics, table.times_ns) == (("gpu_power_watts",), (1, 2, 3))
    assert unpack(table) == [1, 1.5, 2, 2.5, 3, 3.5]


def test_counters_stay_exact_in_a_table_of_their_own():
    big = 2**63 - 1
    look = GpuLook(7, (A, B), {"gpu_power_watts": [1.0, 1.0]}, {"gpu_energy_joules_total": [big, 2**53 + 1]})
    gauges, counters = filled(look).take(place, one_by_one=False)
    assert gauges.metrics[0] == "gpu_power_watts"
    assert unpack(counters, "q") == [big, 2**53 + 1]


def test_a_counter_that_no_longer_fits_is_absent():
    (table,) = filled(GpuLook(7, (A,), {}, {"gpu_energy_joules_total": [2**63]})).take(place, one_by_one=False)
    assert unpack(table, "q") == [-1]


def test_tiers_leave_in_tables_of_their_own_with_their_own_times():
    cheap, middle = {"gpu_power_watts": [1.0]}, {"gpu_temperature_celsius": [50.0]}
    buffer = filled(GpuLook(1, (A,), cheap | middle), GpuLook(2, (A,), cheap), GpuLook(3, (A,), cheap))
    tables = buffer.take(place, one_by_one=False)
    assert [(table.metrics[0], table.times_ns) for table in tables] == [
        ("gpu_power_watts", (3,)),
        ("gpu_temperature_celsius", (1,)),
    ]


def test_a_gpu_that_joins_begins_a_table_of_its_own():
    buffer = filled(GpuLook(1, (A,), {"gpu_power_watts": [1.0]}), GpuLook(2, (A, B), {"gpu_power_watts": [2.0, 3.0]}))
    tables = buffer.take(place, one_by_one=True)
    assert [(table.subjects, table.times_ns) for table in tables] == [((0,), (1,)), ((0, 1), (2,))]
