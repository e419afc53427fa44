"""The collectors of a simulated fleet against the collector itself: the same looks and events, the same batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.simulate.cards import CHEAP, DEAR_COUNTERS, DEAR_GAUGES, MIDDLE_COUNTERS, MIDDLE_GAUGES, FleetLook
from agent.simulate.collectors import FleetCollectors
from agent.simulate.fault_kinds import KINDS
from agent.simulate.faults import Fault, Faults
from agent.simulate.fleet import Fleet, Node
from agent.simulate.job import Job
from agent.simulate.scenario import JobSpec
from agent.simulate.simulation import plan_of
from agent.simulate.truth import Truth
from agent.simulate.world import GROUPS, World
from collectors.collector import Collector, Identity
from collectors.gpu.source import GpuLook
from collectors.model import Batch, Event, EventKind, EventSource, Origin, SubjectFacts
from collectors.sampling.plan import SamplingPlan

NS = 1_000_000_000
START_NS = 1_795_392_000 * NS


class Shown:
    """A `GpuSource` that shows one node of a fleet's look."""

    def __init__(self, node: Node, i: int, facts: Callable[[int], tuple[SubjectFacts, ...]]) -> None:
        self.node, self.i, self._facts = node, i, facts
        self.shows: FleetLook | None = None
        self.after: list[Event] = []
        self._told: list[Event] = []

    def facts(self) -> tuple[SubjectFacts, ...]:
        return self._facts(self.i)

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        assert self.shows is not None and self.shows.time_ns == now_ns
        look = GpuLook(now_ns, tuple(card.subject for card in self.node.cards))
        for names, values in (
            (CHEAP, self.shows.cheap),
            (MIDDLE_GAUGES, self.shows.middle_gauges),
            (DEAR_GAUGES, self.shows.dear_gauges),
        ):
            look.gauges.update(
                {name: values[row, self.i].tolist() for row, name in enumerate(names) if name in metrics}
            )
        for names, counts in ((MIDDLE_COUNTERS, self.shows.middle_counters), (DEAR_COUNTERS, self.shows.dear_counters)):
            look.counters.update(
                {name: counts[row, self.i].tolist() for row, name in enumerate(names) if name in metrics}
            )
        self._told, self.after = self.after, []
        return look

    def events(self) -> list[Event]:
        told, self._told = self._told, []
        return told


class Heard:
    """A `LogSource` of what was gathered for one node."""

    def __init__(self) -> None:
        self.waiting: list[Event] = []

    def poll(self, now_ns: int) -> list[Event]:
        told, self.waiting = self.waiting, []
        return told


