"""From Kubernetes objects to facts: which label is the rack, whose pod is a job's, which attempt it is.

A job is known by the UID of what owns its pods, and by its attempt: the number that an annotation states, else how
often its pods have been made anew under their names (or completion indices). A name alone makes no job the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.inventory.objects import Container, Meta, Node, Pod
from agent.inventory.sharing import share
from agent.settings import InventorySettings
from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.inventory import joined

_OVER = frozenset({"Succeeded", "Failed"})
_LONGEST = 253


@dataclass(slots=True)
class _Job:
    """One owner and its pods."""

    name: str
    attempt: int = 0
    namespaces: str = ""
    """Of its pods, with commas between: one, unless a label says that pods of several are one job."""
    image: str = ""
    """Of the containers that ask for GPUs, as the newest pod has it."""
    pods: dict[str, SubjectFacts] = field(default_factory=dict)
    """By UID."""
    slots: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Slot to the UID of the pod that fills it and how many did before: a gang's pods keep their slots."""


@dataclass(slots=True)
class Mapper:
    """Reads nodes and pods of one cluster. Remembers the jobs that there are, for their attempts."""

    cluster: str
    settings: InventorySettings
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _job_of: dict[str, str] = field(default_factory=dict)
    """Pod's UID to its job's key."""
    _nodes: dict[str, Subject] = field(default_factory=dict)
    """Nodes by name, the newest that bears it: pods know their node by its name."""

    def node(self, node: Node) -> list[SubjectFacts]:
        """What a node's object says; nothing for a node without GPUs."""
        status, meta = node.status, node.metadata
        labels = meta.labels or {}
        has_gpus = any(_count((status.capacity if status else None), name) for name in self.settings.gpu_resources)
        if not meta.uid or not (has_gpus or labels.get("nvidia.com/gpu.present") == "true"):
            return []
        attributes = {
            key: value
            for key, names in (
                ("rack", self.settings.rack_labels),
                ("nvlink_domain", self.settings.domain_labels),
                ("pool", self.settings.pool_labels),
            )
            if (value := _first(labels, names))
        }
        if status is not None and status.node_info is not None and status.node_info.boot_id:
            attributes["boot_id"] = status.node_info.boot_id[:_LONGEST]
        if node.spec is not None and node.spec.unschedulable:
            attributes["cordoned"] = "true"
        self._nodes[meta.name] = self._subject(SubjectKind.NODE, meta.uid)
        return [SubjectFacts(self._nodes[meta.name], meta.name[:_LONGEST], None, attributes)]

    def pod(self, pod: Pod) -> list[SubjectFacts]:
        """What a pod's object says of the pod and its job; nothing for a pod without GPUs."""
        meta = pod.metadata
        if not meta.uid or not self._wants_gpus(pod):
            return []
        key = share(self._job_key(meta))
        job = self._jobs.setdefault(key, _Job(self._job_name(meta)))
        job.image = self._image(pod) or job.image
        if meta.namespace not in job.namespaces.split(","):
            job.namespaces = share(joined({meta.namespace, *job.namespaces.split(",")} - {""}))
        attributes = {
            "namespace": share(meta.namespace),
            "phase": share(pod.status.phase if pod.status else ""),
        }
        index = _first(_both(meta), self.settings.index_labels)
        if index:
            attributes["index"] = index
        restarts = sum(one.restart_count for one in (pod.status.container_statuses if pod.status else None) or ())
        if restarts:
            attributes["restarts"] = str(restarts)
        if meta.creation_timestamp:
            attributes["created"] = meta.creation_timestamp[:_LONGEST]
        subject, node = self._subject(SubjectKind.POD, meta.uid), self._nodes.get(pod.spec.node_name)
        facts = SubjectFacts(subject, f"{meta.namespace}/{meta.name}", node, attributes)
        before = job.attempt
        self._count_attempt(job, meta, index or meta.name)
        job.pods[meta.uid], self._job_of[meta.uid] = facts, key
        if job.attempt != before and len(job.pods) > 1:
            return self._all_of(key, job)
        return [self._with_job(facts, key, job), self._job_facts(key, job)]

    def gone(self, kind: SubjectKind, uid: str) -> list[Subject]:
        """What goes with an object that was deleted: itself, and the attempt of a job that has no pods left."""
        subject = self._subject(kind, uid)
        key = self._job_of.pop(uid, None) if kind is SubjectKind.POD else None
        if key is None:
            return [subject]
        job = self._jobs[key]
        job.pods.pop(uid, None)
        # The slots stay while the job has pods: the next pod in one is the next attempt.
        return [subject] if job.pods else [subject, self._job_subject(key, job)]

    def is_known(self, uid: str) -> bool:
        """Whether a pod was one that holds GPUs."""
        return uid in self._job_of

    def forget_empty_jobs(self, most: int = 10_000) -> None:
        """Jobs without pods are kept for their attempts; the oldest go first."""
        if len(self._jobs) > 2 * most:
            empty = [key for key, job in self._jobs.items() if not job.pods]
            for key in empty[: max(0, len(empty) - most)]:
                del self._jobs[key]

    def _all_of(self, key: str, job: _Job) -> list[SubjectFacts]:
        return [*(self._with_job(facts, key, job) for facts in job.pods.values()), self._job_facts(key, job)]

    def _with_job(self, facts: SubjectFacts, key: str, job: _Job) -> SubjectFacts:
        attributes = {**facts.attributes, "job": share(self._job_subject(key, job).id)}
        return SubjectFacts(facts.subject, facts.name, facts.node, attributes)

    def _job_facts(self, key: str, job: _Job) -> SubjectFacts:
        said = {"owner": key, "attempt": str(job.attempt), "namespace": job.namespaces}
        said |= {"image": job.image} if job.image else {}
        return SubjectFacts(self._job_subject(key, job), job.name, None, said)

    def _job_subject(self, key: str, job: _Job) -> Subject:
        return self._subject(SubjectKind.JOB, f"{key}/{job.attempt}")

    def _count_attempt(self, job: _Job, meta: Meta, slot: str) -> None:
        stated = _first(_both(meta), self.settings.attempt_labels)
        if stated and stated.isascii() and stated.isdigit() and len(stated) < 10:
            job.attempt = max(job.attempt, int(stated))
            return
        uid, times = job.slots.get(slot, (meta.uid, 0))
        if uid != meta.uid and meta.uid not in job.pods:
            times += 1
        job.slots[slot] = (meta.uid, times)
        job.attempt = max(job.attempt, times)

    def _job_key(self, meta: Meta) -> str:
        uid = _first(_both(meta), self.settings.job_uid_labels)
        if uid:
            return uid
        owner = next((one for one in meta.owner_references or () if one.controller and one.uid), None)
        grouped = _first(_both(meta), self.settings.job_group_labels)
        if grouped:
            return f"{meta.namespace}/{grouped}"
        return owner.uid if owner is not None else meta.uid

    def _job_name(self, meta: Meta) -> str:
        named = _first(_both(meta), (*self.settings.job_group_labels, *self.settings.job_labels))
        owner = next((one.name for one in meta.owner_references or () if one.controller and one.name), "")
        return (named or owner or meta.name)[:_LONGEST]

    def _wants_gpus(self, pod: Pod) -> bool:
        over = pod.status is not None and pod.status.phase in _OVER
        return not over and any(self._asks(one) for one in (*pod.spec.containers, *(pod.spec.init_containers or ())))

    def _asks(self, container: Container) -> bool:
        held = container.resources
        several = (held.limits, held.requests) if held is not None else ()
        return any(_count(resources, name) for resources in several for name in self.settings.gpu_resources)

    def _image(self, pod: Pod) -> str:
        """What runs on the GPUs."""
        return share(next((one.image for one in pod.spec.containers if self._asks(one)), "")[:_LONGEST])

    def _subject(self, kind: SubjectKind, uid: str) -> Subject:
        return Subject(self.cluster, kind, uid)


def _first(said: dict[str, str], names: Iterable[str]) -> str:
    """The first label of these that says something."""
    return next((share(said[name][:_LONGEST]) for name in names if said.get(name)), "")


def _both(meta: Meta) -> dict[str, str]:
    return {**(meta.annotations or {}), **(meta.labels or {})}


def _count(resources: dict[str, str | int] | None, name: str) -> bool:
    """Whether a resource is asked for: `nvidia.com/gpu`, or `nvidia.com/mig-` for all that begin so."""
    held = resources or {}
    if name.endswith("-"):
        return any(key.startswith(name) and str(value) not in ("", "0") for key, value in held.items())
    return str(held.get(name, "0")) not in ("", "0")
