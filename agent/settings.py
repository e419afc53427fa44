"""The agent's settings: one YAML file, every field with a default, an unknown field refused by name.

    listen:
      address: 0.0.0.0:8480
      tls_certificate: /etc/watchstander/tls.crt
      tls_key: /etc/watchstander/tls.key
      hosts: [watchstander.monitoring.svc]
    access:
      tokens:
        - {name: collectors, path: /etc/watchstander/ingest-token, roles: [ingest]}

docs/agent.md has the table; a test holds the two together. Secrets are never settings: tokens lie in files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.access.tokens import StaticToken
from collectors.field_docs import field_docstrings
from collectors.settings_file import read_settings
from policies.model import Mode

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that belong together."""


class ListenSettings(_Group, frozen=True):
    """Where the agent listens, and under which names."""

    address: str = "127.0.0.1:8480"
    """Host and port; port 0 takes a free one. Anything but loopback needs TLS, or `behind_tls_proxy`."""
    tls_certificate: str = ""
    """PEM file with the certificate chain; empty means plain HTTP."""
    tls_key: str = ""
    """PEM file with the key of `tls_certificate`."""
    behind_tls_proxy: bool = False
    """A proxy in front speaks TLS: plain HTTP is taken on any address, and cookies are marked Secure."""
    hosts: tuple[str, ...] = ()
    """Host names that the agent answers to, beside localhost and the address that a connection arrives at."""


class IngestSettings(_Group, frozen=True):
    """How batches are taken in."""

    body_bytes: Annotated[int, Meta(ge=1024, le=64 * 2**20)] = 4 * 2**20
    """Largest body of one request, bytes; larger ones get 413."""
    body_seconds: Seconds = 30.0
    """Time allowed for one body to arrive, seconds; then 408."""
    commit_seconds: Annotated[float, Meta(ge=0, le=0.2)] = 0.02
    """How long a batch waits for others to be flushed to disk together, seconds; longer means fewer flushes."""
    retention_seconds: Seconds = 900.0
    """How long acknowledged batches stay in the ingest log, seconds; longer than `store.readings_seconds`."""
    segment_bytes: Annotated[int, Meta(ge=2**16)] = 64 * 2**20
    """Size of one file of the ingest log, bytes; whole files are deleted."""
    backlog_bytes: Count = 256 * 2**20
    """Most that may wait for the detectors in memory, bytes as unpacked; beyond it 503, and spools keep the rest."""
    ahead_seconds: Seconds = 3600.0
    """A live node's clock may be this far ahead of the agent's, seconds; beyond it 422."""


class WatchSettings(_Group, frozen=True):
    """The watch's own rhythm."""

    look_seconds: Seconds = 0.1
    """How often the agent looks whether a tick is due, seconds; the tick's own grid is the watch's."""
    spaces: Count = 64
    """Most pairs of origin and cluster at once; batches of one more get 503 until a replay has ended."""
    test_as_live: bool = False
    """Test cluster only: batches of origin `test` are taken for live, acting included. Refused unless the API server
    (`inventory.kubernetes_url`) is on loopback."""


class StoreSettings(_Group, frozen=True):
    """Where findings go, and how they are kept while the database is away."""

    url: str = ""
    """`sqlite:///path` or `postgresql://...`; empty means `watchstander.db` in the data directory."""
    pending_rows: Count = 500_000
    """Most rows of one kind that wait in memory for a database that is away; then the oldest are dropped, counted."""
    checkpoint_seconds: Seconds = 10.0
    """How often what is safely stored is noted, seconds: a restart works through what came after it again."""
    readings_seconds: Seconds = 600.0
    """Length of a chunk of readings, seconds; longer ones compress better and hold more in memory."""
    sightings_seconds: Seconds = 30.0
    """How often the lists of nodes and jobs are brought up to date, seconds."""
    retention_days_readings: Annotated[float, Meta(gt=0)] = 14.0
    """Readings are kept so long, days."""
    retention_days_events: Annotated[float, Meta(gt=0)] = 30.0
    """Events are kept so long, days."""
    retention_days_history: Annotated[float, Meta(gt=0)] = 400.0
    """Resolved incidents and what belongs to them are kept so long, days; the audit is kept for good."""


