"""Where the inventory's sources disagree now, from the watches that run: for API, command line and page alike."""

import msgspec

from agent.access.visible import Visible
from agent.access.visible_nodes import inventories, reads_subject
from agent.api.shapes import SubjectShape
from agent.server.spaces import Spaces
from detectors.inventory import Contradiction, Source
from detectors.model import Inventory

MOST_TOLD = 200
"""One wrong column of a file contradicts the whole fleet: the first few tell it."""


class ContradictionShape(msgspec.Struct, frozen=True):
    """Two sources state different values of one attribute; one is believed. Values are text from outside: hostile."""

    subject: SubjectShape
    name: str
    """How people call the subject."""
    node: str
    """Name of the node that it is or sits in; empty where that is unknown."""
    key: str
    believed: Source
    value: str
    other: Source
    other_value: str
    since_ns: int

    @classmethod
    def of(cls, one: Contradiction, inventory: Inventory) -> "ContradictionShape":
        """From the inventory's own."""
        home = inventory.node_of(one.subject)
        return cls(
            subject=SubjectShape.of(one.subject),
            name=one.name,
            node=inventory.name_of(home) if home is not None else "",
            key=one.key,
            believed=one.believed,
            value=one.value,
            other=one.other,
            other_value=one.other_value,
            since_ns=one.since_ns,
        )


def contradictions_in(
    spaces: Spaces | None, visible: Visible, cluster: str | None = None
) -> tuple[list[ContradictionShape], int]:
    """All of the watches that go by the agent's clock, the oldest first; of one cluster, or of all. And how many may
    not be read."""
    every = [(one, inventory) for inventory in inventories(spaces, cluster) for one in inventory.contradictions]
    mine = [ContradictionShape.of(one, has) for one, has in every if reads_subject(visible, has, one.subject)]
    found = sorted(mine, key=lambda one: (one.since_ns, one.subject.cluster, one.name, one.key))
    return found, len(every) - len(found)
