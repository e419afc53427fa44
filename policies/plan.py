"""A plan: the steps against the cluster that a decision comes to, each about one object by uid, with its undo.

Pure data. A plan is made from a decision and a view of the cluster, shown to people, approved by its digest, journaled
(`policies/journal.py`) and carried out step by step (`policies/executor.py`).

What stands in `Step.arguments`, all as text:

| step | target | arguments |
| --- | --- | --- |
| checkpoint | the job's top owner | `how`: what its annotation `watchstander.io/checkpoint` says; `deadline_seconds` |
| cordon, uncordon | Node | none. Only a node with `watchstander.io/cordoned-by` is uncordoned |
| taint, untaint | Node | `key`, `value`, `effect` |
| label, unlabel | Node | `key`, `value` |
| condition, clear_condition | Node | `type`, `reason`, `message` |
| evict | Node | `pods`: uids with commas between, sorted, exactly those; `deadline_seconds` for budgets and slow ends |
| restart_job | the job's top owner | `pods_seen`: how many pods the gang had |
| reset_gpu | Node | `gpu`: UUID; `index` and `pci_bus_id` where known |
| reboot_node | Node | `boot_id` as planned, where known: another one means that it has rebooted |
"""

import base64
import hashlib
from enum import StrEnum

import msgspec


class StepKind(StrEnum):
    """What a step does. Each is one small room of `policies/cluster`."""

    CHECKPOINT = "checkpoint"
    """P1: ask the job to save before it is moved."""
    CORDON = "cordon"
    UNCORDON = "uncordon"
    TAINT = "taint"
    UNTAINT = "untaint"
    LABEL = "label"
    UNLABEL = "unlabel"
    CONDITION = "condition"
    CLEAR_CONDITION = "clear_condition"
    EVICT = "evict"
    """By the Eviction API: the pods of the node that `arguments` name, after the node was cordoned."""
    RESTART_JOB = "restart_job"
    """The whole gang anew, by its own controller."""
    RESET_GPU = "reset_gpu"
    REBOOT_NODE = "reboot_node"


UNDO: dict[StepKind, StepKind] = {
    StepKind.CORDON: StepKind.UNCORDON,
    StepKind.TAINT: StepKind.UNTAINT,
    StepKind.LABEL: StepKind.UNLABEL,
    StepKind.CONDITION: StepKind.CLEAR_CONDITION,
}
"""Steps that can be taken back, and by what. The others have none: evicted pods are placed anew by their owners."""


class Target(msgspec.Struct, frozen=True, order=True):
    """One object of the cluster. Acting on it asks for this uid: a node made anew under its name is another one."""

    api_version: str
    """`v1`, `batch/v1`, `jobset.x-k8s.io/v1alpha2` ..."""
    kind: str
    """`Node`, `Job`, ..."""
    namespace: str
    """Empty for what has none."""
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step. What it needs to know stands in `arguments`, as plain text: taint keys, label values, deadlines."""

    kind: StepKind
    target: Target
    arguments: dict[str, str] = {}
    words: str = ""
    """For people: `cordon node gpu-07`."""


class Blast(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom a plan touches, as known when it was made."""

    nodes: int = 0
    pods: int = 0
    """Pods that would be evicted or restarted."""
    jobs: int = 0
    ranks: int = 0
    gpus: int = 0
    """GPUs that leave service or whose work is interrupted."""
    names: tuple[str, ...] = ()
    """Of nodes, jobs and pods, the first few, for the card."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steps in the order in which they are carried out, and the steps that would take them back."""

    id: str
    """`PLN-` and eight characters, made from the incident and the digest: the same plan is made only once."""
    incident: str
    decision: str
    rule: str
    steps: tuple[Step, ...]
    undo: tuple[Step, ...]
    """In the order in which they would be carried out."""
    digest: str
    """sha256 over steps, targets and uids: what an approval is bound to."""
    blast: Blast
    made_ns: int
    deadline_ns: int = 0
    """Not begun by then, it lapses; 0: no deadline."""
    undoes: str = ""
    """Id of the plan that this one takes back; empty: it takes back none."""


def digest_of(incident: str, steps: tuple[Step, ...]) -> str:
    """The digest of a plan: hex sha256 over incident, steps, targets and uids. Words for people do not count."""
    bare = [msgspec.structs.replace(step, words="") for step in steps]
    body = msgspec.json.encode([incident, bare], order="sorted")
    return hashlib.sha256(body).hexdigest()


def make_plan(
    incident: str,
    decision: str,
    rule: str,
    steps: tuple[Step, ...],
    blast: Blast,
    made_ns: int,
    *,
    deadline_ns: int = 0,
    undoes: str = "",
) -> Plan:
    """A plan with its digest, id and undo."""
    digest = digest_of(incident, steps)
    taken_back = tuple(
        Step(UNDO[step.kind], step.target, step.arguments, f"undo: {step.words}")
        for step in reversed(steps)
        if step.kind in UNDO
    )
    short = base64.b32encode(bytes.fromhex(digest)[:5]).decode("ascii")
    return Plan(
        f"PLN-{short}", incident, decision, rule, steps, taken_back, digest, blast, made_ns, deadline_ns, undoes
    )