class KubernetesAccessSettings(_Group, frozen=True):
    """Kubernetes identities beside tokens. docs/access.md explains."""

    enabled: bool = False
    """Ask the API server about tokens that are none of the agent's own; it is the one of `inventory.kubernetes_url`."""
    audience: str = "watchstander"
    """Audience of tokens made for this agent."""
    api_server_audience: bool = True
    """Take tokens that are meant for the API server too: those of people's kubeconfigs are."""
    ingest_audience: str = "watchstander-ingest"
    """Audience of collectors' tokens: they send batches of their pod's own node, and nothing else."""
    remember_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """How long an answer of the API server holds, seconds; so long a withdrawn right still works."""
    remember_refusal_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    """How long its no holds, seconds."""
    request_seconds: Annotated[float, Meta(gt=0, le=30)] = 5.0
    """How long one question may take, seconds; then 503."""


class AccessSettings(_Group, frozen=True):
    """Who gets in. docs/access.md explains."""

    tokens: tuple[StaticToken, ...] = ()
    """Tokens beside the command line's own: name, path, roles, and optionally node and namespaces."""
    session_seconds: Seconds = 43_200.0
    """How long a browser stays logged in, seconds."""
    login_link_seconds: Annotated[float, Meta(gt=0, le=3600)] = 300.0
    """How long a login link works, seconds; it works once."""
    failures_per_minute: Count = 10
    """Wrong credentials from one address before the answer is 429."""
    kubernetes: KubernetesAccessSettings = KubernetesAccessSettings()
    """Kubernetes identities."""


class PriceSettings(_Group, frozen=True):
    """What things cost, so that an incident can say what it costs. Nothing is decided by it."""

    gpu_hour: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    """Price of one GPU for one hour, in `currency`; 0: incidents tell no money."""
    currency: Annotated[str, Meta(max_length=12)] = "USD"
    """What stands behind sums of money."""


class InventorySettings(_Group, frozen=True):
    """Where the inventory comes from beside the collectors. docs/inventory.md explains."""

    cluster: str = "default"
    """The cluster that the file and the Kubernetes API speak of, as its collectors name it."""
    csv: str = ""
    """File with racks, NVLink domains and pools by node name; read anew when it changes. Empty: none."""
    csv_seconds: Seconds = 30.0
    """How often the file is looked at, seconds."""
    kubernetes: bool = False
    """List and watch nodes, pods, disruption budgets and namespaces at the Kubernetes API; without it nothing acts."""
    kubernetes_url: str = ""
    """The API server, `https://host:port`; empty: the one of the pod that the agent runs in."""
    kubernetes_token_file: str = ""
    """File with a bearer token, read anew for each connection; empty: the pod's service account."""
    kubernetes_ca_file: str = ""
    """PEM file with the API server's CA; empty: the pod's service account."""
    request_seconds: Seconds = 30.0
    """How long one page of a list may take, seconds."""
    watch_seconds: Seconds = 240.0
    """How long one watch lasts before it is renewed where it stood, seconds."""
    page: Count = 500
    """Objects a page."""
    gpu_resources: tuple[str, ...] = ("nvidia.com/gpu", "nvidia.com/mig-")
    """Resources that make a node or a pod one with GPUs; one that ends in `-` stands for all that begin so."""
    rack_labels: tuple[str, ...] = ("topology.kubernetes.io/rack", "topology.watchstander.io/rack")
    """Node labels that name the rack, the first that is there."""
    domain_labels: tuple[str, ...] = ("nvidia.com/gpu.clique",)
    """Node labels that name the NVLink domain, the first that is there."""
    pool_labels: tuple[str, ...] = (
        "cloud.google.com/gke-nodepool",
        "eks.amazonaws.com/nodegroup",
        "kubernetes.azure.com/agentpool",
        "oci.oraclecloud.com/node-pool-id",
        "node.cluster.x-k8s.io/node-pool",
        "karpenter.sh/nodepool",
    )
    """Node labels that name the pool, the first that is there."""
    job_labels: tuple[str, ...] = (
        "training.kubeflow.org/job-name",
        "volcano.sh/job-name",
        "ray.io/cluster",
        "batch.kubernetes.io/job-name",
        "job-name",
    )
    """Pod labels or annotations that name the job for people, the first that is there; else its owner's name."""
    job_uid_labels: tuple[str, ...] = ("jobset.sigs.k8s.io/jobset-uid",)
    """Pod labels or annotations with the UID of what owns several owners of pods; else the UID of the pod's own."""
    job_group_labels: tuple[str, ...] = ("jobset.sigs.k8s.io/jobset-name",)
    """Pod labels or annotations that make pods of several owners in one namespace one job, by name."""
    attempt_labels: tuple[str, ...] = ("jobset.sigs.k8s.io/restart-attempt",)
    """Pod labels or annotations with the number of the attempt; else pods made anew under their names are counted."""
    index_labels: tuple[str, ...] = (
        "batch.kubernetes.io/job-completion-index",
        "training.kubeflow.org/replica-index",
    )
    """Pod labels or annotations with the pod's place in its job."""


