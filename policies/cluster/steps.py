"""The port `policies.journal.Cluster` over the Kubernetes API: each kind of step goes to its room.

    steps = ClusterSteps(KubeClient.in_cluster(os.environ, fence=lease.check), ActSettings())
    progress = steps.advance(plan, 0, memo={}, now_ns=...)

Nothing is kept between calls: what a step must know over a crash stands in its memo or on the cluster's objects.
"""

from policies.cluster import (
    checkpoint,
    clear_condition,
    condition,
    cordon,
    evict,
    label,
    reboot_node,
    reset_gpu,
    restart_job,
    taint,
    uncordon,
    unlabel,
    untaint,
)
from policies.cluster.act_settings import ActSettings
from policies.cluster.client import KubeClient
from policies.cluster.look import Look, Room
from policies.journal import Progress
from policies.plan import Plan, StepKind

ROOMS: dict[StepKind, Room] = {
    StepKind.CHECKPOINT: checkpoint,
    StepKind.CORDON: cordon,
    StepKind.UNCORDON: uncordon,
    StepKind.TAINT: taint,
    StepKind.UNTAINT: untaint,
    StepKind.LABEL: label,
    StepKind.UNLABEL: unlabel,
    StepKind.CONDITION: condition,
    StepKind.CLEAR_CONDITION: clear_condition,
    StepKind.EVICT: evict,
    StepKind.RESTART_JOB: restart_job,
    StepKind.RESET_GPU: reset_gpu,
    StepKind.REBOOT_NODE: reboot_node,
}


class ClusterSteps:
    """Carries out steps at one API server. Safe for threads; two looks at one step at a time are not."""

    def __init__(self, client: KubeClient, settings: ActSettings | None = None) -> None:
        """`client`: with the fence of the leader's lease, which is asked before every write."""
        self._client = client
        self._settings = settings or ActSettings()

    def advance(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        """See `policies.journal.Cluster`."""
        look = self._look(plan, step_index, memo, now_ns)
        return ROOMS[look.step.kind].advance(look)

    def verify(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        """See `policies.journal.Cluster`."""
        look = self._look(plan, step_index, memo, now_ns)
        return ROOMS[look.step.kind].verify(look)

    def _look(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Look:
        return Look(self._client, self._settings, plan, step_index, memo, now_ns)
