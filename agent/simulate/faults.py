"""What can go wrong, kind by kind: each begins, has its consequences, ends, and says so in the truth.

A fault is begun when its job has made steps for a while (`Faults.begin` waits for that): a fault in a start-up is
another story. What follows from a cause by itself (a time-out after 600 s, the crash of a job, a second crash on the
same card) belongs to that cause and is no phase of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.cards import NS, Place
from agent.simulate.job import Job, Phase, Slow, settled
from agent.simulate.truth import Phase as Told
from agent.simulate.truth import Truth
from agent.simulate.world import World
from collectors.model import EventKind


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it is to be brought about; -1 and None: drawn."""

    kind: str
    at_ns: int
    job: Job | None = None
    rank: int = -1
    node: int = -1
    gpu: int = -1
    rack: str = ""
    lasts_seconds: float = 0.0
    """0: drawn by kind, or for good where it does not pass by itself."""
    severity: float = 0.0
    """By kind: stretch of a step, delay in seconds, errors a second, share of clock that is left. 0: drawn."""
    everywhere: bool = False
    """Slow loaders: on all ranks."""
    crashes_again: bool | None = None
    """A lost card: whether the job is started on it once more."""


@dataclass(slots=True)
class Faults:
    """Brings faults about. `spares`: nodes that no job uses."""

    world: World
    truth: Truth
    jobs: list[Job]
    spares: list[int]
    settle_seconds: float = 40.0
    _bad_nodes: set[int] = field(default_factory=set)

    def begin(self, fault: Fault) -> None:
        """Bring a fault about at its time, or as soon as its job has settled."""
        self.world.at(fault.at_ns, lambda: self._try(fault))

    def _try(self, fault: Fault) -> None:
        job = fault.job
        if job is not None and fault.kind not in ON_CARDS and not settled(job, self.settle_seconds):
            if not job.ended:
                self.world.after(1.0, lambda: self._try(fault))
            return
        if job is not None and fault.node >= 0 and fault.node not in job.nodes:
            return
        KINDS[fault.kind](self, fault)

    # --- shared parts ---

    def told(self, fault: Fault, root: str, *roots: str, guilty: dict[str, Any] | None = None, **said: Any) -> Told:
        """Write a fault into the truth."""
        job = fault.job
        names = {"job": job.plan.name, "jobs": (job.plan.name,)} if job is not None else {}
        return self.truth.begin(
            "fault", fault.kind, self.world.now_ns, guilty=guilty or {}, root=root, roots=roots, **(names | said)
        )

    def where(self, job: Job, rank: int) -> dict[str, Any]:
        """A rank's place, by name."""
        node, gpu = job.place_of(rank)
        return {"node": self.world.fleet.nodes[node].name, "gpu": gpu, "rank": rank}

    def rank(self, fault: Fault) -> int:
        """The rank it is about, drawn where it is not given; rank 0 is as likely as any."""
        job = fault.job
        if job is None:
            raise ValueError(f"{fault.kind} without a job")
        if fault.rank >= 0:
            return fault.rank % job.ranks
        if fault.node >= 0:
            found = job.rank_at(fault.node, max(fault.gpu, 0))
            if found is not None:
                return found
        return int(self.world.rng.integers(job.ranks))

    def lasts(self, fault: Fault, bounds: tuple[float, float]) -> float:
        """Seconds."""
        return fault.lasts_seconds or self.world.uniform(bounds)

    def over(self, told: Told) -> None:
        """A phase ends now."""
        told.end_ns = self.world.now_ns

    def over_when_running(self, job: Job, told: Told) -> None:
        """A phase ends when the job makes steps again."""
        job.when_running.append(lambda: self.over(told))

    def follows(self, told: Told, what: str) -> None:
        """Something that followed."""
        told.story.append((self.world.now_ns / NS, what))

    def replace_node(self, job: Job, node: int) -> bool:
        """Put a spare in a bad node's place; False where there is none."""
        usable = [spare for spare in self.spares if spare not in self._bad_nodes]
        if node not in job.nodes:
            return True
        if not usable:
            return False
        spare = usable[0]
        self.spares.remove(spare)
        self._bad_nodes.add(node)
        job.move(node, spare)
        return True


# --- the card ---


