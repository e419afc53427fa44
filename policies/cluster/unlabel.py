"""`unlabel`: away with our own label, once no other plan wants it. Arguments: those of `label`."""

from typing import Any

from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import holders, labels, preconditions, released
from policies.cluster.own_key import annotation_of, own_key
from policies.cluster.targets import gone, node_of, node_path
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Remove the label, unless it is gone, changed or somebody else's."""
    return anew_on_conflict(lambda: _unlabel(look))


def verify(look: Look) -> Progress:
    """Whether it is still away."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    key = own_key(look)
    if key in labels(node) and not holders(node, annotation_of(key, "label")):
        return failed(f"{look.step.target}: label {key} was set by somebody else since; left so")
    return done(f"{look.step.target} is as it was left")


def _unlabel(look: Look) -> Progress:
    target, of_plan, key, value = look.step.target, look.plan.undoes, own_key(look), look.text("value")
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    annotation = annotation_of(key, "label")
    held, is_now = holders(node, annotation), labels(node).get(key)
    if not held or (of_plan and of_plan not in held):
        return skipped(f"{target}: no label {key} of {of_plan or 'Watchstander'}; left as it is")
    rest = released(held, of_plan)
    metadata: dict[str, Any] = {**preconditions(node), "annotations": {annotation: rest}}
    theirs = is_now is not None and is_now != value
    if rest is None and is_now is not None and not theirs:
        metadata["labels"] = {key: None}
    look.client.patch(node_path(look), {"metadata": metadata})
    if rest is not None:
        return done(f"{target} keeps label {key} for {rest}", changed=True)
    if theirs:
        return skipped(f"{target}: label {key}={is_now} is somebody else's by now; our mark is removed", changed=True)
    return done(f"{target}: label {key} removed", changed=True)
