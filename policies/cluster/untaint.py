"""`untaint`: away with our own taint, once no other plan wants it. Arguments: those of `taint`."""

from policies.cluster.client import JSON_PATCH
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import holders, released, tests
from policies.cluster.own_key import annotation_of, own_key
from policies.cluster.taint import annotate, effect_of, index_of
from policies.cluster.targets import gone, node_of, node_path
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Remove the taint, unless it is gone or somebody else's."""
    return anew_on_conflict(lambda: _untaint(look))


def verify(look: Look) -> Progress:
    """Whether it is still away."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    key, effect = own_key(look), effect_of(look)
    if index_of(node, key, effect) is not None and not holders(node, annotation_of(key, "taint")):
        return failed(f"{look.step.target}: taint {key}:{effect} was set by somebody else since; left so")
    return done(f"{look.step.target} is as it was left")


def _untaint(look: Look) -> Progress:
    target, of_plan, key, effect = look.step.target, look.plan.undoes, own_key(look), effect_of(look)
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    annotation = annotation_of(key, "taint")
    held, index = holders(node, annotation), index_of(node, key, effect)
    if not held or (of_plan and of_plan not in held):
        return skipped(f"{target}: no taint {key}:{effect} of {of_plan or 'Watchstander'}; left as it is")
    rest = released(held, of_plan)
    operations = annotate(node, annotation, rest)
    if index is not None and rest is None:
        operations.append({"op": "remove", "path": f"/spec/taints/{index}"})
    look.client.patch(node_path(look), [*tests(node), *operations], how=JSON_PATCH)
    if rest is not None:
        return done(f"{target} keeps taint {key}:{effect} for {rest}", changed=True)
    if index is None:
        return done(f"{target}: taint {key}:{effect} was removed by somebody else; our mark is removed", changed=True)
    return done(f"{target}: taint {key}:{effect} removed", changed=True)
