"""What faults of cards and of jobs share."""

import numpy as np

from agent.simulate.faults import Fault
from agent.simulate.job import Job
from agent.simulate.job_plan import Phase, Slow
from agent.simulate.world import World


def throttle(world: World, job: Job, fault: str, ranks: list[int], share: float, bits: int) -> None:
    """Hold some ranks' clocks at a share, with these reasons; the job's steps stretch with them."""
    at = job.places(np.array(ranks))
    world.cards.settle(at, world.now_ns)
    world.cards.clock_share[at] = share
    world.cards.extra_reasons[at] |= bits
    if job.phase is Phase.OFF:
        return
    before = job.slow.get(fault)
    guilty = tuple(sorted({*ranks, *(before.guilty if before else ())}))
    stretch = max(1 / share, before.stretch if before else 1.0)
    job.slow_by(fault, Slow("straggler", guilty, stretch=stretch))


def job_of(fault: Fault) -> Job:
    """The job that a fault is about; ValueError where it has none."""
    if fault.job is None:
        raise ValueError(f"{fault.kind} without a job")
    return fault.job
