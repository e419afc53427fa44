"""What Watchstander leaves on objects, so that what it did can be read back from the cluster itself.

An annotation beside each change names the plans that want it: `PLN-A,PLN-B`. Two plans may hold one node cordoned; the
last that lets go uncordons it.
"""

from collections.abc import Mapping
from typing import Any

from policies.cluster.client import FIELD_MANAGER, Json
from policies.plan import Plan

OWN_PREFIX = "watchstander.io/"
"""Taint and label keys begin with it; others' keys are never touched."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def mark(plan: Plan) -> str:
    """Names this making of the plan: the same steps, decided anew tomorrow, have the same id."""
    return f"{plan.id}.{plan.made_ns // 1_000_000_000}"


def object_name(plan: Plan, index: int) -> str:
    """Of what a step creates: the same each time the step is repeated, another for every step and making of a plan."""
    return f"watchstander-{plan.id.lower()}-{_base36(plan.made_ns // 1_000_000_000)}-{index}"


def holders(thing: Json, annotation: str) -> tuple[str, ...]:
    """The plans that an object's annotation names, in order."""
    return tuple(filter(None, annotations(thing).get(annotation, "").split(",")))


def joined(held: tuple[str, ...], plan_id: str) -> str:
    """The annotation once this plan holds it too."""
    return ",".join([*(one for one in held if one != plan_id), plan_id])


def released(held: tuple[str, ...], plan_id: str) -> str | None:
    """The annotation once this plan has let go; None: nobody is left. An empty `plan_id` lets go for all."""
    return ",".join(one for one in held if plan_id and one != plan_id) or None


def annotations(thing: Json) -> Mapping[str, str]:
    """Never None."""
    return thing.get("metadata", {}).get("annotations") or {}


def labels(thing: Json) -> Mapping[str, str]:
    """Never None."""
    return thing.get("metadata", {}).get("labels") or {}


def preconditions(thing: Json) -> dict[str, str]:
    """uid and resourceVersion, as they stand in a merge patch's `metadata` and in DeleteOptions' `preconditions`."""
    return {"uid": thing["metadata"]["uid"], "resourceVersion": thing["metadata"]["resourceVersion"]}


def tests(thing: Json) -> list[dict[str, Any]]:
    """The same as the first operations of a JSON patch."""
    return [{"op": "test", "path": f"/metadata/{name}", "value": value} for name, value in preconditions(thing).items()]


def setters(thing: Json, *path: str) -> tuple[str, ...]:
    """Who set a field, by `managedFields`: `setters(node, "spec", "unschedulable")` -> ("kubectl-cordon",)."""
    found = []
    for entry in thing["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1", {})
        for part in path:
            fields = fields.get(f"f:{part}") if isinstance(fields, dict) else None
        if fields is not None:
            found.append(str(entry.get("manager", "")))
    return tuple(found)


def others(setters: tuple[str, ...]) -> str:
    """The setters that are not Watchstander, for a sentence; empty: none."""
    return ", ".join(sorted({one for one in setters if one != FIELD_MANAGER}))


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
