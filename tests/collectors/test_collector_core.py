"""What leaves the node, and when."""

import struct

import pytest

from collectors import wire
from collectors.collector import BATCH_EVENT_BYTES, STEP_SECONDS, Collector, Identity
from collectors.gpu.source import GpuLook
from collectors.model import CATALOGUE, Event, EventKind, EventSource, Origin, Subject, SubjectFacts, SubjectKind
from collectors.sampling.plan import SamplingPlan

SECOND = 10**9
START = 1_700_000_000 * SECOND
NODE = Subject("c", SubjectKind.NODE, "uid-1")
GPU = Subject("c", SubjectKind.GPU, "GPU-1")
JOB = Subject("c", SubjectKind.JOB, "j")
IDENTITY = Identity("c", NODE, "node-1", "boot-1", "spool-1", Origin.TEST, first_sequence=7)


class Gpus:
    """One GPU whose power is what the test says."""

    def __init__(self, metrics=tuple(CATALOGUE)) -> None:
        self.metrics = metrics
        self.power = 690.0
        self.attributes = {"index": "0"}
        self.asked: list[tuple[int, tuple[str, ...]]] = []
        self.told: list[Event] = []

    def facts(self):
        return (SubjectFacts(GPU, "node-1/gpu0", NODE, dict(self.attributes)),)

    def look(self, metrics, now_ns):
        self.asked.append((now_ns, metrics))
        have = [name for name in metrics if name in self.metrics]
        gauges = {name: [self.power if name == "gpu_power_watts" else 1.0] for name in have if "_total" not in name}
        return GpuLook(now_ns, (GPU,), gauges, {name: [5] for name in have if name.endswith("_total")})

    def events(self):
        told, self.told = self.told, []
        return told


class Log:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def poll(self, now_ns):
        events, self.events = self.events, []
        return events


class Run:
    def __init__(self, plan: SamplingPlan | None = None, sources=None) -> None:
        self.gpus, self.log = Gpus(), Log()
        self.collector = Collector(IDENTITY, sources or [self.gpus], [self.log], plan or SamplingPlan())
        self.now_ns = START - int(STEP_SECONDS * SECOND)
        self.batches = []

    def go(self, seconds: float):
        """Step on; the batches of these seconds."""
        batches = []
        for _ in range(int(seconds / STEP_SECONDS)):
            self.now_ns += int(STEP_SECONDS * SECOND)
            batches += self.collector.step(self.now_ns)
        self.batches += batches
        return batches

    def event(self, kind=EventKind.TRAINING_STEP, line=""):
        self.log.events.append(Event(kind, JOB, self.now_ns, EventSource.TRAINING_LOG, line=line))


@pytest.fixture
def run():
    return Run()


def seconds(batch) -> float:
    return (batch.sent_ns - START) / SECOND


def power(batch) -> list[tuple[float, float]]:
    """(second, watts) of every look in a batch."""
    out = []
    for table in batch.tables:
        if "gpu_power_watts" in table.metrics:
            row = table.metrics.index("gpu_power_watts")
            values = struct.unpack(f"<{len(table.data) // 4}f", table.data)
            wide = len(table.metrics)
            out += [((t - START) / SECOND, values[n * wide + row]) for n, t in enumerate(table.times_ns)]
    return out


def test_the_first_batch_says_hello_and_everything_that_is_known(run):
    (first,) = run.go(0.25)
    assert [event.kind for event in first.events] == [EventKind.COLLECTOR_START]
    assert first.sequence == 7
    assert [(facts.subject, facts.attributes) for facts in first.facts] == [
        (NODE, {"boot_id": "boot-1"}),
        (GPU, {"index": "0"}),
    ]
    assert power(first) == [(0.0, 690.0)]


def test_in_calm_a_batch_leaves_every_five_seconds_with_one_time(run):
    batches = run.go(21)
    assert [seconds(batch) for batch in batches] == [0, 5, 10, 15, 20]
    assert [power(batch) for batch in batches] == [[(float(s), 690.0)] for s in (0, 5, 10, 15, 20)]
    assert {batch.suspicion for batch in batches} == {""}


def test_in_calm_the_extremes_tell_what_the_seconds_between_showed(run):
    run.go(11)
    for watts in (650.0, 700.0, 690.0, 691.0):
        run.gpus.power = watts
        run.go(1)
    (batch,) = run.go(1)
    table = next(table for table in batch.tables if "gpu_power_watts_min" in table.metrics)
    values = dict(zip(table.metrics, struct.unpack(f"<{len(table.data) // 4}f", table.data)))
    assert (values["gpu_power_watts_min"], values["gpu_power_watts_max"]) == (650.0, 700.0)


def test_sequence_numbers_have_no_gap(run):
    run.go(12)
    run.event()
    run.go(20)
    assert [batch.sequence for batch in run.batches] == list(range(7, 7 + len(run.batches)))


def test_a_suspicion_sends_the_unsent_looks_at_once_and_then_each_second(run):
    run.go(13)
    run.gpus.power = 300.0
    first, second = run.go(2)
    assert (power(first), power(second)) == ([(11, 690), (12, 690), (13, 300)], [(14, 300)])
    assert "gpu_power_watts 300 is outside its usual" in first.suspicion


