"""What each injectable fault does to the played fleet: every sign that it has in life, at the time it would show.

`agent/inject/faults.py` lists them; the physics are those of `agent/simulate`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.inject.control import Request
from agent.inject.faults import FAULTS
from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.fault_effects import throttle
from agent.simulate.job_plan import Phase
from collectors.errors import GiveUp
from collectors.model import EventKind
from testcluster.fleet.player import Player
from testcluster.fleet.training import ClusterJob

SETTLED_SECONDS = 25.0
"""A job's habit is known by then: ten seconds of its load and eight steps, with room."""
HEAT_SECONDS = 20.0
STORM_PER_SECOND = 200.0
HOT_CLOCK_SHARE = 0.66
GSP_SECONDS = 30.0
"""A driver that has not answered for so long counts as hung (the collector's own limit)."""
BOOT_SECONDS = 12.0
SWITCH_BUS = "0000:c5:00.0"
SICK_NOTE = "Disabling ECC single-bit error interrupts in framebuffer at logical partition 3, due to high error rate"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is laid."""

    player: Player
    node: int
    gpu: int
    job: ClusterJob | None
    lasts_seconds: float

    @property
    def bus(self) -> str:
        """PCI address of the card."""
        return self.player.world.card(self.node, self.gpu).pci_bus_id

    @property
    def rank(self) -> int | None:
        """The rank on the card."""
        return None if self.job is None else self.job.rank_at(self.node, self.gpu)

    @property
    def card(self) -> tuple[np.ndarray, np.ndarray]:
        """As arrays."""
        return np.array([self.node]), np.array([self.gpu])


def lay(player: Player, request: Request, ready: Callable[[str, bool], None] = lambda _node, _ready: None) -> str:
    """Lay a fault; a line that says what was done. `ready`: what the kubelet of a node says from now on.

    GiveUp where there is no such node, card or job, or where the fault could not be told from a start-up.
    """
    fault = FAULTS[request.fault]
    node = player.node(request.node)
    if node is None:
        names = [one.name for one in player.fleet.nodes]
        shown = ", ".join(names[:4]) + (f" ... {names[-1]}" if len(names) > 4 else "")
        raise GiveUp(f"the fleet plays no node {request.node}; there are {shown}")
    wide = player.fleet.gpus_per_node
    if not 0 <= request.gpu < wide:
        raise GiveUp(f"{request.node} has no GPU {request.gpu}; its GPUs are 0 to {wide - 1}")
    if node in player.dark and fault.name != "repair":
        raise GiveUp(f"{request.node} has no power; first inject repair there")
    job = player.job_at(node)
    if fault.about == "job":
        _check_settled(player, request.node, job)
    place = Place(player, node, request.gpu, job, request.lasts_seconds or fault.passes)
    _EFFECTS[fault.name](place, ready)
    return f"{fault.name} on {where(place, fault.about)}: {fault.signs}"


def where(place: Place, about: str) -> str:
    """In words."""
    name = place.player.fleet.nodes[place.node].name
    if about == "node":
        return name
    rank = "" if place.rank is None else f", rank {place.rank} of {place.job.plan.name if place.job else ''}"
    return f"{name}, GPU {place.gpu}{rank}"


def _check_settled(player: Player, node: str, job: ClusterJob | None) -> None:
    if job is None:
        raise GiveUp(f"no training job runs on {node}: this fault needs one; `kubectl get pods -A -o wide` shows where")
    if job.phase is not Phase.RUNNING or job.slow:
        raise GiveUp(f"job {job.plan.name} makes no steps as usual now ({job.phase}): try again when it does")
    steady = (player.now_ns - job.settled_ns) / 1e9
    if steady < SETTLED_SECONDS:
        left = SETTLED_SECONDS - steady
        raise GiveUp(f"job {job.plan.name} has made steps for {steady:.0f} s, no habit yet: again in {left:.0f} s")


def _kernel(place: Place, code: int, gpu: int | None = None) -> None:
    world = place.player.world
    bus = world.card(place.node, place.gpu if gpu is None else gpu).pci_bus_id
    world.kernel(place.node, log_lines.xid(code, bus, world.pid()))


def _hangs(place: Place) -> None:
    """The rank stops for good: the others wait for it until NCCL gives up."""
    job, rank = place.job, place.rank
    if job is None or rank is None:
        return
    if job.phase in (Phase.RUNNING, Phase.SAVING, Phase.EVALUATING):
        job.hang(np.array([rank]))
        job.wait_until_timeout(np.array([rank]))
    elif job.phase is Phase.STARTING:
        job.crash(rank, 1, log_lines.NO_DEVICE)


def _dies(place: Place, code: int, final: str) -> None:
    job, rank = place.job, place.rank
    if job is not None and rank is not None and job.phase is not Phase.BROKEN:
        job.crash(rank, code, final)


def _later(place: Place, back: Callable[[], None]) -> None:
    if place.lasts_seconds:
        place.player.world.after(place.lasts_seconds, back)


Ready = Callable[[str, bool], None]


def xid_79(place: Place, ready: Ready) -> None:
    """The kernel's line, and a third of a second later NVML's."""
    world = place.player.world
    _kernel(place, 79)
    world.cards.lost[place.node, place.gpu] = True
    world.after(0.3, lambda: world.driver_says(place.node, EventKind.GPU_LOST, place.gpu, "GPU is lost"))
    _hangs(place)
    _later(place, lambda: repair(place, ready))


def xid_48(place: Place, ready: Ready) -> None:
    """A double-bit error: counted, remapped, and the death of the process that met it."""
    world, at = place.player.world, (place.node, place.gpu)
    world.cards.uncorrected[at] += 1
    _kernel(place, 48)

    def remap() -> None:
        world.cards.remaps[at] += 1
        world.cards.pending[at] = 1
        _kernel(place, 63)

    world.after(0.8, remap)
    _dies(place, 1, log_lines.ECC_ERROR)
    _later(place, lambda: repair(place, ready))


def xid_74(place: Place, ready: Ready) -> None:
    """Both ends of the link report it, and the switch between them."""
    world = place.player.world
    _kernel(place, 74)
    peer = (place.gpu + 1) % place.player.fleet.gpus_per_node
    world.after(0.1, lambda: _kernel(place, 74, peer))
    switch = f"nvidia-nvswitch0: SXid (PCI:{SWITCH_BUS}): 20034, Fatal, Link 9 LTSSM Fault Up"
    world.after(0.2, lambda: world.kernel(place.node, switch))
    _hangs(place)
    _later(place, lambda: repair(place, ready))


def xid_119(place: Place, ready: Ready) -> None:
    """The driver hangs with the card's own processor: no reading of the whole node any more."""
    world = place.player.world
    _kernel(place, 119)
    world.cards.lost[place.node, :] = True

    def hung() -> None:
        if world.cards.lost[place.node].all():
            world.driver_says(place.node, EventKind.DRIVER_HUNG, None, f"NVML has not answered for {GSP_SECONDS:.0f} s")

    world.after(GSP_SECONDS, hung)
    _hangs(place)
    _later(place, lambda: repair(place, ready))


