"""What people say by what they do to nodes: a cordon of theirs, an uncordon of ours."""

from agent.cluster.read import cordoned_since_ns
from agent.inventory.objects import Node
from policies.cluster_view import OWN_CORDON, NodeView, Taken
from policies.holders import PERSON
from policies.node_words import CORDON, UNCORDON


def word_of(node: Node, now: NodeView, before: NodeView | None, now_ns: int) -> Taken | None:
    """What a person has just said of a node; None where nothing new.

    We cordon and uncordon together with our annotation, in one write. So a node that bears it and takes pods was
    uncordoned by somebody else, and one that takes none, bears no annotation of ours and is held by no controller that
    we know was cordoned by a person. Dated by when it was seen; a cordon found at the start by its own taint. An
    uncordon found at the start is as fresh as it can be, so that a restart never makes us bolder; one that was heard
    and kept before keeps its time (`policies.node_words.repeats`).
    """
    if _uncordoned(now) and not (before is not None and _uncordoned(before)):
        return Taken(now_ns, UNCORDON, node=now.uid)
    if _cordoned(now) and not (before is not None and _cordoned(before)):
        since_ns = cordoned_since_ns(node) if before is None else 0  # to the second only
        return Taken(min(since_ns or now_ns, now_ns), CORDON, node=now.uid)
    return None


def _uncordoned(node: NodeView) -> bool:
    return OWN_CORDON in node.annotations and not node.unschedulable


def _cordoned(node: NodeView) -> bool:
    return node.unschedulable and node.held_by == PERSON
