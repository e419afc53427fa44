"""Reads /proc/PID/cgroup: which pod and which container a process belongs to.

The kubelet names every pod's group after the pod's UID, whatever the driver and the runtime:

    systemd    .../kubepods-burstable-pod1b9c_...slice/cri-containerd-<64 hex>.scope   (`_` for `-`; crio-, docker-)
    cgroupfs   /kubepods/burstable/pod1b9c-.../<64 hex>
    nested     /kubelet.slice/kubelet-kubepods-pod1b9c_...slice/...  (kind), `...slice:cri-containerd:<64 hex>`

Read from inside a container the path may begin with `/../..` instead of what stands before the pod.
"""

import re
from dataclasses import dataclass

_END = r"(?=[/:]|(?: \(deleted\))?\Z)"
"""The kernel adds ` (deleted)` where the group has gone before its last process."""
_UID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
"""A UUID; pods from the node's own manifests (static pods) bear 32 hexadecimal figures instead."""
_POD = re.compile(rf"(?:\A|[/-])pod({_UID})(?:\.slice)?{_END}", re.ASCII | re.IGNORECASE)
_CONTAINER = re.compile(rf"(?:\A|[/:-])([0-9a-f]{{64}})(?:\.scope)?{_END}", re.ASCII)
MOST_LINES = 64
"""cgroup v1 has a line for each of some 14 controllers, v2 one."""


@dataclass(frozen=True, slots=True)
class CgroupOwner:
    """Whose a process is; both None where it runs outside containers, or in a container that is not Kubernetes'."""

    pod_uid: str | None = None
    """Lower case, with hyphens, as the API server and the log folders have it."""
    container_id: str | None = None
    """64 hexadecimal figures."""


def read_owner(text: str) -> CgroupOwner:
    """The owner by the text of /proc/PID/cgroup. What is no line of it is passed over.

    The first pod in a path counts: groups below it are the container's own to name. The first line with a pod counts,
    else the first with a container.

    >>> read_owner("0::/kubepods/burstable/pod1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f/" + 64 * "a").pod_uid
    '1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f'
    """
    container: str | None = None
    for line in text.split("\n", MOST_LINES)[:MOST_LINES]:
        parts = line.split(":", 2)
        if len(parts) != 3 or not parts[2].startswith("/"):
            continue
        path = parts[2]
        pod = _POD.search(path)
        if pod is not None:
            inside = _CONTAINER.search(path, pod.end())
            return CgroupOwner(pod.group(1).lower().replace("_", "-"), inside.group(1) if inside else None)
        if container is None and (found := _CONTAINER.search(path)) is not None:
            container = found.group(1)
    return CgroupOwner(None, container)