def test_calm_comes_back_a_minute_after_the_last_look_out_of_range(run):
    run.go(13)
    run.gpus.power = 300.0
    run.go(1)
    run.gpus.power = 690.0
    run.go(62)
    later = run.go(20)
    assert [batch.suspicion for batch in later] == [""] * 4
    assert [len(power(batch)) for batch in later] == [1] * 4


def test_steps_leave_together_at_most_a_second_late(run):
    run.go(6)
    for _ in range(5):
        run.event()
        run.go(0.25)
    (batch,) = [batch for batch in run.batches if batch.events and batch.sequence > 7]
    assert len(batch.events) == 5
    assert seconds(batch) == 7.0
    assert not batch.tables


def test_any_other_event_leaves_at_once_with_the_looks_that_led_to_it(run):
    run.go(8)
    run.event(EventKind.CHECKPOINT_START)
    (batch,) = run.go(0.25)
    assert [event.kind for event in batch.events] == [EventKind.CHECKPOINT_START]
    assert [second for second, _ in power(batch)] == [6, 7, 8]
    assert batch.suspicion == "checkpoint_start of job j"


def test_what_a_look_notices_leaves_with_the_look(run):
    run.go(6)
    run.gpus.told.append(Event(EventKind.GPU_LOST, GPU, run.now_ns, EventSource.NVML))
    (batch,) = run.go(0.25)
    assert [event.kind for event in batch.events] == [EventKind.GPU_LOST]


def test_each_tier_is_looked_at_in_its_own_rhythm(run):
    run.go(61)
    times = {name: [t for t, metrics in run.gpus.asked if name in metrics] for name in ("gpu_power_watts",)}
    assert [(t - START) // SECOND for t in times["gpu_power_watts"]] == list(range(61))
    middle = [(t - START) // SECOND for t, metrics in run.gpus.asked if "gpu_temperature_celsius" in metrics]
    dear = [(t - START) // SECOND for t, metrics in run.gpus.asked if "gpu_pcie_replays_total" in metrics]
    assert (middle, dear) == (list(range(0, 61, 5)), [0, 30, 60])


def test_facts_are_repeated_every_minute_and_sent_at_once_when_they_change(run):
    run.go(12)
    run.gpus.attributes["power_limit_watts"] = "500"
    run.go(60)
    told = [(seconds(batch), len(batch.facts)) for batch in run.batches if batch.facts]
    assert told == [(0, 2), (12, 2)]
    assert [seconds(batch) for batch in run.go(60) if batch.facts] == [75.0]
    changed = next(batch for batch in run.batches if batch.facts and seconds(batch) == 12)
    assert changed.facts[1].attributes["power_limit_watts"] == "500"


def test_a_node_without_gpus_still_shows_that_it_lives():
    collector = Collector(IDENTITY, [], [], SamplingPlan())
    batches = [batch for step in range(41) for batch in collector.step(START + step * SECOND // 4)]
    assert [seconds(batch) for batch in batches] == [0, 5, 10]


def test_goodbye_takes_along_what_has_not_left(run):
    run.go(8)
    run.event()
    run.collector._logs[0].poll(0)
    last = run.collector.goodbye(run.now_ns)
    assert [event.kind for event in last.events] == [EventKind.COLLECTOR_GOODBYE]
    assert [second for second, _ in power(last)] == [7.0]


def test_a_flood_of_events_is_split_and_loses_none_and_keeps_its_order(run):
    run.go(6)
    for number in range(2000):
        run.event(EventKind.TRACEBACK, line=f"{number:04d}" + "x" * 900)
    batches = run.go(0.25)
    assert len(batches) > 3
    assert all(len(wire.encode(batch)) < 2 * BATCH_EVENT_BYTES for batch in batches)
    lines = [event.line[:4] for batch in batches for event in batch.events]
    assert lines == [f"{number:04d}" for number in range(2000)]


def test_a_clock_set_back_loses_no_look_and_the_collector_goes_on(run):
    run.go(12)
    run.now_ns -= 3600 * SECOND
    after = run.go(11)
    assert [second for second, _ in power(after[0])] == [11.0]
    assert [seconds(batch) + 3600 for batch in after[1:]] == [12, 17, 22]


def test_missed_steps_are_not_caught_up_in_a_burst(run):
    run.go(6)
    run.now_ns += 600 * SECOND
    run.gpus.asked.clear()
    run.go(3)
    assert len(run.gpus.asked) == 3


def test_the_source_named_first_is_asked_for_what_both_give():
    first, second = Gpus(("gpu_power_watts",)), Gpus(("gpu_power_watts", "gpu_sm_active_ratio"))
    run = Run(sources=[first, second])
    (batch,) = run.go(0.25)
    assert "gpu_power_watts" not in second.asked[0][1]
    assert {name for table in batch.tables for name in table.metrics} == {
        "gpu_power_watts",
        "gpu_power_watts_max",
        "gpu_power_watts_min",
        "gpu_sm_active_ratio",
    }


def test_what_the_collector_sends_the_wire_takes(run):
    for batch in run.go(35):
        assert wire.decode(wire.encode(batch)) == batch
