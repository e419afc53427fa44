"""What goes into a frame, in what order, and how counters become differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_fleet import NODE, NS, T0, batch, gpu, table

from collectors.model import COUNTER_ABSENT, Subject, SubjectKind
from detectors.frame import LONGEST_DIFFERENCE_NS, SLOT_NS, Frame, FrameBuilder

ECC, ENERGY, POWER, USED = (
    "gpu_ecc_corrected_errors_total",
    "gpu_energy_joules_total",
    "gpu_power_watts",
    "gpu_utilization_ratio",
)


def counted(builder: FrameBuilder, *values: int, metric: str = ECC, every_ns: int = NS) -> list[Frame]:
    """One GPU's counter at one instant after another, each taken at once."""
    frames = []
    for number, value in enumerate(values):
        looked = table([0], {metric: [value]}, T0 + number * every_ns)
        builder.add(batch(looked, subjects=[gpu(0)]))
        frames += builder.take()
    return frames


def rises(frames: list[Frame], metric: str = ECC) -> list[float]:
    return [float(frame.increase(metric)[0]) for frame in frames if len(frame.cols)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["in-order", "reversed", "mixed"])
def test_tables_in_any_order_come_out_in_order_of_time(order: tuple[int, ...]) -> None:
    builder = FrameBuilder()
    tables = [table([0], {POWER: [100.0 + second]}, T0 + second * NS) for second in order]
    builder.add(batch(*tables, subjects=[gpu(0)]))
    assert [float(frame.gauge(POWER)[0]) for frame in builder.take()] == [100.0, 101.0, 102.0]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["in-order", "mixed"])
def test_batches_in_any_order_within_one_take_come_out_in_order_of_time(order: tuple[int, ...]) -> None:
    builder = FrameBuilder()
    for second in order:
        builder.add(batch(table([0], {ECC: [10 + second]}, T0 + second * NS), subjects=[gpu(0)]))
    frames = builder.take()
    assert [int(frame.times_ns[0]) for frame in frames] == [T0, T0 + NS, T0 + 2 * NS]
    np.testing.assert_equal(rises(frames), [np.nan, 1.0, 1.0])


@pytest.mark.parametrize(
    ("first", "second"),
    [(2**53, 2**53 + 1), (17_000_000_000, 17_000_000_007), (2**62, 2**62 + 3), (0, 0)],
    ids=["2^53+1", "beyond-float32", "2^62", "no-rise"],
)
def test_a_counters_difference_is_exact_beyond_float32(first: int, second: int) -> None:
    assert second - first == rises(counted(FrameBuilder(), first, second))[1]


def test_a_difference_bears_the_catalogues_unit_and_its_span() -> None:
    frames = counted(FrameBuilder(), 5_000_000, 5_690_000, metric=ENERGY)
    assert pytest.approx(float(frames[1].increase(ENERGY)[0])) == 690.0
    assert pytest.approx(float(frames[1].rate(ENERGY)[0])) == 690.0
    assert float(frames[1].span(ENERGY)[0]) == 1.0


def test_a_counter_that_fell_was_reset_and_starts_anew() -> None:
    np.testing.assert_equal(rises(counted(FrameBuilder(), 50, 3, 5)), [np.nan, np.nan, 2.0])


def test_an_absent_counter_is_unknown_and_the_difference_reaches_over_it() -> None:
    builder = FrameBuilder()
    frames = []
    for second, value in enumerate((50, COUNTER_ABSENT, 53)):
        one = table([0], {ECC: [value]}, T0 + second * NS)
        beside = table([0], {POWER: [600.0]}, T0 + second * NS)
        builder.add(batch(one, beside, subjects=[gpu(0)]))
        frames += builder.take()
    np.testing.assert_equal(rises(frames), [np.nan, np.nan, 3.0])
    assert float(frames[2].span(ECC)[0]) == 2.0


def test_a_difference_over_a_long_gap_says_nothing() -> None:
    np.testing.assert_equal(rises(counted(FrameBuilder(), 1, 9, every_ns=LONGEST_DIFFERENCE_NS + NS)), [np.nan, np.nan])
    np.testing.assert_equal(rises(counted(FrameBuilder(), 1, 9, every_ns=LONGEST_DIFFERENCE_NS)), [np.nan, 8.0])


