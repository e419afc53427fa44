"""The collector's settings: one YAML file, every field with a default, flags of `watchstander collect` over it.

    cluster: prod
    agent:
      url: https://watchstander.monitoring.svc:8480
      token_file: /var/run/secrets/watchstander/token
      ca_file: /etc/watchstander/ca.crt
    logs:
      - {path: /var/log/pods/train_*/*/*.log, job: llama-70b}

An unknown or mistyped field stops the start with one line that names file and field. Secrets are never settings: they
lie in files. docs/collector.md has the table; a test holds the two together.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from collectors.errors import FixConfiguration
from collectors.field_docs import field_docstrings
from collectors.processes.pod_log import PLACEHOLDERS, is_template, unknown_placeholders
from collectors.sampling.plan import SamplingPlan
from collectors.sending.endpoint import Endpoint
from collectors.settings_file import read_settings

Text = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, Meta(max_length=253, pattern=r"^[^\x00-\x1f\x7f]*$")]
GivenName = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\x00-\x1f\x7f]*$")]
NODE_UID_VARIABLE = "NODE_UID"
NODE_NAME_VARIABLE = "NODE_NAME"
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that belong together."""


class AgentSettings(_Group, frozen=True):
    """Where batches go."""

    url: Text = ""
    """The agent's address, `https://host:port`. `http://` is taken for loopback only, since it bears the token."""
    token_file: Text = "/var/run/secrets/watchstander/token"  # noqa: S105 - a path, not a secret
    """File with the ingest token, one line; read anew for every connection, so that it can be exchanged."""
    ca_file: Text = ""
    """PEM file with the CA of the agent's certificate; empty: the system's CAs."""
    allow_plain_http: bool = False
    """Take `http://` to other hosts too, where something else encrypts (a service mesh, say)."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 10.0
    """How long one connection or answer may take, seconds."""


class NodeSettings(_Group, frozen=True):
    """Which node this is."""

    name: Name = ""
    """Its name, for people; empty: the variable `NODE_NAME`, else the host name."""
    id: Name = ""
    """What stays the same for the node's whole life; empty: the variable `NODE_UID`, else the machine id."""


class SpoolSettings(_Group, frozen=True):
    """What keeps batches until the agent has them."""

    directory: Text = "/var/lib/watchstander/spool"
    """Folder of the spool, the quarantine and the positions in the logs; one collector each, mode 0700."""
    max_bytes: Annotated[int, Meta(ge=2**20)] = 256 * 2**20
    """Most that the spool takes on the disk, bytes; then the oldest readings go first. A day without the agent takes
    about 25 MB."""
    memory_bytes: Annotated[int, Meta(ge=2**16)] = 8 * 2**20
    """Most that is kept in memory while the disk fails, bytes."""
    quarantine_bytes: Annotated[int, Meta(ge=0)] = 32 * 2**20
    """Most that batches take which the agent refused for good, bytes; the oldest go first."""
    flush_seconds: Annotated[float, Meta(ge=0, le=600)] = 5.0
    """How long an orderly stop waits for the agent to take what is left, seconds; the rest waits on the disk."""


class LogSettings(_Group, frozen=True):
    """One training log, or many alike."""

    path: Text
    """A file or a pattern (`*`, `**`); files that come later are found too."""
    job: GivenName
    """Id of the job that writes it; for logs of pods also made of {namespace}, {pod}, {pod_base}, {pod_index} and
    {container}."""
    rank: Annotated[int, Meta(ge=0, lt=2**24)] | Name | None = None
    """Rank of lines that name none, where the file is one rank's; a figure, or made as `job` is."""

    def __post_init__(self) -> None:
        """Raises ValueError for a placeholder that no path can fill; msgspec adds where it stands."""
        for field, text in (("job", self.job), ("rank", self.rank)):
            unknown = unknown_placeholders(text) if isinstance(text, str) else []
            if unknown:
                known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                raise ValueError(f"{field}: no path fills {{{unknown[0]}}}; known are {known}")
        if isinstance(self.rank, str) and not is_template(self.rank):
            raise ValueError(f"rank: {self.rank!r} is neither a figure nor made of placeholders")


class GpuSettings(_Group, frozen=True):
    """For whom GPUs work, where nothing on the node tells."""

    job: Name = ""
    """Job of every GPU that a process outside pods works on; empty: found by the followed log that is its output."""