def gpu_lost(faults: Faults, fault: Fault) -> None:
    """Xid 79: the card falls off the bus; its rank hangs, the others wait until the watchdog gives up, the job dies,
    starts again, on the same card if nobody has noticed, dies again there, and goes on elsewhere."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "gpu_lost", "xid", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(79, world.card(node, gpu).pci_bus_id, world.pid()))
    world.cards.lost[node, gpu] = True
    world.after(0.3, lambda: world.driver_says(node, EventKind.GPU_LOST, gpu, "GPU is lost"))
    again = bool(world.rng.random() < 0.5) if fault.crashes_again is None else fault.crashes_again
    tries = [2 if again else 1]
    job.hang(np.array([rank]))
    job.wait_until_timeout(np.array([rank]))
    faults.follows(told, f"the others wait; time-out after {job.plan.timeout_seconds:.0f} s")

    def before_restart() -> bool:
        tries[0] -= 1
        if tries[0] > 0:
            faults.follows(told, "started again on the same card")
            return True
        if not faults.replace_node(job, node):
            # no spare: the node is rebooted, and its card is back
            world.cards.lost[node, gpu] = False
            world.driver_says(node, EventKind.GPU_RETURNED, gpu, "")
        job.before_restart = None
        faults.follows(told, "started again elsewhere")
        return True

    job.before_restart = before_restart
    faults.over_when_running(job, told)


def gsp_hang(faults: Faults, fault: Fault) -> None:
    """Xid 119: the card's system processor answers no more; NVML hangs on the whole node, the rank stops."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "xid", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(119, world.card(node, gpu).pci_bus_id, world.pid()))
    world.cards.lost[node, :] = True
    world.after(30.0, lambda: world.driver_says(node, EventKind.DRIVER_HUNG, None, "NVML has not answered for 30 s"))
    job.hang(np.array([rank]))
    job.wait_until_timeout(np.array([rank]))

    def before_restart() -> bool:
        if not faults.replace_node(job, node):
            world.cards.lost[node, :] = False
        job.before_restart = None
        return True

    job.before_restart = before_restart
    faults.over_when_running(job, told)


def nvlink_error(faults: Faults, fault: Fault) -> None:
    """Xid 74: a link between two cards of a node fails; the collective over it never ends."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "xid", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(74, world.card(node, gpu).pci_bus_id, world.pid()))
    job.hang(np.array([rank]))
    job.wait_until_timeout(np.array([rank]))
    faults.over_when_running(job, told)


def ecc_uncorrectable(faults: Faults, fault: Fault) -> None:
    """An uncorrectable error, contained: Xid 94 and 63, the counters, a pending remap; the process dies of it."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "ecc_uncorrectable", guilty=faults.where(job, rank))
    bus, cards = world.card(node, gpu).pci_bus_id, world.cards
    cards.uncorrected[node, gpu] += 1
    world.kernel(node, log_lines.xid(94, bus, world.pid()))

    def remap() -> None:
        cards.remaps[node, gpu] += 1
        cards.pending[node, gpu] = 1
        world.kernel(node, log_lines.xid(63, bus, world.pid()))

    world.after(0.8, remap)
    job.crash(rank, 1, log_lines.ECC_ERROR)
    _reset_at_restart(faults, job, node, gpu)
    faults.over_when_running(job, told)


def row_remap(faults: Faults, fault: Fault) -> None:
    """Xid 63 alone: a row is remapped at the next reset; work goes on."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "row_remap", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(63, world.card(node, gpu).pci_bus_id, world.pid()))
    world.cards.remaps[node, gpu] += 1
    world.cards.pending[node, gpu] = 1
    world.after(faults.lasts(fault, (20.0, 60.0)), lambda: faults.over(told))


def ecc_correctable_storm(faults: Faults, fault: Fault) -> None:
    """Corrected errors at a high rate; work goes on."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    at = job.place_of(rank)
    told = faults.told(fault, "ecc_correctable_storm", guilty=faults.where(job, rank))
    rate = fault.severity or world.log_uniform(p.STORM_PER_SECOND)
    told.note = f"{rate:.0f} a second"
    world.cards.corrected_rate[at] = rate

    def end() -> None:
        world.cards.corrected_rate[at] = 0
        faults.over(told)

    world.after(faults.lasts(fault, (60.0, 240.0)), end)


