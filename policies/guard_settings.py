"""Settings of the guards, the `guards:` part of a policy file. docs/guards.md lists each, and a test
holds the two together.

The defaults are what a careful operator would sign for a fleet that he does not know: few nodes at a time, slowly, and
never against a budget, a person or a label.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from policies.cluster_view import PROTECTED

Seconds = Annotated[int, Meta(ge=0, le=30 * 86_400)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings of one guard."""


class NamespaceSettings(_Group, frozen=True):
    """G4: whose pods may be moved."""

    allowed: tuple[str, ...] = ()
    """Name patterns (`team-*`) of namespaces whose pods may be moved; none means all that are not denied."""
    denied: tuple[str, ...] = ("kube-*", "gpu-operator", "nvidia-*", "watchstander*", "*-system")
    """Name patterns of namespaces whose pods are never moved."""


class ProtectedSettings(_Group, frozen=True):
    """G5: pods that nothing may move."""

    labels: dict[str, str] = msgspec.field(default_factory=lambda: {PROTECTED: "true"})
    """Labels or annotations; one of them on a pod protects it. The value `*` stands for any."""
    annotations: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        }
    )
    """The same, as other tools write it."""
    priority: Annotated[int, Meta(ge=-(2**31), le=2**31)] = 2_000_000_000
    """Pods of this priority or more are protected; the default is that of `system-cluster-critical`."""


class Limit(_Group, frozen=True):
    """The most nodes of one place that may be unavailable at once: whichever is less, but never less than one."""

    count: Count = 100_000
    """Nodes."""
    share: Share = 1.0
    """Share of the place's nodes, 0 to 1, rounded down."""


class UnavailableSettings(_Group, frozen=True):
    """G6 and G7: nodes that may be unavailable at once, whoever took them out."""

    fleet: Limit = Limit(count=20, share=0.10)
    """In the whole fleet (G6)."""
    pool: Limit = Limit(count=20, share=0.20)
    """In one pool (G7)."""
    rack: Limit = Limit(count=4, share=0.50)
    """In one rack (G7); a node of an unknown rack counts against the fleet's limit."""
    domain: Limit = Limit(count=2, share=0.25)
    """In one NVLink domain (G7): its jobs span it, so that few can be spared."""


class CapacitySettings(_Group, frozen=True):
    """G8: room for what would move."""

    ask: bool = True
    """Whether free GPUs are asked for before work is moved."""
    spare_gpus: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """GPUs of the pool that must stay free beside what moves."""


class RateSettings(_Group, frozen=True):
    """G9: how fast."""

    acts: Count = 10
    """At most so many nodes and jobs are acted on within `seconds`."""
    seconds: Annotated[int, Meta(ge=1, le=86_400)] = 3600
    """The window, seconds."""


class NodeSettings(_Group, frozen=True):
    """G10: one action per node (and job) at a time."""

    cool_down_seconds: Seconds = 900
    """After an action on a node or a job nothing else is done to it for so long, seconds."""


class Window(_Group, frozen=True):
    """A time in which Watchstander leaves things alone. Either `start` and `end`, or `days` with `from` and `to`."""

    name: str
    """For the reason that the guard gives."""
    start: str = ""
    """RFC 3339 with offset, `2026-12-24T18:00:00Z`."""
    end: str = ""
    """Likewise; not in the window any more."""
    days: tuple[str, ...] = ()
    """`mon` ... `sun`: every week; none means every day, where `from` and `to` are given."""
    from_: str = msgspec.field(default="", name="from")
    """`HH:MM`, UTC."""
    to: str = ""
    """`HH:MM`, UTC; earlier than `from` it is of the next day."""
    pools: tuple[str, ...] = ()
    """Pools that it is about; none: all, if `racks` and `nodes` are empty too."""
    racks: tuple[str, ...] = ()
    """Racks that it is about."""
    nodes: tuple[str, ...] = ()
    """Name patterns of nodes that it is about."""


