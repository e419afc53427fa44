"""`uncordon`: only what Watchstander cordoned, and only once no other of its plans wants it cordoned.

The plan that lets go is the one that the undo plan names in `undoes`; where it names none, all let go.
"""

from policies.cluster.cordon import foreign, is_cordoned
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import holders, preconditions, released
from policies.cluster.targets import gone, node_of, node_path
from policies.cluster_view import OWN_CORDON
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
    if who := foreign(node):
        look.client.patch(node_path(look), {"metadata": metadata})
        return skipped(f"{target} was cordoned by {who} meanwhile; left so, our mark is removed", changed=True)
    if rest := released(held, of_plan):
        look.client.patch(node_path(look), {"metadata": metadata})
        return done(f"{target} stays cordoned for {rest}", changed=True)
    look.client.patch(node_path(look), {"metadata": metadata, "spec": {"unschedulable": None}})
    return done(f"{target} uncordoned", changed=True)