def xid(faults: Faults, fault: Fault) -> None:
    """Xid 31 or 13: the process touches what it must not, and dies of it."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "xid", guilty=faults.where(job, rank))
    code = 31 if world.rng.random() < 0.7 else 13
    world.kernel(node, log_lines.xid(code, world.card(node, gpu).pci_bus_id, world.pid()))
    job.crash(rank, 1, log_lines.ILLEGAL_ADDRESS)
    faults.over_when_running(job, told)


def thermal_throttle(faults: Faults, fault: Fault) -> None:
    """One card's cooling fails (thermal interface): it heats up, slows itself down, and its job with it."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    at = job.place_of(rank)
    heat = world.uniform(p.HEAT_SECONDS)
    share = fault.severity or world.log_uniform(p.THROTTLED_CLOCK_SHARE)
    lasts = faults.lasts(fault, (60.0, 200.0))
    places = (np.array([at[0]]), np.array([at[1]]))
    _heat(world, places, heat)

    def hot() -> None:
        told = faults.told(fault, "thermal_throttle", guilty=faults.where(job, rank))
        told.note = f"{share:.0%} of its clock left, after {heat:.0f} s of warming"
        _throttle(world, job, told.id, [rank], share, p.SW_THERMAL if share > 0.65 else p.HW_THERMAL | p.HW_SLOWDOWN)

        def cool() -> None:
            _unthrottle(world, job, told.id, places)
            faults.over(told)

        world.after(lasts, cool)

    world.after(heat, hot)


def rack_cooling(faults: Faults, fault: Fault) -> None:
    """A rack loses its cooling: card after card throttles, and every job in the rack with them. One cause."""
    world = faults.world
    nodes = [node.index for node in world.fleet.nodes if node.rack == fault.rack]
    told = faults.told(fault, "thermal_throttle", guilty={"rack": fault.rack})
    told.jobs = tuple(dict.fromkeys(job.plan.name for job in faults.jobs if set(job.nodes) & set(nodes)))
    told.job = told.jobs[0] if told.jobs else ""
    lasts = faults.lasts(fault, (240.0, 420.0))
    first = [float("inf")]
    for node in nodes:
        for gpu in range(world.fleet.gpus_per_node):
            heat = world.uniform(p.HEAT_SECONDS)
            share = fault.severity or world.log_uniform(p.THROTTLED_CLOCK_SHARE)
            place = (np.array([node]), np.array([gpu]))
            _heat(world, place, heat)
            busy = bool(world.cards.low[node, gpu] > 300)
            if not busy:
                continue
            first[0] = min(first[0], heat)

            def hot(node: int = node, gpu: int = gpu, share: float = share) -> None:
                if told.end_ns:
                    return
                for job in faults.jobs:
                    rank = job.rank_at(node, gpu)
                    if rank is not None:
                        _throttle(world, job, told.id, [rank], share, p.SW_THERMAL)

            world.after(heat, hot)

    def cool() -> None:
        faults.over(told)
        for node in nodes:
            every = (np.full(world.fleet.gpus_per_node, node), np.arange(world.fleet.gpus_per_node))
            _unthrottle(world, None, told.id, every)
        for job in faults.jobs:
            job.quick_again(told.id)

    world.after(lasts, cool)
    if first[0] < float("inf"):
        told.start_ns += int(first[0] * NS)
        told.note = "start: the first card throttles"


def power_brake(faults: Faults, fault: Fault) -> None:
    """A node's power supply fails: all its cards are braked to half their clock."""
    job, world = _job(fault), faults.world
    node = fault.node if fault.node >= 0 else job.place_of(faults.rank(fault))[0]
    told = faults.told(fault, "power_throttle", guilty={"node": world.fleet.nodes[node].name})
    ranks = [r for r in range(job.ranks) if job.place_of(r)[0] == node]
    share = fault.severity or p.BRAKE_CLOCK_SHARE
    _throttle(world, job, told.id, ranks, share, p.POWER_BRAKE | p.HW_SLOWDOWN)
    places = job.places(np.array(ranks))

    def end() -> None:
        _unthrottle(world, job, told.id, places)
        faults.over(told)

    world.after(faults.lasts(fault, (60.0, 200.0)), end)


# --- the node ---


