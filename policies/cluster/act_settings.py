"""What an operator may set about carrying steps out (`steps.*` of the agent's settings), as the rooms take it."""

import msgspec

from policies.cluster.template import Template


class ActSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """All have defaults. A step's own `arguments` go before these."""

    evict_at_once: int = 10
    """Pods of one drain that may be ending at the same time."""
    drain_seconds: float = 600.0
    """A drain that takes longer gives up and says which pods and which budgets stood in its way."""
    end_margin_seconds: float = 60.0
    """A pod that is still there so long after its grace period does not end."""
    checkpoint_seconds: float = 300.0
    """The longest wait for a job's word that it has saved."""
    suspend_seconds: float = 600.0
    """A suspended gang whose pods are not gone by then is resumed all the same."""
    start_seconds: float = 900.0
    """A restarted gang that does not run by then is told of."""
    reset_seconds: float = 900.0
    reboot_seconds: float = 1800.0
    templates: dict[str, Template] = {}
    """`reset_gpu`, `reboot_node` -> what is created for it (`load_template`). Without one the step is refused."""
    image: str = ""
    """`${image}` of templates."""
    namespace: str = ""
    """`${namespace}` of templates: where their Jobs run."""
    gpu_resources: tuple[str, ...] = ("nvidia.com/gpu", "nvidia.com/mig-")
    """Resources that are GPUs; one that ends in `-` stands for all that begin so."""
    unproven: tuple[str, ...] = ()
    """Kinds of jobs that are restarted though no running controller has been tried: PyTorchJob, RayJob, Job.volcano
    and others; docs/actions.md has all."""
