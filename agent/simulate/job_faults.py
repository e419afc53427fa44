"""Faults of jobs, kind by kind: crashes, hangs, slow input, the loss, memory."""

import numpy as np

from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.fault_effects import job_of
from agent.simulate.faults import Fault, Faults
from agent.simulate.job import Job
from agent.simulate.job_plan import Phase, Slow
from agent.simulate.truth import Phase as Told

LONG_WAIT_SECONDS, SEEN_SECONDS = 6.0, 10.0
"""The window of looks that a stall or a hang is judged by (`detectors.gpu.habits.WINDOW_S`), and what it takes from the
beginning of one to the word on it."""


def job_crash(faults: Faults, fault: Fault) -> None:
    """A bug: one rank raises, the launcher ends the others."""
    job = job_of(fault)
    rank = faults.rank(fault)
    told = faults.told(fault, "job_crash", "rank_crash")  # the code is to blame, no rank
    job.crash(rank, 1, str(faults.world.rng.choice(log_lines.BUGS)))
    faults.over_when_running(job, told)


def rank_crash(faults: Faults, fault: Fault) -> None:
    """A rank is killed (often for the host's memory): SIGKILL, no word of its own."""
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "rank_crash", "job_crash", guilty=faults.where(job, rank))
    if world.rng.random() < 0.5:
        world.kernel(job.place_of(rank)[0], log_lines.oom_kill(world.pid()), 3)
        told.note = "killed for the pod's memory"
    job.crash(rank, -9)
    faults.over_when_running(job, told)


def collective_hang(faults: Faults, fault: Fault) -> None:
    """A rank stops in its code (a lock, a debugger, a frozen file system): it passes, or the watchdog ends it."""
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "collective_hang", guilty=faults.where(job, rank))
    job.hang(np.array([rank]))
    passes = bool(world.rng.random() < 0.5) or fault.lasts_seconds > 0
    seconds = faults.lasts(fault, (25.0, 90.0))
    if passes and seconds < job.plan.timeout_seconds:
        _passes(faults, job, told, seconds)
    else:
        job.wait_until_timeout(np.array([rank]))
        faults.over_when_running(job, told)


def dataloader_hang(faults: Faults, fault: Fault) -> None:
    """The input stops for all ranks at once."""
    job = job_of(fault)
    told = faults.told(fault, "dataloader_stall", *_unnamed(job))
    job.stall(for_data=True)
    _passes(faults, job, told, faults.lasts(fault, (14.0, 60.0)))


def host_stall(faults: Faults, fault: Fault) -> None:
    """All ranks stand still for another reason than their input (garbage collection, a slow logger)."""
    job = job_of(fault)
    told = faults.told(fault, "host_stall", *_unnamed(job))
    job.stall(for_data=False)
    _passes(faults, job, told, faults.lasts(fault, (14.0, 40.0)))


def _unnamed(job: Job) -> tuple[str, ...]:
    """Only a log that states the wait for data tells these two apart: elsewhere the stall itself is the honest root."""
    return () if job.plan.log == "hugging_face" and job.plan.log_every == 1 else ("training_stall",)


def dataloader_slow(faults: Faults, fault: Fault) -> None:
    """Slow storage, for all ranks or for one: batches come in groups."""
    job, world = job_of(fault), faults.world
    everywhere = fault.everywhere or (fault.rank < 0 and (job.ranks == 1 or world.rng.random() < 0.5))
    rank = faults.rank(fault)
    guilty = {} if everywhere else faults.where(job, rank)
    told = faults.told(fault, "dataloader_stall", guilty=guilty)
    workers = int(world.rng.integers(*p.LOADER_WORKERS))
    if not everywhere and job.plan.log_every >= workers:
        # facts: recordings study, bursts show only in lines finer than they are; a late rank is what is left to say
        told.roots += ("straggler",)
    wait = fault.severity or job.plan.step_seconds * world.log_uniform(p.LOADER_WAIT_STEPS)
    slow = Slow(
        "late loader",
        () if everywhere else (rank,),
        wait_seconds=min(wait, p.MOST_DELAY_SECONDS),
        batches=workers,
    )
    told.note = f"{workers} steps of {job.plan.step_seconds:.2f} s, then {slow.wait_seconds:.1f} s"
    _slows(faults, fault, job, told, slow)


def straggler_host(faults: Faults, fault: Fault) -> None:
    """One rank's host comes late to every step."""
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "straggler", guilty=faults.where(job, rank))
    wait = fault.severity or job.plan.step_seconds * world.log_uniform(p.HOST_DELAY_STEPS)
    slow = Slow("late host", (rank,), wait_seconds=min(wait, p.MOST_DELAY_SECONDS))
    told.note = f"{slow.wait_seconds:.1f} s before each step of {job.plan.step_seconds:.2f} s"
    _slows(faults, fault, job, told, slow)


