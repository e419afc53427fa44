"""Counts of nodes by place, kept as nodes and pods change. Belongs to whoever holds the view's lock."""

from policies.cluster_view import NodeView, Place, Tally

_Key = tuple[Place, str]
_Share = tuple[int, int, int, int]
"""nodes, unavailable, GPUs, free GPUs."""


class Tallies:
    """What each node adds to its places, and what that comes to."""

    def __init__(self) -> None:
        self._shares: dict[str, tuple[tuple[_Key, ...], _Share]] = {}
        """By the node's uid."""
        self._sums: dict[_Key, list[int]] = {}

    def put(self, node: NodeView, held_gpus: int) -> None:
        """A node as it stands now, with the GPUs that its pods hold."""
        away = node.unavailable
        share = (1, int(away), node.gpus, 0 if away else max(0, node.gpus - held_gpus))
        keys: tuple[_Key, ...] = (
            (Place.FLEET, ""),
            (Place.POOL, node.pool),
            (Place.RACK, node.rack),
            (Place.DOMAIN, node.domain),
        )
        if self._shares.get(node.uid) == (keys, share):
            return
        self.drop(node.uid)
        self._shares[node.uid] = (keys, share)
        for key in keys:
            sums = self._sums.setdefault(key, [0, 0, 0, 0])
            for place, part in enumerate(share):
                sums[place] += part

    def drop(self, uid: str) -> None:
        """A node that is gone."""
        keys, share = self._shares.pop(uid, ((), (0, 0, 0, 0)))
        for key in keys:
            sums = self._sums[key]
            for place, part in enumerate(share):
                sums[place] -= part
            if not sums[0]:
                del self._sums[key]

    def of(self, place: Place, name: str) -> Tally:
        """How a place stands."""
        sums = self._sums.get((place, "" if place is Place.FLEET else name))
        return Tally(*sums) if sums is not None else Tally()
