"""What happens in a healthy cluster and is no finding."""

import numpy as np

from agent.simulate import parameters as p
from agent.simulate.cards import NS
from agent.simulate.job import Job, settled
from agent.simulate.job_plan import Phase
from agent.simulate.scenario import Benign
from agent.simulate.truth import Truth
from agent.simulate.world import World

ROLL_SECONDS = (6.0, 25.0)
"""From a collector's goodbye to its successor's start: a pod is deleted and another one pulled; a choice."""
REBOOT_SECONDS = (120.0, 300.0)


def begin_benign(benign: Benign, world: World, truth: Truth, jobs: list[Job], spares: list[int]) -> None:
    """Set all of it going, at times that are drawn."""
    whole = (world.end_ns - world.start_ns) / NS
    for _ in range(benign.rollouts):
        _roll(world, truth, world.uniform((0.15, 0.6)) * whole, 0.25 * whole)
    for number in range(benign.drains):
        if spares:
            _drain(world, truth, spares[-1 - number % len(spares)], world.uniform((0.1, 0.8)) * whole)
    for _ in range(benign.warm_rooms):
        racks = sorted({node.rack for node in world.fleet.nodes})
        _warm(world, truth, racks[int(world.rng.integers(len(racks)))], world.uniform((0.05, 0.7)) * whole)
    for _ in range(benign.preemptions):
        _preempt(world, truth, jobs[int(world.rng.integers(len(jobs)))], world.uniform((0.1, 0.8)) * whole)
    small = [job for job in jobs if len(job.nodes) == 1]
    for number in range(min(benign.endings, len(small))):
        _end(world, truth, small[-1 - number], world.uniform((0.3, 0.8)) * whole)


def _roll(world: World, truth: Truth, at: float, over: float) -> None:
    nodes = len(world.fleet.nodes)

    def begin() -> None:
        told = truth.begin("benign", "rollout", world.now_ns, note="a new collector on every node in turn")
        for node in range(nodes):
            world.after(over * node / nodes, lambda node=node: _renew(world, node, world.uniform(ROLL_SECONDS)))  # type: ignore[misc]
        told.end_ns = world.now_ns + int(over * NS)

    world.after(at, begin)


def _renew(world: World, node: int, seconds: float) -> None:
    if world.collects(node):
        world.stop_collector(node, word=True)
        world.after(seconds, lambda: world.start_collector(node))


def _drain(world: World, truth: Truth, node: int, at: float) -> None:
    def begin() -> None:
        if any(card.job for card in world.fleet.nodes[node].cards) or not world.collects(node):
            return
        told = truth.begin("benign", "drain", world.now_ns, guilty={"node": world.fleet.nodes[node].name})
        seconds = world.uniform(REBOOT_SECONDS)
        told.end_ns = world.now_ns + int(seconds * NS)
        world.stop_collector(node, word=True)

        def back() -> None:
            world.rebooted(node, f"{world.fleet.nodes[node].boot_id[:-4]}{world.rng.integers(1 << 16):04x}")
            world.start_collector(node)

        world.after(seconds, back)

    world.after(at, begin)


def _warm(world: World, truth: Truth, rack: str, at: float) -> None:
    nodes = np.array([node.index for node in world.fleet.nodes if node.rack == rack])
    rise = world.uniform(p.WARM_ROOM_CELSIUS)

    def begin() -> None:
        told = truth.begin("benign", "warm_room", world.now_ns, guilty={"rack": rack}, note=f"{rise:.1f} degrees")
        minutes = 30

        def change(by: float) -> None:
            world.cards.warmer[nodes] += by

        for minute in range(minutes):
            world.after(60.0 * minute, lambda: change(rise / minutes))
            world.after(60.0 * (minutes + minute), lambda: change(-rise / minutes))
        told.end_ns = world.now_ns + 2 * minutes * 60 * NS

    world.after(at, begin)


def _preempt(world: World, truth: Truth, job: Job, at: float) -> None:
    def begin() -> None:
        if not settled(job, 20.0):
            world.after(5.0, begin)
            return
        told = truth.begin("benign", "preemption", world.now_ns, job=job.plan.name)
        job.preempt()
        job.when_running.append(lambda: setattr(told, "end_ns", world.now_ns))

    world.after(at, begin)


def _end(world: World, truth: Truth, job: Job, at: float) -> None:
    def begin() -> None:
        if job.phase is not Phase.RUNNING or job.slow:
            world.after(5.0, begin)
            return
        told = truth.begin("benign", "job_end", world.now_ns, job=job.plan.name)
        told.end_ns = world.now_ns + 60 * NS
        job.finish()

    world.after(at, begin)
