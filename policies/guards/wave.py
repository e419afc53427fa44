"""Many at once: suspect the power feed, the upgrade or the detector before the nodes. Lets go by itself, at a ramp."""

from collections.abc import Iterable

from policies.around import Crowd, Pending
from policies.cluster_view import Place, Taken
from policies.guard_settings import WaveSettings
from policies.guards.contract import NS, Guard, GuardContext, seconds_words
from policies.plan import StepKind
from policies.ramp import allowance, next_step_ns, release_ns

_TAKEN_OUT = frozenset({StepKind.CORDON.value, StepKind.TAINT.value, "reset_gpu", "reboot_node"})
_SUSPECT = {
    Place.RACK: "suspect its power feed or its cooling",
    Place.DOMAIN: "suspect its switches or its power feed",
    Place.FLEET: "suspect an upgrade, the facility, or the detector",
}


def crowd_of(settings: WaveSettings, crowds: tuple[Crowd, ...]) -> Crowd | None:
    """The largest crowd that is a wave."""
    least = {Place.RACK: settings.rack, Place.DOMAIN: settings.domain, Place.FLEET: settings.fleet}
    waves = [crowd for crowd in crowds if crowd.place in least and crowd.nodes >= least[crowd.place]]
    return max(waves, key=lambda crowd: (crowd.nodes, crowd.place is not Place.FLEET), default=None)


def acted_in(
    crowd: Crowd, kind: str, window_seconds: int, taken: Iterable[Taken], pending: Iterable[Pending]
) -> frozenset[str]:
    """uids of nodes taken out for this kind of fault since the wave began, or about to be."""
    since_ns = crowd.first_ns - window_seconds * NS
    done = {o.node for o in taken if o.what in _TAKEN_OUT and o.root_kind == kind and o.time_ns >= since_ns}
    done |= {uid for one in pending if one.root_kind == kind for uid in one.nodes}
    return frozenset(done)


class WaveGuard(Guard):
    """G13."""

    id = "G13"
    says_no_when = "many nodes of a rack, domain or the fleet show the same fault at once and the ramp has no room yet"
    passes = True
    settings = ("wave",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Holds until the wave is quiet, or old enough; then a few nodes go, and more in each step."""
        wave = context.settings.wave
        new = {node.uid for node in context.reach.taken_out}
        crowd = crowd_of(wave, context.around.crowds)
        if crowd is None or context.undoes:
            near = max((c.nodes for c in context.around.crowds), default=len(new))
            return True, f"{near} of this kind near in time: no wave"
        where = "the fleet" if crowd.place is Place.FLEET else f"{'domain' if crowd.place is Place.DOMAIN else 'rack'} "
        where += "" if crowd.place is Place.FLEET else crowd.name
        within = seconds_words((crowd.last_ns - crowd.first_ns) / NS)
        words = f"{crowd.nodes} nodes of {where} within {within}: {_SUSPECT[crowd.place]}"
        if not new:
            return True, f"{words}; no node leaves service"
        released_ns = release_ns(wave, crowd.first_ns, crowd.last_ns)
        kind = context.facts.incident.kind.value
        done = acted_in(crowd, kind, wave.window_seconds, context.lately, context.around.pending)
        room = allowance(wave, released_ns, context.now_ns)
        wait = seconds_words((next_step_ns(wave, released_ns, context.now_ns) - context.now_ns) / NS)
        if not room:
            return False, f"{words}; lets go in {wait}"
        total = len(done | new)
        words = (
            f"{words}; the ramp has room for {room} nodes, {len(done)} went, {len(new - done)} more would be {total}"
        )
        return (True, words) if total <= room else (False, f"{words}; more room in {wait}")
