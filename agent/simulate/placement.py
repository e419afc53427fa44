"""Which jobs a cluster runs, and which of them meets which fault when."""

import numpy as np

from agent.simulate import parameters as p
from agent.simulate.cards import NS
from agent.simulate.faults import Fault
from agent.simulate.job import Job
from agent.simulate.scenario import JobSpec
from agent.simulate.world import World

SHARES = (0.64, 0.16, 0.04, 0.04, 0.02, 0.02, 0.01, 0.01)
"""Of the nodes, by job: 128, 32, 8, 8, 4, 4, 2, 2 of 200; then jobs of one node until three in a hundred are free.
Facts: training 1.2, few large jobs use most of a cluster."""
SPARE_SHARE = 0.03
WARM_UP_SECONDS = 180.0
"""No fault before: the jobs start, and habits are learnt."""
LAST_SHARE = 0.93
"""No fault is begun in what is left of the time: its end should be seen."""
TOGETHER = 0.15
"""Share of faults that are put beside another one, within 20 s, in another job: two causes at once."""


def fill(nodes: int, gpus_per_node: int) -> tuple[JobSpec, ...]:
    """Jobs of all sizes for so many nodes."""
    left = nodes - max(1, round(SPARE_SHARE * nodes)) if nodes > 2 else nodes
    sizes: list[int] = []
    for share in SHARES:
        size = 1 << max(0, round(np.log2(max(share * nodes, 1))))
        size = min(size, 128)
        if size <= left and (nodes > 8 or not sizes):
            sizes.append(size)
            left -= size
    while left and len(sizes) < 60:
        size = 1 if left < 40 else 16
        sizes.append(size)
        left -= size
    return tuple(
        JobSpec(name=f"job-{number:02d}-{size * gpus_per_node}", ranks=size * gpus_per_node)
        for number, size in enumerate(sizes)
    )


def spread_faults(world: World, jobs: list[Job], count: int, kinds: tuple[str, ...]) -> list[Fault]:
    """So many faults, spread over jobs and time: each job's share of the time is cut into as many slots as it meets
    faults, so that one is over, as a rule, before the next begins."""
    rng = world.rng
    names = list(kinds) or list(p.FAULT_WEIGHTS)
    weights = np.array([p.FAULT_WEIGHTS.get(name, 1.0) for name in names])
    # every kind once, as far as the count reaches, the rest by weight: a day shows them all
    drawn = [names[i] for i in rng.permutation(len(names))[:count]] if count >= len(names) else []
    rest = rng.choice(len(names), count - len(drawn), p=weights / weights.sum())
    drawn += [names[i] for i in rest]
    rng.shuffle(drawn)
    whole = (world.end_ns - world.start_ns) / NS
    first, last = min(WARM_UP_SECONDS, 0.3 * whole), LAST_SHARE * whole
    shares: dict[int, list[str]] = {place: [] for place in range(len(jobs))}
    order = rng.permutation(len(jobs))
    for number, kind in enumerate(drawn):
        shares[int(order[number % len(jobs)])].append(kind)
    faults = []
    times: list[float] = []
    for place, mine in shares.items():
        slot = (last - first) / max(len(mine), 1)
        for number, kind in enumerate(mine):
            room = 0.45 if number == len(mine) - 1 else 0.85
            at = first + slot * (number + float(rng.uniform(0.0, room)))
            if times and rng.random() < TOGETHER:
                near = min(times, key=lambda other: abs(other - at))
                if abs(near - at) < slot / 2:
                    at = near + float(rng.uniform(-20, 20))
            times.append(at)
            faults.append(Fault(kind, world.start_ns + int(max(at, first) * NS), jobs[place]))
    return sorted(faults, key=lambda fault: fault.at_ns)
