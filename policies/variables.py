"""The variables of conditions: every name that a rule's `when` may use, with its type. docs/policies.md lists them."""

from dataclasses import dataclass

from policies.cel import CelType


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of conditions."""

    type: CelType
    help: str


VARIABLES: dict[str, Variable] = {
    "incident.kind": Variable(CelType.STRING, "Kind of the probable root, `xid` for example."),
    "incident.severity": Variable(CelType.STRING, "`info`, `warning` or `critical`: the worst of its findings."),
    "incident.kinds": Variable(CelType.STRINGS, "Kinds of all its findings, root first."),
    "incident.age_seconds": Variable(CelType.INT, "Whole seconds since the incident opened."),
    "incident.confidence": Variable(CelType.DOUBLE, "Confidence of the root finding, 0.0 to 1.0."),
    "incident.reopened": Variable(CelType.INT, "How often it came back within ten minutes of being resolved."),
    "incident.wave": Variable(
        CelType.BOOL, "Whether many things at once are hit: a rack, an NVLink domain, the fleet."
    ),
    "incident.nodes": Variable(CelType.INT, "Nodes that the root's kind of fault shows on; more than 1 in a wave."),
    "subject.kind": Variable(CelType.STRING, "What the root is about: `gpu`, `node`, `job`, `rank` ..."),
    "subject.names": Variable(CelType.NAMES, "Names of the root where known: `node`, `gpu` (index), `rank`, `job`."),
    "node": Variable(CelType.STRING, "Name of the root's node; empty where unknown."),
    "node.labels": Variable(CelType.NAMES, "Its labels, as the cluster has them; empty without a view of the cluster."),
    "node.pool": Variable(CelType.STRING, "Its pool; empty where unknown."),
    "node.rack": Variable(CelType.STRING, "Its rack; empty where unknown."),
    "node.domain": Variable(CelType.STRING, "Its NVLink domain; empty where unknown."),
    "node.gpus": Variable(CelType.INT, "GPUs of the node that can be given to pods; 0 without a view of the cluster."),
    "node.ready": Variable(CelType.BOOL, "Whether the cluster calls it Ready; true where nothing is known."),
    "node.cordoned": Variable(CelType.BOOL, "Whether it takes no new pods, whoever cordoned it."),
    "node.held_by": Variable(
        CelType.STRING, "Who keeps pods off it: `watchstander`, `person`, `nvsentinel` ...; empty: nobody."
    ),
    "job": Variable(CelType.STRING, "Name of the job that it touches; empty where unknown."),
    "job.namespace": Variable(CelType.STRING, "Its namespace; empty where unknown."),
    "job.kind": Variable(CelType.STRING, "Kind of the object that owns its pods: `Job`, `JobSet` ...; empty: unknown."),
    "job.labels": Variable(CelType.NAMES, "Labels of one of its pods; empty without a view of the cluster."),
    "job.pods": Variable(CelType.INT, "GPU pods that it has now."),
    "job.gpus": Variable(CelType.INT, "GPUs that these hold."),
    "job.interrupted": Variable(CelType.BOOL, "Whether it no longer makes steps: a crash, hang, timeout, standstill."),
    "attempts": Variable(CelType.INT, "Cordons, resets and reboots of the node for this kind within 7 days."),
    "xid.codes": Variable(CelType.INTS, "Xid codes in the evidence of the incident's findings, ascending."),
    "xid.actions": Variable(
        CelType.STRINGS, "NVIDIA's own immediate actions for these codes (`RESET_GPU`, `RESTART_BM` ...), catalogued."
    ),
    "sources": Variable(
        CelType.STRINGS,
        "Independent sources that the root's side rests on: `driver_library`, `kernel_log`, `training_log`.",
    ),
}
"""Every name that a condition may use."""
