"""`label`: a label of our own on a node, for schedulers and dashboards.

Arguments: `key` (watchstander.io/...), `value`.
"""

from policies.cluster.client import Json
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import holders, joined, labels, preconditions
from policies.cluster.own_key import annotation_of, own_key
from policies.cluster.targets import gone, node_of, node_path
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Label, unless it is so."""
    return anew_on_conflict(lambda: _label(look))


def verify(look: Look) -> Progress:
    """Whether the label is still there, with this value."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    key, value = own_key(look), look.text("value")
    if labels(node).get(key) != value:
        return failed(f"{look.step.target}: label {key}={value} was changed by somebody else; left so")
    return done(f"{look.step.target} bears label {key}={value}")


def _label(look: Look) -> Progress:
    target, plan_id, key, value = look.step.target, look.plan.id, own_key(look), look.text("value")
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    annotation = annotation_of(key, "label")
    held, is_now = holders(node, annotation), labels(node).get(key)
    if is_now is None:
        if plan_id in held:
            return failed(f"{target}: label {key} was removed by somebody else after {plan_id} set it; left so")
        _patch(look, node, {key: value}, {annotation: plan_id})
        return done(f"{target} labelled {key}={value}", changed=True)
    if not held:
        return skipped(f"{target} bears label {key}={is_now} already, by somebody else; left theirs")
    if is_now != value:
        return skipped(f"{target} bears label {key}={is_now} for {', '.join(held)}, not {value}; left so")
    if plan_id in held:
        return done(f"{target} bears label {key}={value}")
    _patch(look, node, {}, {annotation: joined(held, plan_id)})
    return done(f"{target} bore label {key}={value} for {', '.join(held)} already", changed=True)


def _patch(look: Look, node: Json, wanted: dict[str, str], annotated: dict[str, str]) -> None:
    metadata = {**preconditions(node), "labels": wanted, "annotations": annotated}
    look.client.patch(node_path(look), {"metadata": metadata})
