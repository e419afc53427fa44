"""A namespace and nodes that belong to one test, on a control plane that many tests share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from testcluster.admin import PATIENCE_SECONDS, Admin, Object
from testcluster.control_plane import ControlPlane
from testcluster.objects import gpu_node, indexed_job, namespace

OWNER_LABEL = "testcluster.watchstander.io/space"


@dataclass
class Space:
    """Made by `open`, and taken away by `close`: the namespace with all in it, and every node of the cluster."""

    plane: ControlPlane
    namespace: str
    _nodes: int = field(default=0, repr=False)

    @classmethod
    def open(cls, plane: ControlPlane, seconds: float = PATIENCE_SECONDS) -> "Space":
        """A fresh namespace, ready for pods."""
        space = cls(plane, f"test-{uuid4().hex[:10]}")
        space.admin.create(namespace(space.namespace))
        space.admin.wait("ServiceAccount", "default", bool, space.namespace, seconds)
        return space

    @property
    def admin(self) -> Admin:
        """With all rights."""
        return self.plane.admin

    @property
    def selector(self) -> dict[str, str]:
        """`nodeSelector` of pods that may run on this space's nodes only."""
        return {OWNER_LABEL: self.namespace}

    def add_nodes(
        self,
        count: int,
        gpus: int = 8,
        racks: int = 0,
        labels: Mapping[str, str] | None = None,
        seconds: float = PATIENCE_SECONDS,
    ) -> list[str]:
        """So many GPU nodes, Ready; their names. `racks`: spread over so many, `rack-0` and on."""
        first, self._nodes = self._nodes, self._nodes + count
        names = [f"{self.namespace}-node-{index:02d}" for index in range(first, self._nodes)]
        for index, name in enumerate(names):
            rack = f"rack-{index % racks}" if racks else ""
            self.admin.create(gpu_node(name, gpus, rack, labels={**self.selector, **(labels or {})}))
        self.admin.wait_list(
            "Node", lambda nodes: all(map(is_ready, nodes)), labels=f"{OWNER_LABEL}={self.namespace}", seconds=seconds
        )
        return names

    def run_job(
        self, name: str = "train", pods: int = 4, gpus: int = 8, seconds: float = PATIENCE_SECONDS, **more: Any
    ) -> list[Object]:
        """An Indexed Job on this space's nodes; its pods, all Running, by completion index."""
        self.admin.create(indexed_job(name, self.namespace, pods, gpus, nodeSelector=self.selector, **more))
        return self.running(f"batch.kubernetes.io/job-name={name}", pods, seconds)

    def running(self, labels: str, pods: int, seconds: float = PATIENCE_SECONDS) -> list[Object]:
        """The pods of these labels once so many of them run and none is ending, by completion index."""

        def alive(found: list[Object]) -> list[Object]:
            return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and phase(pod) == "Running"]

        found = self.admin.wait_list(
            "Pod", lambda found: len(alive(found)) == pods, self.namespace, labels, seconds=seconds
        )
        return sorted(alive(found), key=lambda pod: (completion_index(pod), pod["metadata"]["name"]))

    def close(self) -> None:
        """Without waiting: what is still ending holds no node of the next test."""
        admin = self.admin
        admin.delete("Namespace", self.namespace)
        at_once = {"gracePeriodSeconds": 0}
        admin.request("DELETE", admin.resource("Pod").path(self.namespace), at_once)
        admin.request("DELETE", admin.resource("Node").path(), at_once)


def is_ready(node: Object) -> bool:
    """Its Ready condition is True."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def phase(pod: Object) -> str:
    """Pending, Running ..."""
    return str(pod.get("status", {}).get("phase", ""))


def completion_index(pod: Object) -> int:
    """Of an Indexed Job's pod; -1 for others."""
    return int(pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", -1))