class WaveSettings(_Group, frozen=True):
    """G13: many nodes with the same fault at once."""

    window_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    """Faults of one kind that begin within this of each other count together, seconds."""
    rack: Count = 3
    """So many nodes of one rack are a wave."""
    domain: Count = 3
    """So many nodes of one NVLink domain are a wave."""
    fleet: Count = 5
    """So many nodes anywhere are a wave."""
    quiet_seconds: Seconds = 600
    """It holds until so long after the last node was hit, seconds,"""
    longest_seconds: Seconds = 3600
    """but at most so long after the first, seconds: a wave that never ends must not freeze repair."""
    first: Count = 1
    """Then so many nodes go in the first step of the ramp,"""
    factor: Annotated[float, Meta(ge=1.0, le=10.0)] = 2.0
    """so many times more in each next step,"""
    largest: Count = 8
    """but at most so many in one,"""
    step_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    """and a step every so many seconds."""


class EvidenceSettings(_Group, frozen=True):
    """G14: how fresh and firm."""

    stale_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    """Evidence older than this is no ground to act, seconds: the card may have been reset since. Minder and gpud both
    judge over windows of 10 to 15 minutes."""
    held_seconds: Seconds = 14_400
    """Where everything but a guard that lets go by itself (a wave, a rate, an approval) said yes while the evidence was
    fresh, and the finding is still open, it counts for so long, seconds."""
    least_confidence: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    """Below it the finding is by its own word more likely wrong than right."""


class BudgetSettings(_Group, frozen=True):
    """G16: PodDisruptionBudgets. They are never passed over."""

    deadline_seconds: Annotated[int, Meta(ge=1, le=7 * 86_400)] = 1800
    """How long an eviction under way waits for a budget or a slow pod, seconds; then the plan fails and is undone."""


class OwnerSettings(_Group, frozen=True):
    """G17: the job's own controller."""

    recovering_seconds: Seconds = 600
    """A job whose pods were made anew since it was interrupted is left to its owner for so long, seconds."""


class ClusterSettings(_Group, frozen=True):
    """G18: the cluster as a whole."""

    unwell_share: Share = 0.34
    """With so large a share of the nodes unavailable the cluster is unwell, and nothing is done by itself."""


class PersonSettings(_Group, frozen=True):
    """G19: a person's word."""

    remember_seconds: Seconds = 86_400
    """A person's uncordon keeps Watchstander off a node for so long, seconds."""


class AttemptSettings(_Group, frozen=True):
    """G22: how often the same remedy is tried."""

    node: Count = 3
    """Resets, reboots and cordons of one node for one kind of fault within `node_seconds`."""
    node_seconds: Seconds = 604_800
    """The window for a node, seconds."""
    job: Count = 5
    """Restarts of one job for one kind of fault within `job_seconds`. A job of thousands of cards meets several faults
    of its hardware a day, each on another node: that is no loop."""
    job_seconds: Seconds = 21_600
    """The window for a job, seconds."""
    rung: Count = 1
    """P3: how often each rung of the ladder (reset, reboot) is tried before the next one within `node_seconds`."""


class PlanSettings(_Group, frozen=True):
    """How plans are made; no guard of their own."""

    lapse_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 3600
    """A plan that was not begun, or not approved, by then lapses, seconds."""
    checkpoint_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    """P1: how long a job may take to save before it is moved, seconds."""


class GuardSettings(_Group, frozen=True):
    """All of them."""

    namespaces: NamespaceSettings = NamespaceSettings()
    protected: ProtectedSettings = msgspec.field(default_factory=ProtectedSettings)
    unavailable: UnavailableSettings = UnavailableSettings()
    capacity: CapacitySettings = CapacitySettings()
    rate: RateSettings = RateSettings()
    node: NodeSettings = NodeSettings()
    windows: tuple[Window, ...] = ()
    """G12: maintenance windows, a fixed list. In one of them Watchstander leaves the named nodes alone."""
    wave: WaveSettings = WaveSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    budgets: BudgetSettings = BudgetSettings()
    owner: OwnerSettings = OwnerSettings()
    cluster: ClusterSettings = ClusterSettings()
    person: PersonSettings = PersonSettings()
    attempts: AttemptSettings = AttemptSettings()
    plan: PlanSettings = PlanSettings()
