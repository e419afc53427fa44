"""What was done about an incident or a node, read from `ClusterView.taken`."""

from collections.abc import Iterable

from policies.cluster_view import Taken
from policies.plan import UNDO, StepKind

_TAKES_BACK = {back.value: step.value for step, back in UNDO.items()}


def standing(taken: Iterable[Taken], incident: str) -> dict[tuple[str, str], int]:
    """Steps taken for an incident and not taken back since: (step, uid of node or job) to when, Unix ns."""
    held: dict[tuple[str, str], int] = {}
    for one in taken:
        if one.incident != incident:
            continue
        uid = one.job if one.what == StepKind.RESTART_JOB.value else one.node
        if one.what in _TAKES_BACK:
            held.pop((_TAKES_BACK[one.what], uid), None)
        else:
            held[one.what, uid] = one.time_ns
    return held


def times(taken: Iterable[Taken], what: StepKind, node: str, root_kind: str) -> list[int]:
    """When a step was taken on a node for a kind of fault, by any incident, Unix ns."""
    return [o.time_ns for o in taken if o.what == what.value and o.node == node and o.root_kind == root_kind]