class Twins(FleetCollectors):
    """A fleet's collectors that have the real one beside each, and compare."""

    def __init__(self, nodes: list[Node], plan: SamplingPlan, facts: Callable[[int], tuple[SubjectFacts, ...]]) -> None:
        super().__init__(nodes, plan, facts)
        self.nodes, self.plan, self.facts = nodes, plan, facts
        self.real: dict[int, tuple[Collector, Shown, Heard]] = {}
        self.sent = [0] * len(nodes)
        self.compared = self.suspicious = 0

    def begin(self, i: int, now_ns: int) -> None:
        node = self.nodes[i]
        identity = Identity(
            node.subject.cluster,
            node.subject,
            node.name,
            node.boot_id,
            node.spool_id,
            Origin.REPLAY,
            first_sequence=self.sent[i],
        )
        shown, heard = Shown(node, i, self.facts), Heard()
        self.real[i] = (Collector(identity, [shown], [heard], self.plan), shown, heard)
        super().begin(i, now_ns)

    def end(self, i: int) -> None:
        super().end(i)
        self.real.pop(i, None)

    def goodbye(self, i: int, now_ns: int) -> Batch:
        real = self.real[i][0]
        batch = super().goodbye(i, now_ns)
        assert real.goodbye(now_ns) == batch
        self.sent[i] += 1
        return batch

    def gather(self, i: int, event: Event, now_ns: int) -> None:
        own = event.kind in (EventKind.COLLECTOR_START, EventKind.COLLECTOR_GOODBYE, EventKind.GPU_LOST)
        if i in self.real and not own:
            self.real[i][2].waiting.append(event)
        super().gather(i, event, now_ns)

    def step(self, now_ns: int, look: FleetLook | None, after: dict[int, list[Event]]) -> list[tuple[int, Batch]]:
        for i, (_, shown, _) in self.real.items():
            shown.shows, shown.after = look, list(after.get(i, []))
        batches = super().step(now_ns, look, after)
        for i, (real, _, _) in self.real.items():
            own = [batch for j, batch in batches if j == i]
            assert real.step(now_ns) == own, f"node {i} at {(now_ns - START_NS) / NS:.2f} s"
            self.sent[i] += len(own)
            self.compared += len(own)
            self.suspicious += sum(bool(batch.suspicion) for batch in own)
        return batches


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "kinds"),
    [
        (1, ("collective_hang", "ecc_correctable_storm")),
        (2, ("gpu_lost", "row_remap")),
        (3, ("dataloader_slow", "thermal_throttle", "gpu_memory_leak")),
    ],
    ids=["hang and storm", "lost card", "bursts, heat and leak"],
)
def test_a_fleet_of_collectors_sends_what_one_collector_a_node_sends(
    seed: int, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    fleet = Fleet.build("sim", 5, 8, 4, rng)
    world = World(fleet, START_NS, START_NS + 300 * NS, rng, tmp_path)
    twins = []
    for q, group in enumerate(world.collectors):
        if group is not None:
            twins.append(Twins(fleet.nodes[q::GROUPS], SamplingPlan(), world.facts_of(q)))
            world.collectors[q] = twins[-1]
    spec = JobSpec(name="j", ranks=16, start_seconds=5, step_seconds=0.4, timeout_seconds=60, save_every_seconds=70)
    job = Job(world, plan_of(spec, world), [0, 1])
    world.at(START_NS, job.start)
    faults = Faults(world, Truth(), [job], [3, 4], KINDS, settle_seconds=20)
    for number, kind in enumerate(kinds):
        faults.begin(Fault(kind, START_NS + (50 + 5 * number) * NS, job, rank=11, lasts_seconds=40))
    for node in range(5):
        world.at(START_NS + (node % 4) * NS // 4 + node * NS, lambda node=node: world.start_collector(node))
    world.after(100.3, lambda: world.stop_collector(1, word=True))
    world.after(112.4, lambda: world.start_collector(1))
    world.after(120.1, lambda: world.stop_collector(2, word=False))

    for number in range(4 * 200):
        world.step(number)
    world.close()

    assert sum(one.compared for one in twins) > 300
    assert sum(one.suspicious for one in twins) > 50


@pytest.mark.parametrize(
    ("source", "read"),
    [
        pytest.param(EventSource.TRAINING_LOG, True, id="training log"),
        pytest.param(EventSource.KERNEL_LOG, True, id="kernel log"),
        pytest.param(EventSource.NVML, False, id="driver library"),
    ],
)
def test_a_successor_reads_what_the_logs_told_while_no_collector_ran(source: EventSource, read: bool) -> None:
    nodes = Fleet.build("sim", 1, 8, 4, np.random.default_rng(1)).nodes
    group = FleetCollectors(nodes, SamplingPlan(), lambda i: ())
    event = Event(EventKind.CHECKPOINT_START, nodes[0].subject, START_NS + 15 * NS, source)
    group.begin(0, START_NS)
    group.goodbye(0, START_NS + 10 * NS)
    group.gather(0, event, START_NS + 15 * NS)
    group.begin(0, START_NS + 20 * NS)

    ((_, batch),) = group.step(START_NS + 20 * NS, None, {})

    assert [e for e in batch.events if e.kind is not EventKind.COLLECTOR_START] == ([event] if read else [])


def test_after_a_reboot_the_kernel_log_begins_anew() -> None:
    nodes = Fleet.build("sim", 1, 8, 4, np.random.default_rng(1)).nodes
    group = FleetCollectors(nodes, SamplingPlan(), lambda i: ())
    group.begin(0, START_NS)
    group.goodbye(0, START_NS + 10 * NS)
    group.gather(0, Event(EventKind.XID, nodes[0].subject, START_NS, EventSource.KERNEL_LOG), START_NS + 15 * NS)
    group.rebooted(0, "another")
    group.begin(0, START_NS + 20 * NS)

    ((_, batch),) = group.step(START_NS + 20 * NS, None, {})

    assert [e.kind for e in batch.events] == [EventKind.COLLECTOR_START]
