"""`uncordon`: only what Watchstander cordoned, and only once nobody else wants it cordoned: no other of its plans, and
none of those who hold nodes beside it (`policies/holders.py`).

The plan that lets go is the one that the undo plan names in `undoes`; where it names none, all let go.
"""

from policies.cluster.client import Json
from policies.cluster.cordon import foreign, is_cordoned
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import annotations, holders, labels, preconditions, released, setters
from policies.cluster.targets import gone, node_of, node_path
from policies.cluster_view import OWN_CORDON
from policies.holders import OURSELVES, held_by
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Uncordon, unless it is so or the cordon is somebody else's."""
    return anew_on_conflict(lambda: _uncordon(look))


def verify(look: Look) -> Progress:
    """Whether it is still open to pods."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    if is_cordoned(node) and not holders(node, OWN_CORDON):
        return failed(f"{look.step.target}: cordoned by {foreign(node)} since; left so")
    return done(f"{look.step.target} is as it was left")


def _uncordon(look: Look) -> Progress:
    target, of_plan = look.step.target, look.plan.undoes
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    held = holders(node, OWN_CORDON)
    if not held:
        return skipped(f"{target}: no cordon of Watchstander's; left as it is")
    if of_plan and of_plan not in held:
        return skipped(f"{target}: {of_plan} holds no cordon there, {', '.join(held)} does; left as it is")
    metadata = {**preconditions(node), "annotations": {OWN_CORDON: released(held, of_plan)}}
    if not is_cordoned(node):
        look.client.patch(node_path(look), {"metadata": metadata})
        return done(f"{target} was uncordoned by somebody else already; our mark is removed", changed=True)
    if who := foreign(node) or _beside_us(node):
        look.client.patch(node_path(look), {"metadata": metadata})
        return skipped(f"{target} is held by {who} meanwhile; left cordoned, our mark is removed", changed=True)
    if rest := released(held, of_plan):
        look.client.patch(node_path(look), {"metadata": metadata})
        return done(f"{target} stays cordoned for {rest}", changed=True)
    look.client.patch(node_path(look), {"metadata": metadata, "spec": {"unschedulable": None}})
    return done(f"{target} uncordoned", changed=True)


def _beside_us(node: Json) -> str:
    """Who else holds the node: NVSentinel, say, leaves a cordon that is there already as it is, and counts on it."""
    status = node.get("status", {})
    holder = held_by(
        labels(node),
        annotations(node),
        [taint["key"] for taint in node.get("spec", {}).get("taints") or ()],
        {one["type"]: one["status"] for one in status.get("conditions") or ()},
        setters(node, "spec", "unschedulable"),
    )
    return "" if holder == OURSELVES else holder
