"""Fixtures for policies: an incident and a cluster in YAML, and the decision that is expected of a policy.

`watchstander policy test` runs them, in users' own CI too. docs/policies.md has an example; unknown fields are refused.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from collectors.errors import FixConfiguration
from collectors.model import Origin, Subject, SubjectFacts, SubjectKind
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Inventory, Severity
from policies.cluster_view import BudgetView, LaidOutCluster, NodeView, Owner, PodView, Taken
from policies.model import Mode, Verdict
from policies.yaml_tree import located, plain_of, tree_of

CLUSTER = "test"
OPENED_NS = 1_767_225_600 * 1_000_000_000
"""When every fixture's incident opens: 2026-01-01T00:00:00Z, a Thursday."""
NS = 1_000_000_000


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a fixture."""


class FixtureFinding(_Part, frozen=True):
    """One finding of the incident; the first one is the root."""

    kind: FindingKind
    node: str = ""
    """Name of its node; it must be in `cluster.nodes` for steps to be made."""
    gpu: str = ""
    """Index of its card."""
    job: str = ""
    codes: tuple[int, ...] = ()
    """Xid codes in its evidence."""
    sources: tuple[str, ...] = ("nvml", "kernel_log")
    """Sources of its evidence, one piece each."""
    severity: Severity = Severity.CRITICAL
    seconds: float = 0.0
    """When it began, seconds after the incident opened."""
    confidence: Annotated[float, Meta(ge=0, le=1)] = 0.95


class FixtureNode(_Part, frozen=True):
    """One node; `count` makes it several, named `name-1`, `name-2` ..."""

    name: str
    count: Annotated[int, Meta(ge=1, le=10_000)] = 1
    gpus: int = 8
    rack: str = ""
    domain: str = ""
    pool: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    unschedulable: bool = False
    ready: bool = True
    held_by: str = ""


class FixturePod(_Part, frozen=True):
    """One pod."""

    name: str
    node: str
    namespace: str = "default"
    job: str = ""
    """Name of its owner; empty: none."""
    owner_kind: str = "Job"
    gpus: int = 8
    phase: str = "Running"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    priority: int = 0
    created_seconds: float = -3600.0
    """When it was made, seconds after the incident opened."""


class FixtureTaken(_Part, frozen=True):
    """A step that was taken before, or a person's word."""

    what: str
    seconds_ago: float
    node: str = ""
    job: str = ""
    incident: str = "INC-BEFORE"
    root_kind: str = ""


class FixtureCluster(_Part, frozen=True):
    """The cluster; without one a policy is decided in audit, by what telemetry knows."""

    nodes: tuple[FixtureNode, ...] = ()
    pods: tuple[FixturePod, ...] = ()
    budgets: tuple[BudgetView, ...] = ()
    namespaces: dict[str, dict[str, str]] = {}
    """Labels of namespaces."""
    taken: tuple[FixtureTaken, ...] = ()
    trouble: str = ""
    """Why the view cannot be trusted."""
    paused: str = ""
    not_leader: str = ""


class Expected(_Part, frozen=True):
    """What the policy has to come to; what is not named is not looked at."""

    rule: str | None = None
    """Name of the rule that decides; empty: none does."""
    verdict: Verdict | None = None
    actions: tuple[str, ...] | None = None
    """Kinds of actions, in order."""
    steps: tuple[str, ...] | None = None
    """Words of the plan's steps in order, or their beginnings: `cordon node a`."""
    guards: dict[str, bool] = {}
    """By id: whether it allows."""
    reason: str = ""
    """A part of the decision's sentence."""


class Case(_Part, frozen=True):
    """One incident in one cluster, and what is expected."""

    name: str
    findings: Annotated[tuple[FixtureFinding, ...], Meta(min_length=1)]
    expect: Expected
    mode: Mode = Mode.ENFORCE
    """The agent's."""
    origin: Origin = Origin.LIVE
    after_seconds: Annotated[float, Meta(ge=0)] = 400.0
    """When it is decided, seconds after the incident opened."""
    wave: str = ""
    """Rack that the incident is about as a whole; empty: it is about its root's own subject."""
    cluster: FixtureCluster | None = None


class _File(_Part, frozen=True):
    """A file of fixtures."""

    cases: tuple[Case, ...]


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of one file; FixConfiguration with file, line, path and reason."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}): give a file of fixtures") from None
    tree = tree_of(text, str(path))
    try:
        return msgspec.convert(plain_of(tree, str(path)), _File).cases
    except msgspec.ValidationError as error:
        raise located(str(error), tree, str(path))[0] from None


