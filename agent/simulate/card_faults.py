"""Faults of cards, nodes and racks, kind by kind."""

import numpy as np

from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.cards import NS, Place
from agent.simulate.fault_effects import job_of, throttle
from agent.simulate.faults import Fault, Faults
from agent.simulate.job import Job
from agent.simulate.world import World
from collectors.model import EventKind


def gpu_lost(faults: Faults, fault: Fault) -> None:
    """Xid 79: the card falls off the bus; its rank hangs, the others wait until the watchdog gives up, the job dies,
    starts again, on the same card if nobody has noticed, dies again there, and goes on elsewhere."""
    job, world = job_of(fault), faults.world
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
    job, world = job_of(fault), faults.world
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
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "xid", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(74, world.card(node, gpu).pci_bus_id, world.pid()))
    job.hang(np.array([rank]))
    job.wait_until_timeout(np.array([rank]))
    faults.over_when_running(job, told)


def ecc_uncorrectable(faults: Faults, fault: Fault) -> None:
    """An uncorrectable error, contained: Xid 94 and 63, the counters, a pending remap; the process dies of it."""
    job, world = job_of(fault), faults.world
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
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "row_remap", guilty=faults.where(job, rank))
    world.kernel(node, log_lines.xid(63, world.card(node, gpu).pci_bus_id, world.pid()))
    world.cards.remaps[node, gpu] += 1
    world.cards.pending[node, gpu] = 1
    world.after(faults.lasts(fault, (20.0, 60.0)), lambda: faults.over(told))


def ecc_correctable_storm(faults: Faults, fault: Fault) -> None:
    """Corrected errors at a high rate; work goes on."""
    job, world = job_of(fault), faults.world
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
    job, world = job_of(fault), faults.world
    rank = faults.rank(fault)
    node, gpu = job.place_of(rank)
    told = faults.told(fault, "xid", guilty=faults.where(job, rank))
    code = 31 if world.rng.random() < 0.7 else 13
    world.kernel(node, log_lines.xid(code, world.card(node, gpu).pci_bus_id, world.pid()))
    job.crash(rank, 1, log_lines.ILLEGAL_ADDRESS)
    faults.over_when_running(job, told)


def thermal_throttle(faults: Faults, fault: Fault) -> None:
    """One card's cooling fails (thermal interface): it heats up, slows itself down, and its job with it."""
    job, world = job_of(fault), faults.world
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
        throttle(world, job, told.id, [rank], share, p.SW_THERMAL if share > 0.65 else p.HW_THERMAL | p.HW_SLOWDOWN)

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
                        throttle(world, job, told.id, [rank], share, p.SW_THERMAL)

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
    job, world = job_of(fault), faults.world
    node = fault.node if fault.node >= 0 else job.place_of(faults.rank(fault))[0]
    told = faults.told(fault, "power_throttle", guilty={"node": world.fleet.nodes[node].name})
    ranks = [r for r in range(job.ranks) if job.place_of(r)[0] == node]
    share = fault.severity or p.BRAKE_CLOCK_SHARE
    throttle(world, job, told.id, ranks, share, p.POWER_BRAKE | p.HW_SLOWDOWN)
    places = job.places(np.array(ranks))

    def end() -> None:
        _unthrottle(world, job, told.id, places)
        faults.over(told)

    world.after(faults.lasts(fault, (60.0, 200.0)), end)


# --- the node ---


def node_lost(faults: Faults, fault: Fault) -> None:
    """A node loses its power: silence, no goodbye; the other ranks wait for its ranks until the watchdog gives up."""
    job, world = job_of(fault), faults.world
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
    job, world = job_of(fault), faults.world
    node = fault.node if fault.node >= 0 else job.place_of(faults.rank(fault))[0]
    told = faults.told(fault, "telemetry_lost", guilty={"node": world.fleet.nodes[node].name})
    world.stop_collector(node, word=False)

    def back() -> None:
        world.start_collector(node)
        faults.over(told)

    world.after(faults.lasts(fault, (60.0, 180.0)), back)


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


def _unthrottle(world: World, job: Job | None, fault: str, at: Place) -> None:
    world.cards.settle(at, world.now_ns)
    world.cards.clock_share[at] = 1.0
    world.cards.extra_reasons[at] = 0
    world.cards.hot[at] = 0
    if job is not None:
        job.quick_again(fault)


def _node(world: World, node: int) -> Place:
    return np.full(world.fleet.gpus_per_node, node), np.arange(world.fleet.gpus_per_node)
