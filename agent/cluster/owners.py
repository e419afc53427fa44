"""Who owns a gang: from a pod's controller up to the object that a person made.

Most of the way stands on the pod itself (owner reference, JobSet's labels). Where a pod cannot know what stands above
its owner, one GET of that owner tells, once, in a thread of its own; until then, and where it may not be read, the
highest owner that is known counts.

| pods of | the gang's owner | how it is known |
| --- | --- | --- |
| Job, PyTorchJob, MPIJob and their like, Volcano Job | itself | the pod's owner reference |
| Job of Kueue | the Job | the pod's owner reference; Kueue suspends it, and owns nothing |
| JobSet | the JobSet | labels; GET tells whether a TrainJob made it |
| TrainJob | the TrainJob | GET of the JobSet |
| LeaderWorkerSet | the LeaderWorkerSet | GET by the name in the label: its StatefulSets own the pods |
| RayJob | the RayJob | GET of the RayCluster |
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from agent.cluster.read import controller_of, time_ns
from agent.inventory.kube_api import KubeApi, Missing
from agent.inventory.objects import Meta
from collectors.errors import FixConfiguration, RetryLater
from policies.cluster_view import Owner

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
MOST_TRIES = 6
"""Then it stays unknown: one broken kind must not keep the whole view from being trusted (G18)."""
JOBSET = "jobset.x-k8s.io/v1alpha2"
LWS = "leaderworkerset.x-k8s.io/v1"
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"
JOBSET_UID = "jobset.sigs.k8s.io/jobset-uid"
LWS_NAME = "leaderworkerset.sigs.k8s.io/name"
ABOVE = {"TrainJob": "trainer.kubeflow.org", "RayJob": "ray.io"}
"""Kinds that own a gang through another object, and their groups. Others above a known owner (a CronJob, a workflow)
start gangs and are none."""


class Question(NamedTuple):
    """An object to be read once, for what stands above it."""

    path: str
    by: str
    """uid of an owner below or of the object itself: a name alone may be used again."""
    owner: Owner
    """As far as it is known; without uid where the answer has to tell it."""
    created_ns: int
    """Of the pod that asks: what is younger than the pod is not its owner."""


class _Object(msgspec.Struct):
    metadata: Meta


def ladder(meta: Meta) -> tuple[tuple[Owner, ...], Question | None]:
    """The owners that a pod itself names, the lowest first, and what to ask for the rest."""
    controller = controller_of(meta)
    if controller is None:
        return (), None
    labels = {**(meta.annotations or {}), **(meta.labels or {})}
    created_ns = time_ns(meta.creation_timestamp)
    jobset = labels.get(JOBSET_NAME)
    if jobset and controller.kind == "Job":
        owner = Owner(JOBSET, "JobSet", jobset, labels.get(JOBSET_UID, ""))
        path = _path(JOBSET, "jobsets", meta.namespace, jobset)
        known = (controller, owner) if owner.uid else (controller,)
        return known, Question(path, owner.uid or controller.uid, owner, created_ns)
    leader = labels.get(LWS_NAME)
    if leader:
        path = _path(LWS, "leaderworkersets", meta.namespace, leader)
        return (controller,), Question(path, controller.uid, Owner(LWS, "LeaderWorkerSet", leader, ""), created_ns)
    if controller.kind == "RayCluster":
        path = _path(controller.api_version, "rayclusters", meta.namespace, controller.name)
        return (controller,), Question(path, controller.uid, controller, created_ns)
    return (controller,), None


class Owners:
    """Answers questions, one at a time, in the thread that calls `run`. `told` hears each answer once."""

    def __init__(self, api: KubeApi, told: Callable[[str, tuple[Owner, ...]], None]) -> None:
        """`told`: is given `Question.by` and the owners above what was known; in the thread of `run`."""
        self._api = api
        self._told = told
        self._line: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._asked: dict[str, int] = {}
        """`by` to how often it was tried in vain."""
        self._open = 0
        self.refused: dict[str, str] = {}
        """Kinds that may not be read, and why: their owners stay unknown."""

    @property
    def waiting(self) -> int:
        """Questions without an answer."""
        return self._open

    def ask(self, question: Question) -> None:
        """Once for each `by`."""
        with self._lock:
            if question.by in self._asked:
                return
            self._asked[question.by] = 0
            self._open += 1
        self._line.put(question)

    def forget(self, by: str) -> None:
        """No pod asks any more."""
        with self._lock:
            self._asked.pop(by, None)

    def run(self, stop: threading.Event) -> None:
        """Answer until told to stop."""
        while not stop.is_set():
            question = self._line.get()
            if question is None:
                return
            try:
                above = self._answer(question)
            except RetryLater as error:
                if not self._given_up(question, str(error)):
                    self._line.put(question)
                    stop.wait(AGAIN_SECONDS)
                    continue
                above = ()
            self._told(question.by, above)
            with self._lock:
                self._open -= 1

    def end(self) -> None:
        """Let `run` return."""
        self._line.put(None)

    def _answer(self, question: Question) -> tuple[Owner, ...]:
        try:
            body = self._api.get(question.path, {})
            meta = msgspec.json.decode(body, type=_Object).metadata
        except (Missing, FixConfiguration) as error:
            self._refuse(question, str(error))
            return ()
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return ()
        found = question.owner
        if found.uid and meta.uid != found.uid:
            return ()  # another one under its name
        if question.created_ns and time_ns(meta.creation_timestamp) > question.created_ns:
            return ()
        above = controller_of(meta)
        chain: tuple[Owner, ...] = () if found.uid else (msgspec.structs.replace(found, uid=meta.uid),)
        if above is not None and above.api_version.partition("/")[0] == ABOVE.get(above.kind):
            chain += (above,)
        return chain

    def _given_up(self, question: Question, why: str) -> bool:
        with self._lock:
            if question.by not in self._asked:
                return True  # nobody waits for it any more
            self._asked[question.by] += 1
            if self._asked[question.by] < MOST_TRIES:
                return False
        self._refuse(question, why)
        return True

    def _refuse(self, question: Question, why: str) -> None:
        kind = question.owner.kind
        if kind not in self.refused:
            _log.warning("cluster: what owns a %s stays unknown: %s", kind, why)
        self.refused[kind] = why


def _path(api_version: str, plural: str, namespace: str, name: str) -> str:
    return f"/apis/{api_version}/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
