"""`cordon`: no new pods on a node. The annotation that says whose cordon it is goes with it in one patch, so that no
crash can part the two."""

from policies.cluster.client import Json
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import holders, joined, others, preconditions, setters
from policies.cluster.targets import gone, node_of, node_path
from policies.cluster_view import OWN_CORDON
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Cordon, unless it is so. A node that somebody else cordoned stays theirs."""
    return anew_on_conflict(lambda: _cordon(look))


def verify(look: Look) -> Progress:
    """Whether it is still cordoned. A person's uncordon is told of, never fought."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    if not is_cordoned(node):
        return failed(f"{look.step.target}: uncordoned by somebody else; left so")
    return done(f"{look.step.target} is cordoned")


def is_cordoned(node: Json) -> bool:
    """Whoever did it."""
    return bool(node.get("spec", {}).get("unschedulable"))


def foreign(node: Json) -> str:
    """Who else cordoned this node, by the API server's record of who set the field; empty: only Watchstander did.

    An old annotation of ours does not make a person's later cordon ours.
    """
    if not holders(node, OWN_CORDON):
        return others(setters(node, "spec", "unschedulable")) or "somebody else"
    return others(setters(node, "spec", "unschedulable"))


def _cordon(look: Look) -> Progress:
    target, plan_id = look.step.target, look.plan.id
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    held = holders(node, OWN_CORDON)
    if not is_cordoned(node):
        if plan_id in held:
            return failed(f"{target}: uncordoned by somebody else after {plan_id} cordoned it; left so")
        # A name that is still there from before somebody uncordoned the node holds nothing any more.
        _patch(look, node, plan_id)
        return done(f"{target} cordoned", changed=True)
    if who := foreign(node):
        return skipped(f"{target} was cordoned by {who} already; left theirs")
    if plan_id in held:
        return done(f"{target} is cordoned")
    _patch(look, node, joined(held, plan_id))
    return done(f"{target} was cordoned for {', '.join(held)} already; {plan_id} holds it too", changed=True)


def _patch(look: Look, node: Json, annotation: str) -> None:
    body = {
        "metadata": {**preconditions(node), "annotations": {OWN_CORDON: annotation}},
        "spec": {"unschedulable": True},
    }
    look.client.patch(node_path(look), body)