class Settings(_Group, frozen=True):
    """All of them."""

    cluster: GivenName = "default"
    """Name of the cluster; the same in every collector of it and in the agent."""
    agent: AgentSettings = AgentSettings()
    node: NodeSettings = NodeSettings()
    spool: SpoolSettings = SpoolSettings()
    sampling: dict[str, float] = {}
    """How often the collector looks and sends; fields as of `SamplingPlan`, docs/sampling.md explains them."""
    logs: tuple[LogSettings, ...] = ()
    """Training logs to follow: a list of `path`, `job`, and `rank` where the file is one rank's."""
    gpus: GpuSettings = GpuSettings()
    host_proc: Text = "/proc"
    """The node's /proc, with all its processes: ties GPUs to pods, jobs and ranks."""
    pod_logs: Text = "/var/log/pods"
    """Where the kubelet keeps the logs of pods; names pods whose logs are not followed, too."""
    kmsg: Text | None = "/dev/kmsg"
    """The kernel's log; null: do not read it."""
    nvml: bool = True
    """Ask NVML for the GPUs of this node."""
    dcgm_exporter: Text | None = None
    """Metrics page of a dcgm-exporter on this node, `http://127.0.0.1:9400/metrics` say; null: there is none."""

    def plan(self) -> SamplingPlan:
        """The sampling plan. Raises FixConfiguration for an unknown field or a value out of range."""
        known = [field.name for field in dataclass_fields(SamplingPlan)]
        for name in self.sampling:
            if name not in known:
                raise FixConfiguration(f"unknown field `{name}` - at `$.sampling`; known are {', '.join(known)}")
        return SamplingPlan(**self.sampling)

    def endpoint(self) -> Endpoint:
        """The agent's address and credentials. Raises FixConfiguration."""
        if not self.agent.url:
            raise FixConfiguration("agent.url is not set: give the agent's address, https://host:port")
        return Endpoint.parse(
            self.agent.url,
            Path(self.agent.token_file),
            ca_file=Path(self.agent.ca_file) if self.agent.ca_file else None,
            allow_plain_http=self.agent.allow_plain_http,
            timeout_seconds=self.agent.timeout_seconds,
        )


@dataclass(frozen=True, slots=True)
class NodeNames:
    """Which node this is, and who said so."""

    id: str
    name: str
    said_by: str


def find_node(
    settings: NodeSettings,
    environment: Mapping[str, str] = os.environ,
    machine_id_files: tuple[Path, ...] = MACHINE_ID_FILES,
    host_name: str = "",
) -> NodeNames:
    """The node's id and name by settings, environment or machine id. Raises FixConfiguration if there is no id."""
    name = settings.name or environment.get(NODE_NAME_VARIABLE, "") or host_name or socket.gethostname()
    if settings.id:
        return NodeNames(settings.id, name, "node.id")
    if environment.get(NODE_UID_VARIABLE):
        return NodeNames(environment[NODE_UID_VARIABLE], name, NODE_UID_VARIABLE)
    for path in machine_id_files:
        try:
            machine_id = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if machine_id and machine_id.isalnum():
            return NodeNames(machine_id, name, str(path))
    raise FixConfiguration(
        f"this node has no id: set node.id or the variable {NODE_UID_VARIABLE}, or mount {machine_id_files[0]}"
    )


def load_settings(path: Path | None) -> Settings:
    """The settings in a YAML file, or the defaults; FixConfiguration names the file, the field and what is wrong."""
    if path is None:
        return Settings()
    settings = read_settings(path, Settings, "docs/collector.md") or Settings()
    try:
        settings.plan()
    except FixConfiguration as error:
        raise FixConfiguration(f"settings {path}: {error}") from None
    return settings


def with_options(
    path: Path | None, options: Mapping[str, Any], logs: Iterable[str] = (), *, no_kmsg: bool = False
) -> Settings:
    """The settings of a file with those of a command line over them: `group.field` to value, None where not given.

    `logs` are `pattern=job`. Raises FixConfiguration, as `load_settings`.
    """
    tree: dict[str, Any] = msgspec.to_builtins(load_settings(path))
    for name, value in options.items():
        if value is None:
            continue
        group, _, field = name.rpartition(".")
        (tree[group] if group else tree)[field] = value
    for log in logs:
        pattern, found, job = log.rpartition("=")
        if not found or not pattern or not job:
            raise FixConfiguration(f"--log {log!r}: write PATTERN=JOB, /var/log/train.log=llama-70b say")
        tree["logs"] = [*tree["logs"], {"path": pattern, "job": job}]
    if no_kmsg:
        tree["kmsg"] = None
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise FixConfiguration(f"command line: {error}; docs/collector.md lists all settings") from None


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as the documentation shows it."""

    name: str
    default: str
    """As JSON."""
    text: str


def describe() -> Iterator[Described]:
    """Every setting with its default and its docstring, in order."""
    yield from _describe(Settings, "")


def _describe(struct: type[msgspec.Struct], prefix: str) -> Iterator[Described]:
    texts = field_docstrings(struct)
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        if isinstance(field.default, msgspec.Struct):
            yield from _describe(type(field.default), name + ".")
        elif name == "sampling":
            plan_texts = field_docstrings(SamplingPlan)
            for item in dataclass_fields(SamplingPlan):
                yield Described(f"{name}.{item.name}", _json(item.default), plan_texts.get(item.name, ""))
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else None
            yield Described(name, _json(default), texts.get(field.name, ""))
            if name == "logs":
                yield from (
                    Described(one.name.replace(".", "[].", 1), one.default, one.text)
                    for one in _describe(LogSettings, "logs.")
                )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
