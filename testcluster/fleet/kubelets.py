"""What the kubelets of played nodes tell the API server: containers that have ended, nodes that are not ready.

KWOK plays the rest of a kubelet. Writes go out on a thread of their own, so that a slow API server holds up no look.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from collectors.errors import RetryLater, WatchError
from policies.cluster_view import PodView
from testcluster.admin import Admin, ApiError, Object
from testcluster.commands import NOT_READY

_log = logging.getLogger(__name__)

TRIES, WAIT_SECONDS = 30, 1.0


class Kubelets:
    """Owns the thread. `stop` once."""

    def __init__(self, admin: Admin, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`admin` may patch the status of pods and the labels of nodes."""
        self._admin, self._now = admin, now
        self._line: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelets", daemon=True)
        self._thread.start()

    def containers_ended(self, pods: Sequence[PodView], code: int) -> None:
        """All containers of these pods have exited with a code; the pods are Failed."""
        for pod in pods:
            status = failed(pod, code, self._now())
            self._line.put(lambda pod=pod, status=status: self._end(pod, status))  # type: ignore[misc]

    def node_ready(self, node: str, ready: bool) -> None:
        """What a node's kubelet says of itself from now on."""
        labels = dict.fromkeys(NOT_READY) if ready else dict(NOT_READY)
        self._line.put(lambda: self._admin.patch("Node", node, {"metadata": {"labels": labels}}))

    def stop(self) -> None:
        """Do what is in line, once each, and end."""
        self._stop.set()
        self._line.put(None)
        self._thread.join()

    def _end(self, pod: PodView, status: Object) -> None:
        held = self._admin.find("Pod", pod.name, pod.namespace)
        if held is None or held["metadata"]["uid"] != pod.uid or "deletionTimestamp" in held["metadata"]:
            return  # somebody else has ended it
        # the version: a pod that has changed since is looked at anew
        version = held["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "uid": pod.uid}, "status": status}
        self._admin.patch("Pod", pod.name, patch, pod.namespace, "status")

    def _run(self) -> None:
        while (write := self._line.get()) is not None:
            for _ in range(TRIES):
                try:
                    write()
                except ApiError as error:
                    if error.status not in (409, 429, 500, 503):
                        _log.warning("kubelet: %s", error)
                        break
                except RetryLater as error:
                    _log.warning("kubelet: %s; tried again", error)
                except WatchError as error:
                    _log.warning("kubelet: %s", error)
                    break
                else:
                    break
                if self._stop.wait(WAIT_SECONDS):
                    break


def failed(pod: PodView, code: int, at: datetime) -> Object:
    """The status that a kubelet writes for a pod whose one container has exited."""
    when = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": code, "reason": "Error", "startedAt": when, "finishedAt": when}
    conditions = [
        {"type": kind, "status": "False", "reason": "PodFailed", "lastTransitionTime": when}
        for kind in ("Ready", "ContainersReady")
    ]
    container = {
        "name": "main",
        "image": "registry.invalid/trainer:1",
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    return {"phase": "Failed", "conditions": conditions, "containerStatuses": [container]}