def row_remap(place: Place, ready: Ready) -> None:
    """Nothing stops."""
    world, at = place.player.world, (place.node, place.gpu)
    _kernel(place, 63)
    world.cards.remaps[at] += 1
    world.cards.pending[at] = 1
    _later(place, lambda: repair(place, ready))


def thermal(place: Place, ready: Ready) -> None:
    """It warms up in steps, then its clock falls, and its job's pace with it."""
    world, at, fault = place.player.world, (place.node, place.gpu), f"hot {place.node}/{place.gpu}"
    cards = world.cards
    at_work = p.AMBIENT_CELSIUS + (p.FAST_CELSIUS_PER_WATT + p.SLOW_CELSIUS_PER_WATT) * float(cards.low[at])
    rise = max(p.THERMAL_TARGET_CELSIUS - at_work, 0.0) / 10

    def warmer() -> None:
        cards.hot[at] += rise

    for part in range(10):
        world.after(HEAT_SECONDS * part / 10, warmer)

    def hot() -> None:
        job = place.player.job_at(place.node)
        rank = None if job is None else job.rank_at(place.node, place.gpu)
        if job is not None and rank is not None:
            throttle(world, job, fault, [rank], HOT_CLOCK_SHARE, p.SW_THERMAL)
        else:
            cards.settle(place.card, world.now_ns)
            cards.extra_reasons[at] |= p.SW_THERMAL

        def cool() -> None:
            _cool(place)
            for one in place.player.jobs.values():
                one.quick_again(fault)

        _later(place, cool)

    world.after(HEAT_SECONDS, hot)


