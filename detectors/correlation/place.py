"""Where a finding stands: which card, node, job and rank it is about, and which it touches besides.

Stable keys come from `Finding.subject` and `Finding.related`, names from `Finding.names`. Keys are compared with keys;
names only where one of the two sides has no key of that kind, since a name may be used twice and a key may not.
"""

from dataclasses import dataclass

from collectors.model import Origin, Subject, SubjectKind
from detectors.correlation.nvlink import speaks_of_links
from detectors.correlation.table import Scope
from detectors.model import Finding, FindingKind

Name = tuple[str, ...]
"""A name as a key: what kind of thing, its cluster, and the names that tell it apart."""


@dataclass(frozen=True, slots=True)
class Place:
    """The subjects of one finding, sorted by what they are."""

    cluster: str
    origin: Origin
    own_gpu: Subject | None
    """The card that the finding is about, not one that only waits for it."""
    own_gpu_name: Name | None
    gpus: frozenset[Subject]
    nodes: frozenset[Subject]
    node_name: Name | None
    jobs: frozenset[Subject]
    job_name: Name | None
    domain_name: Name | None
    """The NVLink domain, of what speaks of links or takes them along; other findings have no use for it."""
    keys: frozenset[Subject | Name]
    """Everything by which another finding may share this place; two places that share nothing have none in common."""


def place_of(finding: Finding) -> Place:
    """Read the place of a finding from the finding alone."""
    cluster = finding.subject.cluster
    by_kind: dict[SubjectKind, set[Subject]] = {}
    for subject in (finding.subject, *finding.related):
        if subject.cluster == cluster:
            by_kind.setdefault(subject.kind, set()).add(subject)
    names = finding.names
    node, gpu, job, rank = (names.get(key) for key in ("node", "gpu", "job", "rank"))
    own_gpu_name: Name | None = None
    if node and gpu:
        own_gpu_name = ("gpu", cluster, node, gpu)
    elif job and rank:
        own_gpu_name = ("rank", cluster, job, rank)
    gpus, nodes, jobs = (
        frozenset(by_kind.get(kind, ())) for kind in (SubjectKind.GPU, SubjectKind.NODE, SubjectKind.JOB)
    )
    node_name: Name | None = ("node", cluster, node) if node else None
    job_name: Name | None = ("job", cluster, job) if job else None
    domain = names.get("nvlink_domain") if finding.kind is FindingKind.GPU_LOST or speaks_of_links(finding) else None
    domain_name: Name | None = ("nvlink_domain", cluster, domain) if domain else None
    named = (own_gpu_name, node_name, job_name, domain_name)
    return Place(
        cluster=cluster,
        origin=finding.origin,
        own_gpu=finding.subject if finding.subject.kind is SubjectKind.GPU else None,
        own_gpu_name=own_gpu_name,
        gpus=gpus,
        nodes=nodes,
        node_name=node_name,
        jobs=jobs,
        job_name=job_name,
        domain_name=domain_name,
        keys=frozenset((*gpus, *nodes, *jobs, *(name for name in named if name))),
    )


def share(one: Place, other: Place, scope: Scope) -> bool:
    """Whether two places have in common what an edge of this scope asks for. Symmetric."""
    if one.cluster != other.cluster or one.origin is not other.origin:
        return False
    if scope is Scope.NODE:
        return _same_node(one, other) is True
    if scope is Scope.LINK:
        in_domain = one.domain_name is not None and one.domain_name == other.domain_name
        return in_domain or _same_node(one, other) is True
    same_job = _same_job(one, other)
    if scope is Scope.JOB:
        return same_job if same_job is not None else _near(one, other)
    same_card = _same_card(one, other)
    if same_card is not None:
        return same_card
    for owner, toucher in ((one, other), (other, one)):
        if owner.own_gpu is not None and toucher.gpus:
            return owner.own_gpu in toucher.gpus
    return same_job if same_job is not None else _near(one, other)


def overlap(one: Place, other: Place) -> bool:
    """Whether two places have anything in common: for `unusual`, which claims no cause."""
    return any(share(one, other, scope) for scope in (Scope.GPU, Scope.JOB, Scope.NODE))


def _near(one: Place, other: Place) -> bool:
    """Where a job is unknown: a card in common, else a node."""
    return bool(one.gpus & other.gpus) or _same_node(one, other) is True


def _same_card(one: Place, other: Place) -> bool | None:
    """None where one of the two does not say which card it is about."""
    if one.own_gpu and other.own_gpu:
        return one.own_gpu == other.own_gpu
    if one.own_gpu_name and other.own_gpu_name and one.own_gpu_name[0] == other.own_gpu_name[0]:
        return one.own_gpu_name == other.own_gpu_name
    return None


def _same_node(one: Place, other: Place) -> bool | None:
    return _same(one.nodes, one.node_name, other.nodes, other.node_name)


def _same_job(one: Place, other: Place) -> bool | None:
    return _same(one.jobs, one.job_name, other.jobs, other.job_name)


def _same(
    ones: frozenset[Subject], one_name: Name | None, others: frozenset[Subject], other_name: Name | None
) -> bool | None:
    if ones and others:
        return bool(ones & others)
    if one_name and other_name:
        return one_name == other_name
    return None
