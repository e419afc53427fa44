"""`taint`: pods that do not tolerate it stay away. By a JSON patch that tests uid and resourceVersion, so that taints
of others, which come and go at any time, survive.

Arguments: `key` (watchstander.io/...), `value`, `effect` (NoSchedule, or PreferNoSchedule).
"""

from typing import Any

from collectors.errors import GiveUp
from policies.cluster.client import JSON_PATCH, Json
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import annotations, holders, joined, tests
from policies.cluster.own_key import annotation_of, own_key
from policies.cluster.targets import gone, node_of, node_path
from policies.journal import Progress

EFFECTS = ("NoSchedule", "PreferNoSchedule")
"""NoExecute kills running pods and asks no PodDisruptionBudget: that is what `evict` is for."""


def advance(look: Look) -> Progress:
    """Taint, unless it is so."""
    return anew_on_conflict(lambda: _taint(look))


def verify(look: Look) -> Progress:
    """Whether the taint is still there."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    key, effect = own_key(look), effect_of(look)
    if index_of(node, key, effect) is None:
        return failed(f"{look.step.target}: taint {key}:{effect} was removed by somebody else; left so")
    return done(f"{look.step.target} bears taint {key}:{effect}")


def effect_of(look: Look) -> str:
    """The step's `effect`. GiveUp for one that evicts."""
    effect = look.text("effect", EFFECTS[0])
    if effect not in EFFECTS:
        raise GiveUp(f"{look.plan.id} step {look.index}: effect {effect!r} must be one of {', '.join(EFFECTS)}")
    return effect


def taints(node: Json) -> list[Json]:
    """Never None."""
    return node.get("spec", {}).get("taints") or []


def index_of(node: Json, key: str, effect: str) -> int | None:
    """Where among the node's taints it stands; key and effect together name a taint."""
    for index, taint in enumerate(taints(node)):
        if (taint.get("key"), taint.get("effect")) == (key, effect):
            return index
    return None


def annotate(node: Json, annotation: str, value: str | None) -> list[dict[str, Any]]:
    """Operations of a JSON patch that set an annotation, or with None remove it."""
    path = "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")
    if value is None:
        return [{"op": "remove", "path": path}] if annotation in annotations(node) else []
    missing = [] if annotations(node) else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    return [*missing, {"op": "add", "path": path, "value": value}]


def _taint(look: Look) -> Progress:
    target, plan_id, key, effect = look.step.target, look.plan.id, own_key(look), effect_of(look)
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    annotation = annotation_of(key, "taint")
    held = holders(node, annotation)
    if index_of(node, key, effect) is not None:
        if not held:
            return skipped(f"{target} bears taint {key}:{effect} already, by somebody else; left theirs")
        if plan_id in held:
            return done(f"{target} bears taint {key}:{effect}")
        _patch(look, node, annotate(node, annotation, joined(held, plan_id)))
        return done(f"{target} bore taint {key}:{effect} for {', '.join(held)} already", changed=True)
    if plan_id in held:
        return failed(f"{target}: taint {key}:{effect} was removed by somebody else after {plan_id} set it; left so")
    taint = {"key": key, "effect": effect, **({"value": look.text("value")} if look.text("value") else {})}
    missing = [] if taints(node) else [{"op": "add", "path": "/spec/taints", "value": []}]
    added = {"op": "add", "path": "/spec/taints/-", "value": taint}
    _patch(look, node, [*missing, added, *annotate(node, annotation, plan_id)])
    return done(f"{target} tainted {key}:{effect}", changed=True)


def _patch(look: Look, node: Json, operations: list[dict[str, Any]]) -> None:
    look.client.patch(node_path(look), [*tests(node), *operations], how=JSON_PATCH)
