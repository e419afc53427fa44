"""LeaderWorkerSet: a group is one leader and its workers. It cannot be suspended; deleting a group's leader, in the
foreground, takes its workers with it, and the controller makes the whole group anew.

Arguments: `groups` (indexes, by comma), or `node` (name: the groups with a pod there); without either, all groups.
Memo: `leaders`, the uids that are to go, since afterwards new ones bear their names.
"""

from policies.cluster import pods as pods_
from policies.cluster.client import Conflicted, Json, NotThere, path_of
from policies.cluster.jobs.gang import AGAIN_SECONDS
from policies.cluster.look import Look, done, failed, remember, running, skipped
from policies.cluster.marks import labels, preconditions
from policies.cluster.targets import gone, read
from policies.journal import Progress

API_VERSION, KIND, PLURAL = "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets"
NAME = "leaderworkerset.sigs.k8s.io/name"
GROUP = "leaderworkerset.sigs.k8s.io/group-index"
WORKER = "leaderworkerset.sigs.k8s.io/worker-index"


def advance(look: Look) -> Progress:
    """Delete the leaders that the memo names, then wait until none of them is left."""
    job = read(look.client, look.step.target, PLURAL)
    if job is None:
        return skipped(gone(look))
    pods = _pods(look)
    if "leaders" not in look.memo:
        return _choose(look, pods)
    old = set(look.memo["leaders"].split(","))
    leaders = [pod for pod in pods if pods_.uid(pod) in old]
    to_delete = [pod for pod in leaders if not pods_.is_ending(pod)]
    for pod in to_delete:
        _delete(look, pod)
    if leaders:
        waited, longest = look.since_began(), look.seconds("suspend_seconds", look.settings.suspend_seconds)
        told = f"{look.step.target}: leaders {pods_.names(leaders)} are ending with their workers"
        if waited > longest:
            return failed(f"{told}; not gone after {waited:.0f} s", changed=bool(to_delete))
        return running(told, AGAIN_SECONDS, changed=bool(to_delete))
    return done(f"{look.step.target}: groups {look.memo.get('groups', '')} are made anew by their controller")


def verify(look: Look) -> Progress:
    """Whether the groups run again, each with all its pods, and none of the old leaders."""
    job = read(look.client, look.step.target, PLURAL)
    if job is None:
        return skipped(gone(look))
    groups = set(look.memo.get("groups", "").split(","))
    size = int(job.get("spec", {}).get("leaderWorkerTemplate", {}).get("size", 1))
    up = [
        pod
        for pod in _pods(look)
        if _group(pod) in groups
        and pods_.uid(pod) not in look.memo.get("leaders", "").split(",")
        and not pods_.is_ending(pod)
        and pod.get("status", {}).get("phase") == "Running"
    ]
    told = f"{look.step.target}: {len(up)} of {size * len(groups)} pods of groups {look.memo.get('groups', '')} run"
    if len(up) == size * len(groups):
        return done(told)
    waited, longest = look.since_began(), look.seconds("start_seconds", look.settings.start_seconds)
    return failed(f"{told}; not whole after {waited:.0f} s") if waited > longest else running(told, 5.0)


def _choose(look: Look, pods: list[Json]) -> Progress:
    groups = set(filter(None, look.text("groups").split(",")))
    if node := look.text("node"):
        groups |= {_group(pod) for pod in pods if pod.get("spec", {}).get("nodeName") == node}
    if not groups and not look.text("node"):
        groups = {_group(pod) for pod in pods}
    leaders = [pod for pod in pods if labels(pod).get(WORKER) == "0" and _group(pod) in groups]
    if not leaders:
        return skipped(f"{look.step.target} has no group {'on ' + node if node else ''} to restart")
    told = ",".join(sorted(groups, key=lambda one: (len(one), one)))
    memo = {"began": str(look.now_ns), "leaders": ",".join(map(pods_.uid, leaders)), "groups": told}
    return remember(memo, f"{look.step.target}: groups {told} are to be restarted")


def _delete(look: Look, pod: Json) -> None:
    """Foreground: the pod stays until its workers are gone, so that no new leader meets old workers."""
    body = {"preconditions": preconditions(pod), "propagationPolicy": "Foreground"}
    try:
        look.client.delete(path_of("v1", "pods", look.step.target.namespace, pod["metadata"]["name"]), body)
    except (NotThere, Conflicted):
        return  # gone, or changed since it was listed: the next look sees which


def _pods(look: Look) -> list[Json]:
    found = pods_.pods_labelled(look.client, look.step.target.namespace, f"{NAME}={look.step.target.name}")
    return [pod for pod in found if not pods_.is_over(pod)]


def _group(pod: Json) -> str:
    return labels(pod).get(GROUP, "")
