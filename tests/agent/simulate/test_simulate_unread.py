"""What is written while a node has no collector is read by its next one, as a tail reads on where it stood."""

import numpy as np

from agent.simulate.cards import NS
from agent.simulate.fleet import Fleet
from agent.simulate.simulation import START_UNIX
from agent.simulate.world import World
from collectors.model import EventKind, Subject, SubjectKind

START_NS = START_UNIX * NS
JOB = Subject("sim", SubjectKind.JOB, "uid-job")


def seen(reboot: bool) -> list[tuple[EventKind, float]]:
    """Events of node 0 around 20 s without a collector, in which its job logs a step and its kernel an Xid."""
    rng = np.random.default_rng(1)
    world = World(Fleet.build("sim", 1, 8, 8, rng), START_NS, START_NS + 60 * NS, rng, None)
    world.at(START_NS, lambda: world.start_collector(0))
    world.at(START_NS + 10 * NS, lambda: world.stop_collector(0, word=True))

    def write() -> None:
        world.say(JOB, "job", 0, "[rank0]:step:  7  loss:  2.5000  grad_norm:  0.9000")
        world.kernel(0, "NVRM: Xid (PCI:0000:19:00): 31, pid=7, name=python3, MMU Fault")

    world.at(START_NS + 20 * NS, write)
    if reboot:
        world.at(START_NS + 25 * NS, lambda: world.rebooted(0, "another-boot"))
    world.at(START_NS + 30 * NS, lambda: world.start_collector(0))
    told = []
    for number in range(160):
        for _, batch in world.step(number):
            told += [(event.kind, (batch.sent_ns - START_NS) / NS) for event in batch.events]
    return [(kind, at) for kind, at in told if kind in (EventKind.TRAINING_STEP, EventKind.XID)]


def test_a_new_collector_reads_on() -> None:
    told = seen(reboot=False)
    assert [kind for kind, _ in told] == [EventKind.TRAINING_STEP, EventKind.XID]
    assert all(30 <= at < 32 for _, at in told)


def test_a_reboot_empties_the_kernels_ring_buffer_and_leaves_the_logs() -> None:
    assert [kind for kind, _ in seen(reboot=True)] == [EventKind.TRAINING_STEP]