def incident_of(case: Case) -> tuple[Incident, list[Finding], Inventory]:
    """The incident with its findings, and the inventory that knows their places."""
    known = Inventory()
    findings = [_finding(index, one, case.origin, known) for index, one in enumerate(case.findings)]
    root = findings[0]
    subject = Subject(CLUSTER, SubjectKind.RACK, case.wave) if case.wave else root.subject
    severities = list(Severity)
    incident = Incident(
        id="INC-FIXTURE",
        state=IncidentState.OPEN,
        root=root.id,
        findings=tuple(finding.id for finding in findings),
        kind=root.kind,
        subject=subject,
        severity=max((finding.severity for finding in findings), key=severities.index),
        title=case.name,
        opened_ns=OPENED_NS,
        since_ns=root.since_ns,
        updated_ns=now_of(case),
        origin=case.origin,
        names=dict(root.names),
        kinds=tuple(finding.kind for finding in findings),
    )
    return incident, findings, known


def now_of(case: Case) -> int:
    """When a case is decided, Unix ns."""
    return OPENED_NS + int(case.after_seconds * NS)


def view_of(case: Case) -> LaidOutCluster | None:
    """The cluster of a case."""
    told = case.cluster
    if told is None:
        return None
    nodes = [node for one in told.nodes for node in _nodes(one)]
    return LaidOutCluster(
        all_nodes=nodes,
        all_pods=[_pod(one) for one in told.pods],
        namespaces=told.namespaces,
        all_budgets=list(told.budgets),
        done=[
            Taken(
                time_ns=now_of(case) - int(one.seconds_ago * NS),
                what=one.what,
                node=_uid("node", one.node),
                incident=one.incident,
                root_kind=one.root_kind or case.findings[0].kind.value,
                job=_uid("job", one.job),
            )
            for one in sorted(told.taken, key=lambda one: -one.seconds_ago)
        ],
        trouble=told.trouble,
        not_leader=told.not_leader,
        pause=told.paused,
    )


def _finding(index: int, told: FixtureFinding, origin: Origin, known: Inventory) -> Finding:
    at_ns = OPENED_NS + int(told.seconds * NS)
    node = Subject(CLUSTER, SubjectKind.NODE, _uid("node", told.node)) if told.node else None
    card = Subject(CLUSTER, SubjectKind.GPU, f"GPU-{told.node}-{told.gpu}") if told.gpu else None
    job = Subject(CLUSTER, SubjectKind.JOB, f"{_uid('job', told.job)}/0") if told.job else None
    if node is not None:
        known.facts[node] = SubjectFacts(node, told.node)
    if card is not None:
        said = {"index": told.gpu, **({"job": job.id} if job is not None else {})}
        known.facts[card] = SubjectFacts(card, f"GPU {told.gpu}", node, said)
    if job is not None:
        known.facts[job] = SubjectFacts(job, told.job)
    subject = card or node or job or Subject(CLUSTER, SubjectKind.CLUSTER, CLUSTER)
    if told.kind.value.startswith(("job_", "collective_", "training_", "loss_")) and job is not None:
        subject = job
    xids = told.codes or (None,)
    pieces = tuple(
        Evidence(
            f"Xid {code}" if code is not None else told.kind.value,
            at_ns,
            metric="xid" if code is not None else told.kind.value,
            value=None if code is None else float(code),
            source=source,
        )
        for source in told.sources
        for code in xids
    )
    names = {"node": told.node, "gpu": told.gpu, "job": told.job}
    return Finding(
        id=f"F-{index}-{told.kind.value}",
        kind=told.kind,
        subject=subject,
        severity=told.severity,
        opened_ns=at_ns,
        since_ns=at_ns,
        confidence=told.confidence,
        summary=f"{told.kind.value} of a fixture",
        origin=origin,
        evidence=pieces,
        related=tuple(one for one in (node, job) if one is not None and one != subject),
        names={key: value for key, value in names.items() if value},
        mark=",".join(map(str, told.codes)),
    )


def _nodes(told: FixtureNode) -> list[NodeView]:
    names = [told.name] if told.count == 1 else [f"{told.name}-{index}" for index in range(1, told.count + 1)]
    return [
        NodeView(
            name=name,
            uid=_uid("node", name),
            labels=told.labels,
            annotations=told.annotations,
            unschedulable=told.unschedulable,
            ready=told.ready,
            gpus=told.gpus,
            rack=told.rack,
            domain=told.domain,
            pool=told.pool,
            held_by=told.held_by,
        )
        for name in names
    ]


def _pod(told: FixturePod) -> PodView:
    versions = {"Job": "batch/v1", "JobSet": "jobset.x-k8s.io/v1alpha2"}
    version = versions.get(told.owner_kind, "apps/v1")
    owner = Owner(version, told.owner_kind, told.job, _uid("job", told.job)) if told.job else None
    return PodView(
        namespace=told.namespace,
        name=told.name,
        uid=_uid("pod", f"{told.namespace}-{told.name}"),
        node=told.node,
        owner=owner,
        labels=told.labels,
        annotations=told.annotations,
        phase=told.phase,
        gpus=told.gpus,
        priority=told.priority,
        created_ns=OPENED_NS + int(told.created_seconds * NS),
    )


def _uid(what: str, name: str) -> str:
    return f"uid-{what}-{name}" if name else ""
