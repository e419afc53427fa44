"""How much at once: unavailable nodes in the fleet and in each place, and room for what would move."""

from collections.abc import Iterable, Sequence

from policies.around import Around
from policies.cluster_view import ClusterView, NodeView, Place
from policies.guard_settings import Limit, UnavailableSettings
from policies.guards.contract import Guard, GuardContext

_PLACES = (Place.POOL, Place.RACK, Place.DOMAIN)


def most(limit: Limit, nodes: int) -> int:
    """Nodes that may be unavailable in a place of so many: whichever bound is less, but never less than one."""
    return max(1, min(limit.count, int(limit.share * nodes + 1e-9)))


def fleet_word(
    view: ClusterView, settings: UnavailableSettings, new: Sequence[NodeView], around: Around
) -> tuple[bool, str]:
    """G6 for nodes that would leave service, with those that others' plans are about to take out."""
    return _word(view, Place.FLEET, "", settings.fleet, new, _announced(view, around))


def place_words(
    view: ClusterView, settings: UnavailableSettings, new: Sequence[NodeView], around: Around
) -> tuple[bool, str]:
    """G7: the first place that would hold too many, else the fullest."""
    announced = _announced(view, around)
    said: list[str] = []
    for place in _PLACES:
        for name in sorted({str(getattr(node, place.value)) for node in new}):
            here = [node for node in new if getattr(node, place.value) == name]
            if name:
                others = [node for node in announced if getattr(node, place.value) == name]
                allows, word = _word(view, place, name, getattr(settings, place.value), here, others)
            elif place is Place.RACK:
                allows, word = _word(view, Place.FLEET, "", settings.fleet, new, announced)
                word = f"{len(here)} of unknown rack count against the fleet: {word}"
            else:
                continue  # no pool and no domain: the fleet's limit holds them
            if not allows:
                return False, word
            said.append(word)
    return True, "; ".join(said) if said else "no node leaves service"


def room_for(
    view: ClusterView, settings: UnavailableSettings, nodes: Iterable[NodeView], around: Around, at_most: int
) -> list[NodeView]:
    """The first of some nodes that may leave service together under G6 and G7; a planner asks before it cuts a wave."""
    chosen: list[NodeView] = []
    for node in nodes:
        if len(chosen) >= at_most:
            break
        tried = [*chosen, node]
        if not fleet_word(view, settings, tried, around)[0]:
            break
        if place_words(view, settings, tried, around)[0]:
            chosen = tried
    return chosen


def _announced(view: ClusterView, around: Around) -> list[NodeView]:
    uids = {uid for pending in around.pending for uid in pending.nodes}
    found = (view.node(uid) for uid in sorted(uids))
    return [node for node in found if node is not None and not node.unavailable]


def _word(
    view: ClusterView, place: Place, name: str, limit: Limit, new: Sequence[NodeView], others: Sequence[NodeView]
) -> tuple[bool, str]:
    tally = view.tally(place, name)
    where = "the fleet" if place is Place.FLEET else f"{'NVLink domain' if place is Place.DOMAIN else place} {name}"
    uids = {node.uid for node in new}
    more = len([node for node in others if node.uid not in uids])
    bound = most(limit, tally.nodes)
    coming = f", {more} are about to be" if more else ""
    counted = f"{tally.unavailable} of {tally.nodes} nodes of {where} are unavailable{coming}"
    if not new:
        return True, f"no node leaves service; {counted}"
    total = tally.unavailable + more + len(new)
    return total <= bound, f"{counted}, {len(new)} more would be {total}, at most {bound} may be"


class FleetGuard(Guard):
    """G6."""

    id = "G6"
    says_no_when = "more nodes of the fleet would be unavailable than its limit allows, whoever took them out"
    passes = True
    settings = ("unavailable",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Nodes that are out already add nothing."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        return fleet_word(context.view, context.settings.unavailable, context.reach.taken_out, context.around)


class PlaceGuard(Guard):
    """G7."""

    id = "G7"
    says_no_when = "more nodes of a pool, rack or NVLink domain would be unavailable than its limit allows"
    passes = True
    settings = ("unavailable",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """A node of an unknown rack counts against the fleet."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        return place_words(context.view, context.settings.unavailable, context.reach.taken_out, context.around)


class CapacityGuard(Guard):
    """G8."""

    id = "G8"
    says_no_when = "fewer GPUs are free in the pool than what would move off the node needs"
    passes = True
    settings = ("capacity",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """A gang that is restarted takes its own GPUs again; only those on nodes that leave service are missing."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        if not context.settings.capacity.ask:
            return True, "not asked for (capacity.ask is false)"
        leaving = {node.uid: node for node in context.reach.nodes if _leaves(node, context)}
        by_name = {node.name: node for node in leaving.values()}
        spare = context.settings.capacity.spare_gpus
        said: list[str] = []
        for pool in sorted({node.pool for node in leaving.values()}):
            need = sum(pod.gpus for pod in context.reach.pods if pod.node in by_name and by_name[pod.node].pool == pool)
            if not need:
                continue
            free = context.view.tally(Place.POOL, pool).gpus_free
            on_leaving = sum(
                max(0, node.gpus - sum(pod.gpus for pod in context.view.pods_on(node.name)))
                for node in leaving.values()
                if node.pool == pool and not node.unavailable
            )
            free -= on_leaving
            where = f"pool {pool}" if pool else "nodes of no known pool"
            word = f"{need} GPUs would move, {free} are free in {where}" + (f", {spare} must stay so" if spare else "")
            if free - spare < need:
                return False, word
            said.append(word)
        return True, "; ".join(said) if said else "nothing moves off a node that leaves service"


def _leaves(node: NodeView, context: GuardContext) -> bool:
    return node.unavailable or any(out.uid == node.uid for out in context.reach.taken_out)