def node_lost(faults: Faults, fault: Fault) -> None:
    """A node loses its power: silence, no goodbye; the other ranks wait for its ranks until the watchdog gives up."""
    job, world = _job(fault), faults.world
    node = fault.node if fault.node >= 0 else job.place_of(faults.rank(fault))[0]
    told = faults.told(fault, "telemetry_lost", guilty={"node": world.fleet.nodes[node].name})
    ranks = np.array([r for r in range(job.ranks) if job.place_of(r)[0] == node])
    world.stop_collector(node, word=False)
    back = faults.lasts(fault, (400.0, 900.0))
    whole = len(ranks) == job.ranks
    if whole:
        # nobody is left to wait: its controller finds out
        job.vanish(60.0)
    else:
        job.break_off(ranks)

    def before_restart() -> bool:
        if world.now_ns >= told.start_ns + int(back * NS):
            job.before_restart = None
            return True
        if faults.replace_node(job, node):
            job.before_restart = None
            return True
        return False

    def comes_back() -> None:
        world.rebooted(node, f"{world.fleet.nodes[node].boot_id[:-4]}{world.rng.integers(1 << 16):04x}")
        world.cards.put(_node(world, node), p.OFF, world.now_ns)
        world.start_collector(node)

    job.before_restart = before_restart
    world.after(back, comes_back)
    faults.over_when_running(job, told)


def collector_lost(faults: Faults, fault: Fault) -> None:
    """Only the collector dies (its pod was killed): silence beside a job that goes on."""
    job, world = _job(fault), faults.world
    node = fault.node if fault.node >= 0 else job.place_of(faults.rank(fault))[0]
    told = faults.told(fault, "telemetry_lost", guilty={"node": world.fleet.nodes[node].name})
    world.stop_collector(node, word=False)

    def back() -> None:
        world.start_collector(node)
        faults.over(told)

    world.after(faults.lasts(fault, (60.0, 180.0)), back)


# --- the job ---


def job_crash(faults: Faults, fault: Fault) -> None:
    """A bug: one rank raises, the launcher ends the others."""
    job = _job(fault)
    rank = faults.rank(fault)
    told = faults.told(fault, "job_crash", "rank_crash")  # the code is to blame, no rank
    job.crash(rank, 1, str(faults.world.rng.choice(log_lines.BUGS)))
    faults.over_when_running(job, told)


def rank_crash(faults: Faults, fault: Fault) -> None:
    """A rank is killed (often for the host's memory): SIGKILL, no word of its own."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "rank_crash", "job_crash", guilty=faults.where(job, rank))
    if world.rng.random() < 0.5:
        world.kernel(job.place_of(rank)[0], log_lines.oom_kill(world.pid()), 3)
        told.note = "killed for the pod's memory"
    job.crash(rank, -9)
    faults.over_when_running(job, told)


def collective_hang(faults: Faults, fault: Fault) -> None:
    """A rank stops in its code (a lock, a debugger, a frozen file system): it passes, or the watchdog ends it."""
    job, world = _job(fault), faults.world
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
    job = _job(fault)
    told = faults.told(fault, "dataloader_stall", *_unnamed(job))
    job.stall(for_data=True)
    _passes(faults, job, told, faults.lasts(fault, (14.0, 60.0)))


def host_stall(faults: Faults, fault: Fault) -> None:
    """All ranks stand still for another reason than their input (garbage collection, a slow logger)."""
    job = _job(fault)
    told = faults.told(fault, "host_stall", *_unnamed(job))
    job.stall(for_data=False)
    _passes(faults, job, told, faults.lasts(fault, (14.0, 40.0)))


def _unnamed(job: Job) -> tuple[str, ...]:
    """Only a log that states the wait for data tells these two apart: elsewhere the stall itself is the honest root."""
    return () if job.plan.log == "hugging_face" and job.plan.log_every == 1 else ("training_stall",)


def dataloader_slow(faults: Faults, fault: Fault) -> None:
    """Slow storage, for all ranks or for one: batches come in groups."""
    job, world = _job(fault), faults.world
    everywhere = fault.everywhere or (fault.rank < 0 and (job.ranks == 1 or world.rng.random() < 0.5))
    rank = faults.rank(fault)
    guilty = {} if everywhere else faults.where(job, rank)
    told = faults.told(fault, "dataloader_stall", guilty=guilty)
    workers = int(world.rng.integers(*p.LOADER_WORKERS))
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
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "straggler", guilty=faults.where(job, rank))
    wait = fault.severity or job.plan.step_seconds * world.log_uniform(p.HOST_DELAY_STEPS)
    slow = Slow("late host", (rank,), wait_seconds=min(wait, p.MOST_DELAY_SECONDS))
    told.note = f"{slow.wait_seconds:.1f} s before each step of {job.plan.step_seconds:.2f} s"
    _slows(faults, fault, job, told, slow)


def straggler_gpu(faults: Faults, fault: Fault) -> None:
    """A second process computes on one rank's card."""
    job, world = _job(fault), faults.world
    rank = faults.rank(fault)
    told = faults.told(fault, "straggler", guilty=faults.where(job, rank))
    stretch = fault.severity or world.log_uniform(p.SLOWDOWN)
    told.note = f"steps take {stretch:.2f} times as long"
    slow = Slow("straggler", (rank,), stretch=stretch, second_process=True)
    _slows(faults, fault, job, told, slow)


