"""Where people's words on nodes are kept, so that a restart forgets none. This floor owns the port; the agent's store
implements it.

A word is a `Taken` of kind `uncordon_by_person` or `cordon_by_person`: what somebody did to a node by hand.
Guard G19 asks for them for as long as the policy remembers (`guards.person.remember_seconds`).
"""

from collections.abc import Iterable
from typing import Protocol

from policies.cluster_view import Taken
from policies.plan import StepKind

CORDON = "cordon_by_person"
UNCORDON = "uncordon_by_person"


class NodeWords(Protocol):
    """Of one cluster's nodes."""

    def load(self) -> Iterable[Taken]:
        """All that are kept: of each kind about each node the newest, dated by when it was said. RetryLater."""
        ...

    def keep(self, word: Taken) -> None:
        """From any thread. Does not wait and does not raise: it is kept as soon as it can be."""
        ...


def repeats(seen: Taken, kept: Iterable[Taken], steps: Iterable[Taken]) -> bool:
    """Whether what a node's looks say when it is first seen, after a restart, was said and kept before.

    An uncordon shows for as long as the node bears our annotation. It is a new one where the agent has cordoned the
    node since the one that is kept: somebody has uncordoned it once more while nobody looked.
    """
    said_ns = max((one.time_ns for one in kept if (one.what, one.node) == (seen.what, seen.node)), default=None)
    if said_ns is None:
        return False
    ours = (StepKind.CORDON.value, seen.node)
    return not any((step.what, step.node) == ours and step.time_ns > said_ns for step in steps)
