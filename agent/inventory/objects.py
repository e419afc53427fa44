"""Objects of the Kubernetes API, only the fields that are needed: an eighth of what plain dicts take.

Read from the API's own JSON; what is not named here is skipped by the decoder and never built.
"""

import msgspec


class Owner(msgspec.Struct, gc=False, rename="camel"):
    """Who made an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(msgspec.Struct, rename="camel"):
    """Name tag of any object."""

    name: str = ""
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Owner] | None = None
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    """Set: it is being deleted."""


class Resources(msgspec.Struct):
    """What a container may use."""

    limits: dict[str, str | int] | None = None
    requests: dict[str, str | int] | None = None


class Container(msgspec.Struct):
    """One container."""

    image: str = ""
    resources: Resources | None = None


class PodSpec(msgspec.Struct, rename="camel"):
    """Where a pod runs and what it asks for."""

    node_name: str = ""
    priority: int | None = None
    containers: list[Container] = []
    init_containers: list[Container] | None = None


class ContainerStatus(msgspec.Struct, rename="camel"):
    """How one container of a pod fares."""

    restart_count: int = 0


class PodStatus(msgspec.Struct, rename="camel"):
    """How far a pod is."""

    phase: str = ""
    container_statuses: list[ContainerStatus] | None = None


class Pod(msgspec.Struct):
    """A pod."""

    metadata: Meta
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus | None = None


class Condition(msgspec.Struct, gc=False, rename="camel"):
    """One thing that is said of a node."""

    type: str = ""
    status: str = ""
    """`True`, `False` or `Unknown`."""
    last_transition_time: str | None = None


class Taint(msgspec.Struct, gc=False, rename="camel"):
    """What keeps pods off a node."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class NodeInfo(msgspec.Struct):
    """What the node says of itself."""

    boot_id: str = msgspec.field(default="", name="bootID")


class NodeStatus(msgspec.Struct, rename="camel"):
    """What a node has, and how it is."""

    capacity: dict[str, str | int] | None = None
    allocatable: dict[str, str | int] | None = None
    conditions: list[Condition] | None = None
    node_info: NodeInfo | None = None


class NodeSpec(msgspec.Struct):
    """Whether a node takes pods."""

    unschedulable: bool = False
    taints: list[Taint] | None = None


class Managed(msgspec.Struct, rename="camel"):
    """Who set which fields of an object."""

    manager: str = ""
    fields: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="fieldsV1")


class NodeMeta(Meta, rename="camel"):
    """Name tag of a node."""

    managed_fields: list[Managed] | None = None


class Node(msgspec.Struct):
    """A node."""

    metadata: NodeMeta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Requirement(msgspec.Struct):
    """One expression of a label selector."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class Selector(msgspec.Struct, rename="camel"):
    """Which labels it is about."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class BudgetSpec(msgspec.Struct):
    """Whose pods a budget is about."""

    selector: Selector | None = None
    """Absent: no pod; empty: every pod of the namespace."""


class BudgetStatus(msgspec.Struct, rename="camel"):
    """What a budget allows now."""

    disruptions_allowed: int = 0


class Budget(msgspec.Struct):
    """A PodDisruptionBudget."""

    metadata: Meta
    spec: BudgetSpec | None = None
    status: BudgetStatus | None = None


class Namespace(msgspec.Struct):
    """A namespace: its labels are all that is wanted."""

    metadata: Meta


class ListMeta(msgspec.Struct, rename="camel"):
    """Where a list stands, and whether there is more of it."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """One page of a list; its items are read one by one, so that a broken one spoils no other."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class Told(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct):
    """The API's way to say no."""

    code: int = 0
    message: str = ""
    reason: str = ""