class ClusterSettings(_Group, frozen=True):
    """When the view of the cluster is no longer trusted to act on. docs/kubernetes.md explains."""

    watch_silent_seconds: Annotated[float, Meta(ge=10)] = 180.0
    """A watch may be silent for so long, seconds; the API server sends a bookmark every 60 to 120 s."""
    probe_seconds: Annotated[float, Meta(ge=1)] = 10.0
    """How often the API server is asked how it is, seconds."""
    slow_seconds: Seconds = 2.0
    """An answer of the API server that takes longer shows that it is unwell, seconds."""
    not_ready_share: Annotated[float, Meta(gt=0, le=1)] = 0.25
    """More of the GPU nodes than this, gone not ready at once, are the cluster's fault and not theirs."""
    not_ready_seconds: Seconds = 600.0
    """What counts as at once, seconds."""
    problem_conditions: tuple[str, ...] = ()
    """Node conditions that hold a node while `True`, beside those of docs/kubernetes.md: custom problem detectors."""


class PolicySettings(_Group, frozen=True):
    """What is decided about incidents, and how far the agent may go. docs/policies.md explains."""

    file: str = ""
    """The policy file; read anew when it changes, the old one stays in force while the new one is wrong. Empty: the
    one that ships."""
    mode: Mode = Mode.AUDIT
    """How far the agent goes at most in the whole cluster: `audit`, `approve` or `enforce`; a rule may ask for less."""
    look_seconds: Seconds = 2.0
    """How often the file is looked at, seconds."""


class ActionsSettings(_Group, frozen=True):
    """How plans are carried out and approved. docs/approval.md and docs/audit.md explain."""

    lease_name: str = "watchstander"
    """Name of the Lease by which agents over one store agree on who leads."""
    lease_namespace: str = ""
    """Its namespace; empty: the one of the pod that the agent runs in, `default` outside one."""
    lease_seconds: Annotated[float, Meta(ge=5, le=300)] = 15.0
    """A leader that was not heard of for so long is replaced, seconds; it stops acting after four fifths of that."""
    address: str = ""
    """Where collectors reach this agent, `https://host:port`: standbys over the same PostgreSQL send them here."""
    look_seconds: Annotated[float, Meta(gt=0, le=10)] = 0.5
    """How often the agent looks whether a plan is due, seconds; a new decision is looked at at once."""
    approval_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 900.0
    """An approved plan that has not begun after so long lapses, seconds."""
    approve_without_kubernetes: bool = False
    """Tokens of the agent's own may approve too; else only people whom the API server knows."""
    approver_needs_own_rights: bool = False
    """Who approves must be allowed by the cluster's own roles to do by hand what the plan does, not only to approve."""
    audit_head_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    """How often the audit's newest hash is published outside the store, seconds."""
    audit_webhook: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""
    """URL that the newest hash is sent to as well, by POST; empty: the Lease and the log alone."""
    audit_days: Annotated[float, Meta(ge=0)] = 0.0
    """Audit entries are kept so long, days, then go behind a checkpoint; 0: for good."""


