"""Which pods make up a gang, and when it is whole: what a training job needs before its ranks can meet."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.cluster_view import PodView

SETTLE_NS = 1_500_000_000
"""A gang is whole when all its pods run and no more have come for so long."""
INDEX = "batch.kubernetes.io/job-completion-index"
_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class Gang:
    """The pods with GPUs of one owner."""

    pods: dict[str, PodView] = field(default_factory=dict)
    """By uid; those that are over or deleted are not here."""
    size: int = 0
    """The most that ran at once."""
    changed_ns: int = 0
    exited: set[str] = field(default_factory=set)
    """Pods whose containers have ended, of which the API server does not tell yet."""
    plays: tuple[str, ...] = ()
    """The pods whose ranks are played now, by rank."""

    def running(self) -> list[PodView]:
        """Those whose containers run, by place in the job."""
        alive = [pod for pod in self.pods.values() if pod.phase == "Running" and not pod.deleting]
        alive = [pod for pod in alive if pod.uid not in self.exited]
        return sorted(alive, key=lambda pod: (_place(pod), pod.name))

    def is_whole(self, now_ns: int) -> bool:
        """Whether every pod that is wanted runs."""
        running = self.running()
        wanted = [pod for pod in self.pods.values() if not pod.deleting]
        return bool(running) and len(running) == len(wanted) >= self.size and now_ns - self.changed_ns >= SETTLE_NS


class Gangs:
    """All gangs of a cluster, as the API server tells of their pods."""

    def __init__(self, gpus_per_node: int) -> None:
        """Only pods that hold a whole node are played."""
        self._wide = gpus_per_node
        self._owner_of: dict[str, str] = {}
        self.gangs: dict[str, Gang] = {}
        """By the owner's uid."""

    def see(self, pods: Iterable[PodView], now_ns: int) -> list[str]:
        """Pods that are there, new or changed; a line for each that cannot be played."""
        problems = []
        for pod in pods:
            if not pod.gpus or pod.owner is None:
                continue
            if pod.gpus != self._wide:
                if pod.uid not in self._owner_of:
                    self._owner_of[pod.uid] = ""
                    problems.append(f"pod {pod.namespace}/{pod.name} is not played: it holds {pod.gpus} GPUs")
                continue
            if pod.phase in _OVER:
                self.gone(pod.uid, now_ns)
                continue
            gang = self.gangs.setdefault(pod.owner.uid, Gang())
            if gang.pods.get(pod.uid) != pod:
                gang.pods[pod.uid] = pod
                gang.changed_ns = now_ns
                gang.size = max(gang.size, len(gang.running()))
            self._owner_of[pod.uid] = pod.owner.uid
        return problems

    def gone(self, uid: str, now_ns: int) -> None:
        """A pod has ended or was deleted."""
        gang = self.gangs.get(self._owner_of.pop(uid, ""))
        if gang is not None and gang.pods.pop(uid, None) is not None:
            gang.changed_ns = now_ns
            gang.exited.discard(uid)


def _place(pod: PodView) -> int:
    said = pod.labels.get(INDEX, "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 7 else 0