def _cool(place: Place) -> None:
    cards = place.player.world.cards
    cards.settle(place.card, place.player.now_ns)
    cards.clock_share[place.card] = 1.0
    cards.extra_reasons[place.card] = 0
    cards.hot[place.card] = 0.0


def correctable_storm(place: Place, ready: Ready) -> None:
    """The counter runs; the driver stops to report each of them."""
    world, at = place.player.world, (place.node, place.gpu)
    world.cards.corrected_rate[at] = STORM_PER_SECOND
    line = f"NVRM: Xid (PCI:{place.bus.split('.')[0]}): 92, pid='<unknown>', name=<unknown>, {SICK_NOTE}"
    world.after(1.0, lambda: world.kernel(place.node, line))

    def end() -> None:
        world.cards.corrected_rate[at] = 0.0

    _later(place, end)


def collective_hang(place: Place, ready: Ready) -> None:
    """A rank that does nothing; the rest of the job spins."""
    job, rank = place.job, place.rank
    if job is None or rank is None:
        return
    job.hang(np.array([rank]))
    if place.lasts_seconds >= job.plan.timeout_seconds:
        job.wait_until_timeout(np.array([rank]))
    else:
        _later(place, job.resume)


def dataloader_stall(place: Place, ready: Ready) -> None:
    """Everything stands still, and the next line says what it waited for."""
    if place.job is not None:
        place.job.stall(for_data=True)
        _later(place, place.job.resume)


def rank_crash(place: Place, ready: Ready) -> None:
    """The kernel kills a process; it has no last word."""
    world = place.player.world
    world.kernel(place.node, log_lines.oom_kill(world.pid()), 3)
    _dies(place, -9, "")


def node_lost(place: Place, ready: Ready) -> None:
    """From one moment to the next."""
    player, node = place.player, place.node
    player.dark.add(node)
    player.world.stop_collector(node, word=False)
    ready(player.fleet.nodes[node].name, False)
    if place.job is not None and place.job.phase is not Phase.BROKEN:
        job = place.job
        ranks = np.array([r for r in range(job.ranks) if job.place_of(r)[0] == node])
        if len(ranks) == job.ranks:
            job.lose(range(len(job.nodes)))
        else:
            job.break_off(ranks)
    _later(place, lambda: repair(place, ready))


def repair(place: Place, ready: Ready) -> None:
    """The machine is taken down in order, if it still runs, and boots with sound cards."""
    player, node = place.player, place.node
    world, cards = player.world, player.world.cards
    machine = player.fleet.nodes[node]
    all_cards = (np.full(len(machine.cards), node), np.arange(len(machine.cards)))
    job = player.job_at(node)
    if job is not None and node not in player.dark:
        job.lose([job.nodes.index(node)])
    world.stop_collector(node, word=True)

    def boot() -> None:
        cards.settle(all_cards, world.now_ns)
        cards.lost[node, :] = False
        cards.pending[node, :] = cards.failed[node, :] = cards.corrected_rate[node, :] = 0
        cards.extra_reasons[node, :] = 0
        cards.clock_share[node, :] = 1.0
        cards.hot[node, :] = 0.0
        player.dark.discard(node)
        ready(machine.name, True)
        world.rebooted(node, f"{machine.boot_id[:-8]}{int(world.rng.integers(1 << 32)):08x}")
        world.start_collector(node)

    world.after(BOOT_SECONDS, boot)


_EFFECTS: dict[str, Callable[[Place, Ready], None]] = {
    "xid-79": xid_79,
    "xid-48": xid_48,
    "xid-74": xid_74,
    "xid-119": xid_119,
    "row-remap": row_remap,
    "thermal": thermal,
    "correctable-storm": correctable_storm,
    "collective-hang": collective_hang,
    "dataloader-stall": dataloader_stall,
    "rank-crash": rank_crash,
    "node-lost": node_lost,
    "repair": repair,
}
