"""Whom the steps of a plan touch, read from the cluster: nodes, pods, jobs. Guards judge it, the card shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.cluster_view import ClusterView, NodeView, PodView
from policies.plan import Blast, Step, StepKind, Target

TAKES_OUT = frozenset({StepKind.CORDON, StepKind.TAINT, StepKind.RESET_GPU, StepKind.REBOOT_NODE})
"""Steps after which no new work is placed on the node."""
MOVES = frozenset({StepKind.EVICT, StepKind.RESTART_JOB})
"""Steps that end pods."""
TAKES_BACK = frozenset({StepKind.UNCORDON, StepKind.UNTAINT, StepKind.UNLABEL, StepKind.CLEAR_CONDITION})
"""Steps of an undo."""
MARKS = frozenset({StepKind.LABEL, StepKind.CONDITION})
"""Steps that only say something."""

MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Reach:
    """What some steps touch, as the cluster stands now."""

    nodes: tuple[NodeView, ...] = ()
    """Every node that a step is about, by name."""
    taken_out: tuple[NodeView, ...] = ()
    """Those that leave service and are not out of it already."""
    pods: tuple[PodView, ...] = ()
    """Pods that would be evicted or restarted, by namespace and name."""
    evicted: tuple[PodView, ...] = ()
    """Those of them that the Eviction API ends."""
    jobs: tuple[Target, ...] = ()
    """Owners whose gang is restarted."""


def reach_of(steps: Sequence[Step], view: ClusterView) -> Reach:
    """Look up whom the steps touch."""
    nodes: dict[str, NodeView] = {}
    out: dict[str, NodeView] = {}
    moved: dict[str, PodView] = {}
    evicted: dict[str, PodView] = {}
    jobs: dict[str, Target] = {}
    for step in steps:
        if step.target.kind == "Node":
            node = view.node(step.target.uid)
            if node is None:
                continue  # gone: there is nothing to touch
            nodes[node.uid] = node
            if step.kind in TAKES_OUT and not node.unavailable:
                out[node.uid] = node
        if step.kind is StepKind.RESTART_JOB:
            jobs[step.target.uid] = step.target
            moved.update((pod.uid, pod) for pod in view.pods_of(step.target.uid))
        elif step.kind is StepKind.EVICT:
            wanted = frozenset(step.arguments.get("pods", "").split(","))
            evicted.update((pod.uid, pod) for pod in view.pods_on(step.target.name) if pod.uid in wanted)
    return Reach(
        nodes=_nodes(nodes.values()),
        taken_out=_nodes(out.values()),
        pods=_pods((moved | evicted).values()),
        evicted=_pods(evicted.values()),
        jobs=tuple(sorted(jobs.values())),
    )


def blast_of(reach: Reach) -> Blast:
    """What people are shown of it."""
    owners = {target.uid: target.name for target in reach.jobs}
    owners.update((pod.owner.uid, pod.owner.name) for pod in reach.pods if pod.owner is not None)
    out = {node.name for node in reach.taken_out}
    on_nodes = sum(node.gpus for node in reach.taken_out)
    elsewhere = sum(pod.gpus for pod in reach.pods if pod.node not in out)
    names = [*(f"node {n.name}" for n in reach.nodes), *(f"job {name}" for name in sorted(set(owners.values())))]
    names += [f"pod {pod.namespace}/{pod.name}" for pod in reach.pods]
    shown = names[:MOST_NAMES] + ([f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else [])
    return Blast(
        nodes=len(reach.nodes),
        pods=len(reach.pods),
        jobs=len(owners),
        ranks=sum(pod.gpus for pod in reach.pods),
        gpus=on_nodes + elsewhere,
        names=tuple(shown),
    )


def _nodes(nodes: Iterable[NodeView]) -> tuple[NodeView, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.name, node.uid)))


def _pods(pods: Iterable[PodView]) -> tuple[PodView, ...]:
    return tuple(sorted(pods, key=lambda pod: (pod.namespace, pod.name, pod.uid)))
