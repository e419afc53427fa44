"""Nodes, cards and their readings as one identity may see them, by what the running watches know now.

A node belongs to no namespace. Who has pods with GPUs on it now may know of it, as its pods' own objects tell; of all
others there is a count. A card's readings may be read from when the present holder is known to hold it.
"""

from collections.abc import Iterable, Sequence

from agent.access.visible import Visible
from agent.server.spaces import Spaces
from agent.store.rows import NodeSeen
from agent.watch import Watch
from collectors.model import Origin, Subject, SubjectKind
from detectors.model import Inventory
from detectors.model.namespaces import held_since_ns, namespaces_at

FROM_THE_BEGINNING = 0
_SOMEBODYS = frozenset({SubjectKind.GPU, SubjectKind.POD, SubjectKind.JOB})


def inventory_of(spaces: Spaces | None, origin: Origin, cluster: str) -> Inventory | None:
    """What the watch over a cluster knows; None where none runs."""
    watch = spaces.get(origin, cluster) if spaces is not None else None
    return watch.engine.inventory if isinstance(watch, Watch) else None


def inventories(spaces: Spaces | None, cluster: str | None = None) -> Iterable[Inventory]:
    """Of the watches that go by the agent's clock: another's cards are of another time. Of one cluster, or of all."""
    for space in spaces.live() if spaces is not None else ():
        if cluster in (None, space.key[1]) and isinstance(space.watch, Watch):
            yield space.watch.engine.inventory


def nodes(visible: Visible, spaces: Spaces | None, cluster: str | None = None) -> tuple[list[NodeSeen], int]:
    """By cluster and name; and how many may not be read."""
    every = visible.store.nodes(cluster=cluster)
    if not visible.limited:
        return every, 0
    mine = [node for node in every if _is_mine(visible, spaces, node)]
    return mine, len(every) - len(mine)


def reads_subject(visible: Visible, inventory: Inventory, subject: Subject) -> bool:
    """Whether what sources say of a card, pod or job may be read."""
    if not visible.limited:
        return True
    return subject.kind in _SOMEBODYS and visible.sight.whole(namespaces_at(inventory, subject))


def readable_since_ns(visible: Visible, spaces: Spaces | None, subject: Subject) -> int | None:
    """From when on a subject's readings may be read, Unix ns; None: never."""
    if not visible.limited:
        return FROM_THE_BEGINNING
    for inventory in inventories(spaces, subject.cluster):
        if reads_subject(visible, inventory, subject):
            return held_since_ns(inventory, subject) if subject.kind is SubjectKind.GPU else FROM_THE_BEGINNING
    return None


def readable(visible: Visible, inventory: Inventory | None, subjects: Sequence[Subject]) -> list[Subject]:
    """Those of them whose readings may be read now."""
    if not visible.limited:
        return list(subjects)
    return [] if inventory is None else [one for one in subjects if reads_subject(visible, inventory, one)]


def _is_mine(visible: Visible, spaces: Spaces | None, node: NodeSeen) -> bool:
    inventory = inventory_of(spaces, Origin(node.origin), node.cluster)
    subject = Subject(node.cluster, SubjectKind.NODE, node.id)
    return inventory is not None and visible.sight.touches(namespaces_at(inventory, subject))