class StepsSettings(_Group, frozen=True):
    """How single steps against the cluster are carried out. docs/actions.md explains."""

    evict_at_once: Annotated[int, Meta(ge=1, le=1000)] = 10
    """Pods of one drain that may be ending at the same time."""
    drain_seconds: Seconds = 600.0
    """A drain that takes longer fails, and says which pods and budgets stood in its way, seconds."""
    end_margin_seconds: Seconds = 60.0
    """A pod that is still there so long after its grace period does not end, seconds."""
    checkpoint_seconds: Seconds = 300.0
    """The longest wait for a job's word that it has saved, seconds, where a plan names none."""
    suspend_seconds: Seconds = 600.0
    """A suspended gang whose pods are not gone by then is resumed all the same, seconds."""
    start_seconds: Seconds = 900.0
    """A restarted gang that is not whole by then is told of, seconds."""
    reset_seconds: Seconds = 900.0
    """The longest wait for the end of a GPU reset, seconds."""
    reboot_seconds: Seconds = 1800.0
    """The longest wait for a node to come back with another boot id, seconds."""
    reset_gpu: str = ""
    """Template of GPU resets: `job`, `janitor`, or a file; empty: plans leave resets out and say so."""
    reboot_node: str = ""
    """Template of reboots: likewise."""
    image: str = ""
    """`${image}` of templates: an image with a shell and nsenter."""
    namespace: str = ""
    """`${namespace}` of templates: where their Jobs run."""
    unproven: tuple[str, ...] = ()
    """Kinds of jobs to restart though no running controller of theirs was tried: `PyTorchJob`, `RayJob`, ..."""


class Settings(_Group, frozen=True):
    """All of them."""

    listen: ListenSettings = ListenSettings()
    ingest: IngestSettings = IngestSettings()
    watch: WatchSettings = WatchSettings()
    store: StoreSettings = StoreSettings()
    access: AccessSettings = AccessSettings()
    prices: PriceSettings = PriceSettings()
    policy: PolicySettings = PolicySettings()
    inventory: InventorySettings = InventorySettings()
    cluster: ClusterSettings = ClusterSettings()
    actions: ActionsSettings = ActionsSettings()
    steps: StepsSettings = StepsSettings()


def load_settings(path: Path | None) -> Settings:
    """The settings in a YAML file, or the defaults; FixConfiguration names the file, the field and what is wrong."""
    if path is None:
        return Settings()
    return read_settings(path, Settings, "docs/agent.md") or Settings()


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as the documentation shows it."""

    name: str
    """`group.field`."""
    default: str
    text: str


def describe() -> Iterator[Described]:
    """Every setting with its default and its docstring, in order."""
    for group in msgspec.structs.fields(Settings):
        yield from _describe(group.name, group.type)


def _describe(name: str, group: type) -> Iterator[Described]:
    texts = field_docstrings(group)
    for field in msgspec.structs.fields(group):
        if isinstance(field.default, _Group):
            yield from _describe(f"{name}.{field.name}", field.type)
        else:
            default = msgspec.json.encode(field.default).decode()
            yield Described(f"{name}.{field.name}", default, texts.get(field.name, ""))