@pytest.mark.parametrize("behind_ns", [0, NS, 3600 * NS], ids=["the-same-instant", "a-second", "an-hour"])
def test_a_look_no_newer_than_the_last_handed_out_is_dropped_and_counted(behind_ns: int) -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0], {POWER: [600.0]}, T0), subjects=[gpu(0)]))
    builder.take()
    builder.add(batch(table([0], {POWER: [1.0]}, T0 - behind_ns), subjects=[gpu(0)]))
    assert builder.take() == []
    assert builder.late == 1


def test_a_late_look_leaves_the_counters_where_they_were() -> None:
    builder = FrameBuilder()
    counted(builder, 10, 20)
    builder.add(batch(table([0], {ECC: [2]}, T0 + NS // 2), subjects=[gpu(0)]))
    builder.take()
    builder.add(batch(table([0], {ECC: [21]}, T0 + 2 * NS), subjects=[gpu(0)]))
    assert rises(builder.take()) == [1.0]


def test_two_tables_of_one_instant_are_one_look() -> None:
    builder = FrameBuilder()
    gauges, counters = table([0], {POWER: [600.0]}, T0), table([0], {ECC: [7]}, T0)
    builder.add(batch(gauges, counters, table([0], {USED: [0.5]}, T0), subjects=[gpu(0)]))
    (frame,) = builder.take()
    assert (frame.gauge(POWER).tolist(), frame.gauge(USED).tolist()) == ([600.0], [0.5])
    assert builder.late == 0


def test_two_batches_of_one_instant_naming_their_gpus_in_another_order_keep_them_apart() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0, 1], {POWER: [100.0, 200.0]}, T0), subjects=[gpu(0), gpu(1)]))
    builder.add(batch(table([0, 1], {USED: [0.2, 0.1]}, T0), subjects=[gpu(1), gpu(0)]))
    (frame,) = builder.take()
    named = {builder.columns.subjects[column].id: k for k, column in enumerate(frame.cols.tolist())}
    told = {name: (float(frame.gauge(POWER)[k]), round(float(frame.gauge(USED)[k]), 2)) for name, k in named.items()}
    assert told == {"GPU-0": (100.0, 0.1), "GPU-1": (200.0, 0.2)}


def test_two_batches_of_one_instant_about_different_gpus_lose_neither() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0, 1], {POWER: [100.0, 200.0]}, T0), subjects=[gpu(0), gpu(1)]))
    builder.add(batch(table([0], {POWER: [300.0]}, T0), subjects=[gpu(2)]))
    (frame,) = builder.take()
    assert frame.gauge(POWER).tolist() == [100.0, 200.0, 300.0]


def test_nodes_whose_looks_lie_close_share_a_frame() -> None:
    builder = FrameBuilder()
    other = Subject("c", SubjectKind.NODE, "node-b")
    start = T0 // SLOT_NS * SLOT_NS
    builder.add(batch(table([0], {POWER: [1.0]}, start), subjects=[gpu(0)]))
    builder.add(batch(table([0], {POWER: [2.0]}, start + SLOT_NS - 1), subjects=[gpu(1)], node=other))
    (frame,) = builder.take()
    assert frame.gauge(POWER).tolist() == [1.0, 2.0]


def test_of_two_looks_at_one_gpu_in_one_slot_the_newer_counts() -> None:
    builder = FrameBuilder()
    start = T0 // SLOT_NS * SLOT_NS
    builder.add(batch(table([0], {POWER: [1.0]}, start), subjects=[gpu(0)]))
    builder.add(batch(table([0], {POWER: [2.0]}, start + 5), subjects=[gpu(0)]))
    (frame,) = builder.take()
    assert ([2.0], [start + 5]) == (frame.gauge(POWER).tolist(), frame.times_ns.tolist())


def test_a_gpu_without_any_reading_is_not_in_the_frame() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0, 1], {POWER: [600.0, np.nan]}, T0), subjects=[gpu(0), gpu(1)]))
    (frame,) = builder.take()
    assert frame.cols.tolist() == [0]


