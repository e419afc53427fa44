"""What the path of a container's log says, and the names of jobs and ranks that are made from it.

The kubelet writes `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<N>.log`; `/var/log/containers/` holds links to
those. The folder above may be any: a DaemonSet mounts the host's where it likes.
"""

import os
import re
from dataclasses import dataclass

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,251}[a-z0-9])?"
_FOLDER = re.compile(
    rf"(?P<namespace>{_LABEL})_(?P<pod>[a-z0-9](?:[-.a-z0-9]{{0,251}}[a-z0-9])?)_(?P<uid>[0-9a-f][-0-9a-f]{{6,62}}[0-9a-f])",
    re.ASCII,
)
_CONTAINER = re.compile(_LABEL, re.ASCII)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_RANDOM = "bcdfghjklmnpqrstvwxz2456789"
"""The characters of Kubernetes' random names and hashes: no vowels, no 0, 1, 3."""
_SUFFIX = re.compile(rf"-[{_RANDOM}]{{5}}\Z")
_REPLICA_SET = re.compile(rf"-[{_RANDOM}]{{8,10}}\Z")
_INDEX = re.compile(r"-(\d{1,7})\Z", re.ASCII)
_ROLE = re.compile(r"-(?:master|worker|launcher|chief|ps|evaluator)\Z")
PLACEHOLDERS = ("namespace", "pod", "pod_base", "pod_index", "container")
MOST_CHARACTERS = 253
"""Of a filled template; as of every name in the settings."""
_MOST_LINKS = 4


@dataclass(frozen=True, slots=True)
class PodLog:
    """The container whose log a file is."""

    namespace: str
    pod: str
    uid: str
    """The pod's, as the API server has it."""
    container: str


def read_folder(name: str) -> tuple[str, str, str] | None:
    """Namespace, pod and uid by the name of a pod's log folder; None where it is none."""
    found = _FOLDER.fullmatch(name)
    return (found["namespace"], found["pod"], found["uid"]) if found else None


def read_path(path: str) -> PodLog | None:
    """Whose log this path is, by its last three parts alone; None where it is no pod's.

    >>> read_path("/var/log/pods/train_llama-0_1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f/main/0.log").pod
    'llama-0'
    """
    parts = path.rsplit("/", 3)
    if len(parts) < 3 or not _CONTAINER.fullmatch(parts[-2]):
        return None
    folder = read_folder(parts[-3])
    return PodLog(*folder, parts[-2]) if folder else None


def find_pod_log(path: str) -> PodLog | None:
    """Whose log this file is, by its path or by where its links lead: `/var/log/containers/*.log` are links."""
    for _ in range(_MOST_LINKS):
        found = read_path(path)
        if found is not None:
            return found
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120 - text
        except (OSError, ValueError):
            return None
    return None


def pod_base(pod: str) -> str:
    """The name of what made the pod: without random suffixes, indices at the end, and the role before an index.

    Takes off, in this order: a random suffix of five characters; behind that a ReplicaSet's hash; up to two indices;
    where there was an index, the role that training operators put before it (master, worker, launcher, chief, ps,
    evaluator).

    >>> [pod_base(name) for name in ("llama-0", "llama-3-x7k2p", "llama-worker-3", "llama-70b-6d9f8b6c5d-x7k2p")]
    ['llama', 'llama', 'llama', 'llama-70b']
    """
    return _take_apart(pod)[0]


def pod_index(pod: str) -> int | None:
    """The last index in the name, behind which only a random suffix may stand; None where there is none.

    >>> [pod_index(name) for name in ("llama-0", "llama-3-x7k2p", "llama-70b")]
    [0, 3, None]
    """
    return _take_apart(pod)[1]


def _take_apart(pod: str) -> tuple[str, int | None]:
    base = _SUFFIX.sub("", pod)
    if base != pod:
        base = _REPLICA_SET.sub("", base)
    index: int | None = None
    for _ in range(2):
        found = _INDEX.search(base)
        if found is None or found.start() == 0:
            break
        index = int(found.group(1)) if index is None else index
        base = base[: found.start()]
    if index is not None:
        base = _ROLE.sub("", base)
    return (base, index) if base else (pod, index)


def unknown_placeholders(template: str) -> list[str]:
    """Names in braces that no path can fill."""
    return [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]


def is_template(text: str) -> bool:
    """Whether it has a placeholder."""
    return _PLACEHOLDER.search(text) is not None


def fill(template: str, log: PodLog | None) -> str | None:
    """The template with its placeholders filled; None where the log does not say what one of them asks for.

    Placeholders: {namespace}, {pod}, {pod_base}, {pod_index}, {container}.
    """
    if not is_template(template):
        return template
    if log is None:
        return None
    index = pod_index(log.pod)
    said = {
        "namespace": log.namespace,
        "pod": log.pod,
        "pod_base": pod_base(log.pod),
        "pod_index": None if index is None else str(index),
        "container": log.container,
    }
    if any(said.get(name) is None for name in _PLACEHOLDER.findall(template)):
        return None
    filled = _PLACEHOLDER.sub(lambda found: said[found.group(1)] or "", template)
    return filled if len(filled) <= MOST_CHARACTERS else None


def fill_rank(rank: int | str | None, log: PodLog | None) -> int | None:
    """The rank by a figure or a template; None where what comes out is no figure."""
    if not isinstance(rank, str):
        return rank
    text = fill(rank, log)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 7 else None
