"""Names of pods and containers by the folders that the kubelet keeps of their logs, followed or not."""

import os
import re

from collectors.processes.pod_log import read_folder

RESCAN_NS = 10 * 10**9
"""How often the folders are looked through again for a pod that they did not name."""
_LINK = re.compile(r"[^_]+_[^_]+_(?P<container>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)-(?P<id>[0-9a-f]{64})\.log", re.ASCII)
_MOST_KEPT = 4096


class PodFolders:
    """`/var/log/pods`, and `containers` beside it, whose links name containers by their ids."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._pods: dict[str, tuple[str, str]] = {}
        self._containers: dict[str, str] = {}
        self._next_pods_ns = self._next_containers_ns = 0

    def pod_name(self, uid: str, now_ns: int) -> tuple[str, str] | None:
        """Namespace and name; None where no folder tells."""
        if uid not in self._pods and _is_due(self._next_pods_ns, now_ns):
            self._next_pods_ns = now_ns + RESCAN_NS
            found = [folder for name in _names(self._root) if (folder := read_folder(name))]
            self._pods = {uid: (namespace, pod) for namespace, pod, uid in found[-_MOST_KEPT:]}
        return self._pods.get(uid)

    def container_name(self, uid: str, name: tuple[str, str] | None, container_id: str, now_ns: int) -> str | None:
        """Of a pod by its uid and name: by the link that bears the container's id, else the pod's only container with a
        log; None where unclear."""
        if container_id not in self._containers and _is_due(self._next_containers_ns, now_ns):
            self._next_containers_ns = now_ns + RESCAN_NS
            links = os.path.join(os.path.dirname(self._root.rstrip("/")), "containers")  # noqa: PTH118, PTH120
            found = [link for name in _names(links) if (link := _LINK.fullmatch(name))]
            self._containers = {link["id"]: link["container"] for link in found[-_MOST_KEPT:]}
        if container_id in self._containers:
            return self._containers[container_id]
        if name is None:
            return None
        folder = f"{self._root}/{name[0]}_{name[1]}_{uid}"
        containers = [name for name in _names(folder) if os.path.isdir(f"{folder}/{name}")]  # noqa: PTH112
        return containers[0] if len(containers) == 1 else None


def _is_due(next_ns: int, now_ns: int) -> bool:
    """Also after the clock was set back."""
    return now_ns >= next_ns or now_ns < next_ns - RESCAN_NS


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted, not paths
    except OSError:
        return []