@pytest.mark.parametrize("value", [np.inf, -np.inf, -1.0, 1e30, np.nan], ids=str)
def test_what_no_gauge_can_show_is_no_reading(value: float) -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0], {POWER: [value], USED: [0.5]}, T0), subjects=[gpu(0)]))
    (frame,) = builder.take()
    np.testing.assert_equal(frame.gauge(POWER).tolist(), [np.nan])


@pytest.mark.parametrize("value", [-1, -2, -(2**63)])
def test_what_no_counter_can_show_is_absent(value: int) -> None:
    np.testing.assert_equal(rises(counted(FrameBuilder(), 5, 7, value)), [np.nan, 2.0])


def test_a_gpu_that_vanishes_leaves_the_others_where_they_stand() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0, 1], {ECC: [5, 50]}, T0), subjects=[gpu(0), gpu(1)]))
    builder.take()
    builder.add(batch(table([0], {ECC: [51]}, T0 + NS), subjects=[gpu(1)]))
    (frame,) = builder.take()
    assert (frame.cols.tolist(), frame.increase(ECC).tolist()) == ([1], [1.0])


def test_an_unknown_metric_is_passed_over_and_costs_its_neighbours_nothing() -> None:
    builder = FrameBuilder()
    known_first = table([0], {POWER: [600.0], "gpu_of_the_future": [7.0]}, T0)
    builder.add(batch(known_first, subjects=[gpu(0)]))
    (frame,) = builder.take()
    assert frame.gauge(POWER).tolist() == [600.0]


def test_a_table_of_unknown_metrics_alone_gives_no_frame() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0], {"gpu_of_the_future": [7.0]}, T0, counters=False), subjects=[gpu(0)]))
    assert builder.take() == []


def test_the_nodes_clock_is_corrected_before_looks_are_compared() -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0], {POWER: [600.0]}, T0 + 30 * NS), subjects=[gpu(0)]), offset_ns=-30 * NS)
    (frame,) = builder.take()
    assert frame.times_ns.tolist() == [T0]


@pytest.mark.parametrize("subject", [NODE, Subject("c", SubjectKind.JOB, "j")], ids=["node", "job"])
def test_subjects_that_are_no_gpus_take_no_column(subject: Subject) -> None:
    builder = FrameBuilder()
    builder.add(batch(table([0, 1], {POWER: [1.0, 2.0]}, T0), subjects=[subject, gpu(0)]))
    (frame,) = builder.take()
    assert ([gpu(0)], [2.0]) == (builder.columns.subjects, frame.gauge(POWER).tolist())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.one_of(st.just(COUNTER_ABSENT), st.integers(0, 9))),
        min_size=1,
        max_size=40,
    ),
    st.data(),
)
def test_differences_are_those_of_a_plain_model(looks: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Per GPU: looks in order of time within a take, late ones dropped, the raw value before held by hand."""
    builder = FrameBuilder()
    before: dict[int, tuple[int, int]] = {}
    newest = dict.fromkeys(range(3), -1)
    while looks:
        count = data.draw(st.integers(1, len(looks)))
        chunk, looks = looks[:count], looks[count:]
        for index, second, value in chunk:
            beside = table([0], {POWER: [1.0]}, T0 + second * NS)
            builder.add(batch(table([0], {ECC: [value]}, T0 + second * NS), beside, subjects=[gpu(index)]))
        expected = {}
        # one look an instant: of several the last told fills in what it knows
        merged: dict[tuple[int, int], int] = {}
        for index, second, value in chunk:
            merged[second, index] = value if value != COUNTER_ABSENT else merged.get((second, index), COUNTER_ABSENT)
        for (second, index), value in sorted(merged.items()):
            if second <= newest[index]:
                continue
            newest[index] = second
            expected[second, index] = np.nan
            if value == COUNTER_ABSENT:
                continue
            if index in before and value >= before[index][1]:
                expected[second, index] = float(value - before[index][1])
            before[index] = (second, value)
        got = {}
        for frame in builder.take():
            for k, column in enumerate(frame.cols.tolist()):
                index = int(builder.columns.subjects[column].id[-1])
                got[(int(frame.times_ns[k]) - T0) // NS, index] = float(frame.increase(ECC)[k])
        np.testing.assert_equal(got, expected)