def power_throttle(faults: Faults, fault: Fault) -> None:
    """Denser work on all ranks at the same cap: the clock is held down, no card is at fault."""
    job = _job(fault)
    told = faults.told(fault, "power_throttle", "throughput_drop")
    _slows(faults, fault, job, told, Slow("dense", (), stretch=fault.severity or 1.6))


def loss_nan(faults: Faults, fault: Fault) -> None:
    """Loss and gradients become NaN, until somebody goes back to the last checkpoint."""
    job = _job(fault)
    told = faults.told(fault, "loss_nan")
    _restores(faults, job, told, Slow("nan"), faults.lasts(fault, (30.0, 90.0)))


def loss_divergence(faults: Faults, fault: Fault) -> None:
    """The loss leaves its course, until somebody goes back to the last checkpoint."""
    job = _job(fault)
    told = faults.told(fault, "loss_divergence")
    _restores(faults, job, told, Slow("diverged"), faults.lasts(fault, (40.0, 120.0)))


def gpu_memory_leak(faults: Faults, fault: Fault) -> None:
    """Every rank's memory grows until one runs out and the job dies."""
    job, world = _job(fault), faults.world
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

    faults.world.after(faults.lasts(fault, (45.0, 150.0)), end)


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


def _reset_at_restart(faults: Faults, job: Job, node: int, gpu: int) -> None:
    """The card is reset between two attempts: a pending remap takes effect."""

    def before_restart() -> bool:
        faults.world.cards.pending[node, gpu] = 0
        job.before_restart = None
        return True

    job.before_restart = before_restart


def _heat(world: World, at: Place, seconds: float) -> None:
    """Warm up to the throttle in ten steps."""
    cards = world.cards
    at_work = p.AMBIENT_CELSIUS + (p.FAST_CELSIUS_PER_WATT + p.SLOW_CELSIUS_PER_WATT) * cards.low[at]
    rise = np.maximum(p.THERMAL_TARGET_CELSIUS - at_work, 0) / 10

    def warmer() -> None:
        cards.hot[at] += rise

    for part in range(10):
        world.after(seconds * part / 10, warmer)


def _throttle(world: World, job: Job, fault: str, ranks: list[int], share: float, bits: int) -> None:
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


def _unthrottle(world: World, job: Job | None, fault: str, at: Place) -> None:
    world.cards.settle(at, world.now_ns)
    world.cards.clock_share[at] = 1.0
    world.cards.extra_reasons[at] = 0
    world.cards.hot[at] = 0
    if job is not None:
        job.quick_again(fault)


def _node(world: World, node: int) -> Place:
    return np.full(world.fleet.gpus_per_node, node), np.arange(world.fleet.gpus_per_node)


def _job(fault: Fault) -> Job:
    if fault.job is None:
        raise ValueError(f"{fault.kind} without a job")
    return fault.job


Begin = Callable[[Faults, Fault], None]
KINDS: dict[str, Begin] = {
    one.__name__: one
    for one in (
        gpu_lost,
        gsp_hang,
        nvlink_error,
        ecc_uncorrectable,
        row_remap,
        ecc_correctable_storm,
        xid,
        thermal_throttle,
        rack_cooling,
        power_brake,
        node_lost,
        collector_lost,
        job_crash,
        rank_crash,
        collective_hang,
        dataloader_hang,
        host_stall,
        dataloader_slow,
        straggler_host,
        straggler_gpu,
        power_throttle,
        loss_nan,
        loss_divergence,
        gpu_memory_leak,
    )
}
"""Every kind of fault by its name."""
ON_CARDS = frozenset({"ecc_correctable_storm", "row_remap", "rack_cooling", "collector_lost", "thermal_throttle"})
"""Kinds that do not wait for their job to settle."""
