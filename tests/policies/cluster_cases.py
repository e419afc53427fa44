"""A small cluster for guards and plans: node a with the faulty card, more nodes in two racks, one gang over two."""

import msgspec
from policy_cases import GPU, JOB, NODE, evidence, finding, inventory

from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.model import Finding, FindingKind, Inventory, Severity
from policies.cluster_view import LaidOutCluster, NodeView, Owner, PodView
from policies.guard_settings import GuardSettings
from policies.rules import Policy, parse_policy

GANG = Owner("batch/v1", "Job", "b", "uid-b")
SERVING = Owner("apps/v1", "ReplicaSet", "serve-5d9", "uid-rs")
AGENT = Owner("apps/v1", "DaemonSet", "exporter", "uid-ds")


def node(name: str, **more) -> NodeView:
    """A node with 8 GPUs."""
    return NodeView(name, f"uid-{name}", gpus=more.pop("gpus", 8), **more)


def pod(name: str, on: str, owner: Owner | None = GANG, **more) -> PodView:
    """A running pod with 8 GPUs."""
    more = {"gpus": 8, "phase": "Running", **more}
    return PodView(more.pop("namespace", "train"), name, f"uid-{name}", on, owner, **more)


def nodes(count: int = 20, racks: int = 5) -> list[NodeView]:
    """a, n1, n2 ... over racks r0, r1 ..."""
    names = ["a", *(f"n{index}" for index in range(1, count))]
    return [node(name, rack=f"r{index % racks}", pool="h200") for index, name in enumerate(names)]


def cluster(**more) -> LaidOutCluster:
    """20 nodes in five racks; job b holds a and n1, all others are free."""
    laid = {"all_nodes": nodes(), "all_pods": [pod("b-0", "a"), pod("b-1", "n1")], **more}
    return LaidOutCluster(**laid)


def changed(view: LaidOutCluster, name: str, **more) -> LaidOutCluster:
    """The cluster with one node otherwise."""
    return msgspec.structs.replace(
        view, all_nodes=[msgspec.structs.replace(n, **more) if n.name == name else n for n in view.all_nodes]
    )


def policy(actions: str = "[notify, cordon, restart_job]", guards: str = "", **rule) -> Policy:
    """One rule without a wait, and some guard settings as YAML."""
    fields = {"wait_seconds": 0, "sources": 1, **rule}
    said = "".join(f"    {key}: {value}\n" for key, value in fields.items())
    text = f"version: 1\nrules:\n  - name: only\n    description: d\n    actions: {actions}\n{said}"
    return parse_policy((text + (f"guards:\n{guards}" if guards else "")).encode(), "p.yaml")


def many(count: int, at: float = 100, kind: FindingKind = FindingKind.GPU_LOST) -> tuple[Inventory, list[Finding]]:
    """The same fault on n1, n2 ... of the cluster, each with its node and rack known."""
    known, found = inventory(), []
    for index in range(1, count + 1):
        where = Subject("c", SubjectKind.NODE, f"uid-n{index}")
        card = Subject("c", SubjectKind.GPU, f"GPU-n{index}")
        known.facts[where] = SubjectFacts(where, f"n{index}", None, {"rack": f"r{index % 5}"})
        known.facts[card] = SubjectFacts(card, "GPU 0", where, {"index": "0"})
        one = finding(
            kind,
            evidence("nvml", at),
            evidence("kernel_log", at),
            since=at,
            subject=card,
            severity=Severity.CRITICAL,
            names={"node": f"n{index}", "gpu": "0", "rack": f"r{index % 5}"},
            related=(where,),
        )
        found.append(msgspec.structs.replace(one, id=f"{one.id}-{index}"))
    return known, found


SETTINGS = GuardSettings()
__all__ = ["GPU", "JOB", "NODE"]