def straggler_gpu(faults: Faults, fault: Fault) -> None:
    """A second process computes on one rank's card."""
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "straggler", guilty=faults.where(job, rank))
    stretch = fault.severity or world.log_uniform(p.SLOWDOWN)
    told.note = f"steps take {stretch:.2f} times as long"
    slow = Slow("straggler", (rank,), stretch=stretch, second_process=True)
    _slows(faults, fault, job, told, slow)


def power_throttle(faults: Faults, fault: Fault) -> None:
    """Denser work on all ranks at the same cap: the clock is held down, no card is at fault."""
    job = job_of(fault)
    told = faults.told(fault, "power_throttle", "throughput_drop")
    _slows(faults, fault, job, told, Slow("dense", (), stretch=fault.severity or 1.6))


def loss_nan(faults: Faults, fault: Fault) -> None:
    """Loss and gradients become NaN, until somebody goes back to the last checkpoint."""
    job = job_of(fault)
    told = faults.told(fault, "loss_nan")
    _restores(faults, job, told, Slow("nan"), faults.lasts(fault, (30.0, 90.0)))


def loss_divergence(faults: Faults, fault: Fault) -> None:
    """The loss leaves its course, until somebody goes back to the last checkpoint."""
    job = job_of(fault)
    told = faults.told(fault, "loss_divergence")
    _restores(faults, job, told, Slow("diverged"), faults.lasts(fault, (40.0, 120.0)))


def gpu_memory_leak(faults: Faults, fault: Fault) -> None:
    """Every rank's memory grows until one runs out and the job dies."""
    job, world = job_of(fault), faults.world
    told = faults.told(fault, "gpu_memory_leak")
    fill = fault.lasts_seconds or world.log_uniform(p.LEAK_FILL_SECONDS)
    room = p.CARD_BYTES - 400e6 - p.EMPTY_BYTES - job.plan.held_bytes
    told.note = f"{room / p.GIB:.0f} GiB in {fill:.0f} s on each card"
    world.cards.memory_rate[job.places()] = room / fill
    rank = faults.rank(fault)
    attempt = job.attempt

    def out() -> None:
        if job.attempt == attempt and job.phase not in (Phase.BROKEN, Phase.OFF):
            job.crash(rank, 1, log_lines.OUT_OF_MEMORY.format(gpu=job.place_of(rank)[1]))
        world.cards.memory_rate[job.places()] = 0

    world.after(fill, out)
    faults.over_when_running(job, told)


def _passes(faults: Faults, job: Job, told: Told, seconds: float) -> None:
    attempt = job.attempt

    def end() -> None:
        faults.over(told)
        if job.attempt == attempt:
            job.resume()

    faults.world.after(seconds, end)


def _slows(faults: Faults, fault: Fault, job: Job, told: Told, slow: Slow) -> None:
    job.slow_by(told.id, slow)

    def end() -> None:
        if slow.second_process and told.id in job.slow:
            at = job.places(np.array(slow.guilty))
            faults.world.cards.processes[at] = 1
            faults.world.cards.memory[at] = p.EMPTY_BYTES + job.plan.held_bytes
        job.quick_again(told.id)
        faults.over(told)

    lasts = faults.lasts(fault, (45.0, 150.0))
    told.roots += _while_rare(job, slow, lasts)
    faults.world.after(lasts, end)


def _while_rare(job: Job, slow: Slow, lasts: float) -> tuple[str, ...]:
    """A wait of many seconds looks like a hang of its own; what tells it from one is that it comes again and again.

    Where the fault has no room for a third wait (and the ten seconds in which it is seen), the hang or the stall is
    the honest root.
    """
    if slow.wait_seconds < LONG_WAIT_SECONDS:
        return ()
    around = slow.wait_seconds + max(slow.batches, 1) * job.plan.step_seconds
    if lasts >= 2 * around + SEEN_SECONDS:
        return ()
    return ("collective_hang",) if slow.guilty and job.ranks > 1 else ("training_stall",)


def _restores(faults: Faults, job: Job, told: Told, slow: Slow, seconds: float) -> None:
    job.slow_by(told.id, slow)
    attempt = job.attempt

    def end() -> None:
        faults.over(told)
        if job.attempt == attempt and job.phase is Phase.RUNNING:
            job.say(0, log_lines.RESTORE.format(step=job.saved_step))
            job.step = job.saved_step
        job.quick_again(told.id)

    faults.world.after(seconds, end)
