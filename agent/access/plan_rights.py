"""What a person would need in the cluster to do by hand what a plan does: asked of the API server in their own name.

The agent's own rights are not theirs: without this, whoever may approve could have done what they may not do.
"""

from collections.abc import Iterable

from agent.access.kubernetes import KubernetesIdentities
from policies.cluster.needs import JOB_NEEDS, NEEDS, UNPROVEN_NEEDS, Need
from policies.cluster.reviews import Access, KubeUser
from policies.plan import Plan, Step, StepKind

_READS = frozenset({"get", "list", "watch"})
_OF_NODES = frozenset({StepKind.EVICT, StepKind.RESET_GPU, StepKind.REBOOT_NODE})


def missing_rights(kubernetes: KubernetesIdentities, user: KubeUser, plan: Plan, namespaces: Iterable[str]) -> str:
    """What this person may not do of what the plan does, as words; empty: they may do all of it.

    `namespaces`: of the pods that would be evicted. Writes alone are asked about: what one may not see one may still
    approve from what the card shows. Raises RetryLater, FixConfiguration, GiveUp where the API server cannot be asked.
    """
    asked = {access for step in plan.steps for access in _writes(step, tuple(namespaces))}
    refused = [str(access) for access in sorted(asked, key=str) if not kubernetes.may(user, access)]
    return "; ".join(f"may not {words}" for words in refused)


def _writes(step: Step, namespaces: tuple[str, ...]) -> list[Access]:
    """The writes of a step: on its own target by name, on pods by namespace."""
    target = step.target
    found = []
    for group, resource, verb in _needs(step):
        if verb in _READS:
            continue
        if resource.partition("/")[0] == "pods":
            within = (target.namespace,) if target.namespace else namespaces or ("",)
            found += [Access(verb, group, resource, namespace) for namespace in within]
        elif target.namespace and resource != "events":
            found.append(Access(verb, group, resource, target.namespace, target.name if verb != "create" else ""))
        elif resource.partition("/")[0] == "nodes":
            found.append(Access(verb, group, resource, "", target.name))
    if step.kind in _OF_NODES:
        found.append(Access("patch", "", "nodes", "", target.name))  # whoever empties a node may also close it
    return found


def _needs(step: Step) -> tuple[Need, ...]:
    """Of a job's step only those of its own kind."""
    if step.kind not in (StepKind.RESTART_JOB, StepKind.CHECKPOINT):
        return NEEDS[step.kind]
    kind = step.target.kind
    if step.target.api_version.startswith("batch.volcano.sh/"):
        kind = "Job.volcano"
    own = JOB_NEEDS.get(kind) or UNPROVEN_NEEDS.get(kind) or ()
    return own if step.kind is StepKind.RESTART_JOB else tuple(need for need in own if need[1] != "pods")
