"""Restart by suspending and resuming: the way of Job, JobSet, TrainJob and, through its Workload, of Kueue.

Suspended, a controller ends all pods of the gang itself and counts none of them as failed: no attempt of
`backoffLimit` or `maxRestarts` is spent, completed indexes stay completed, and the gang moves once, whole. Deleting the
pods instead would be counted, and a Job with `backoffLimit: 0` would be over.

    running ──suspend, mark──> ending ──pods gone──> resume, mark ──> new pods

The mark is an annotation in the same patch as the switch, so the cluster itself says how far a restart is.
"""

from dataclasses import dataclass

from collectors.errors import GiveUp, RetryLater
from policies.cluster import pods as pods_
from policies.cluster.client import Json, path_of
from policies.cluster.jobs import kueue
from policies.cluster.jobs.gang import AGAIN_SECONDS, OWNERS, RESTARTED, SUSPENDED, Gang, Switch
from policies.cluster.look import Look, anew_on_conflict, done, failed, remember, running, skipped
from policies.cluster.marks import annotations, mark, preconditions
from policies.cluster.targets import gone, read
from policies.journal import HALF_WAY, WRITTEN, Progress

AWAY_SECONDS = 5.0
"""Between two looks at an API server that does not answer, where it gives no time of its own."""


@dataclass(frozen=True, slots=True)
class _Restart:
    """One look at a restart: the job, and the object with the switch, which is the job itself or its Workload."""

    look: Look
    gang: Gang
    job: Json
    thing: Json
    path: str
    switch: Switch

    @property
    def is_off(self) -> bool:
        return self.switch.is_off(self.thing)

    @property
    def by_kueue(self) -> str:
        return " through Kueue" if self.thing is not self.job else ""

    def pods(self) -> list[Json]:
        return self.gang.pods(self.look, self.job)

    def turn(self, notes: dict[str, str | None], *, off: bool) -> None:
        body = {"metadata": {**preconditions(self.thing), "annotations": notes}, **self.switch.turn(off)}
        self.look.client.patch(self.path, body)


def advance(look: Look, gang: Gang) -> Progress:
    """The next turn of the switch, or how far the pods are.

    Once begun it does not ask to be tried again, which an executor does only so often: it says that it still waits. A
    job that may be suspended by us is never given up because the API server is away.
    """
    try:
        return anew_on_conflict(lambda: _advance(look, gang))
    except RetryLater as error:
        if "began" not in look.memo:
            raise
        return running(f"{look.step.target}: {error}", error.after_seconds or AWAY_SECONDS)


def verify(look: Look, gang: Gang) -> Progress:
    """Whether the gang runs again, whole."""
    restart = _restart(look, gang)
    if restart is None:
        return skipped(gone(look))
    if over := gang.over(restart.job):
        return done(f"{look.step.target} is {over}")
    if restart.is_off:
        return failed(f"{look.step.target} is suspended, by somebody else; left so")
    return _whole(restart)


def _restart(look: Look, gang: Gang) -> _Restart | None:
    target = look.step.target
    job = read(look.client, target, gang.plural)
    if job is None:
        return None
    owner = pods_.controller(job)
    if owner.get("kind") in OWNERS:
        raise GiveUp(f"{target} belongs to {owner['kind']} {owner['name']}, which would undo it: restart that one")
    workload = kueue.workload_of(look.client, job, target.namespace)
    if workload is not None:
        path = kueue.path_of_workload(workload)
        return _Restart(look, gang, job, workload, path, kueue.ACTIVE)
    path = path_of(target.api_version, gang.plural, target.namespace, target.name)
    return _Restart(look, gang, job, job, path, gang.switch)


def _advance(look: Look, gang: Gang) -> Progress:
    target, ours = look.step.target, mark(look.plan)
    restart = _restart(look, gang)
    if restart is None:
        return skipped(gone(look))
    noted = annotations(restart.thing)
    if noted.get(RESTARTED) == ours:
        told = look.memo.get("said", f"{target} was suspended{restart.by_kueue}, and resumed")
        return remember(_let_go(look, told), told) if HALF_WAY in look.memo else done(told)
    if noted.get(SUSPENDED) == ours:
        return _go_on(restart)
    if over := gang.over(restart.job):
        return failed(f"{target} is {over}: what has ended cannot be restarted; create it anew")
    if restart.is_off or gang.switch.is_off(restart.job):
        return skipped(f"{target} is suspended{restart.by_kueue} already, by somebody else; left so")
    if "began" not in look.memo:
        pods = restart.pods()
        wanted = gang.wanted(restart.job) or max(len(pods), pods_seen(look))
        bound = f"{target} is suspended until its pods are gone, and then let go on"
        memo = {"began": str(look.now_ns), "pods": str(wanted), "names": pods_.names(pods), HALF_WAY: bound}
        return remember(memo, f"{target}: {len(pods)} pods are to be moved together")
    restart.turn({SUSPENDED: ours, RESTARTED: None}, off=True)
    told = f"{target} suspended{restart.by_kueue}; its {look.memo.get('pods', '')} pods end"
    return running(told, AGAIN_SECONDS, changed=True)


def pods_seen(look: Look) -> int:
    """How many pods the gang had when the plan was made: some may be gone by now, of the fault itself."""
    text = look.text("pods_seen")
    return int(text) if text.isascii() and text.isdigit() else 0


def _go_on(restart: _Restart) -> Progress:
    look, target = restart.look, restart.look.step.target
    if not restart.is_off:
        return _resume(restart, f"{target} was suspended for a restart, resumed by somebody else meanwhile")
    left = restart.pods()
    if not left:
        return _resume(restart, f"{target} was suspended{restart.by_kueue} until its pods were gone")
    waited, longest = look.since_began(), look.seconds("suspend_seconds", look.settings.suspend_seconds)
    margin = look.seconds("end_margin_seconds", look.settings.end_margin_seconds)
    now_ns = look.client.server_ns
    stuck = [pod for pod in left if pods_.is_ending(pod) and pods_.overdue_seconds(pod, now_ns) > margin]
    if len(stuck) == len(left) or waited > longest:
        # A job is never left suspended by us: the rest of the gang would pay for one dead node.
        return _resume(restart, f"{target} was suspended, and did not wait for {pods_.names(left)}, which did not end")
    return running(f"{target} is suspended; {len(left)} pods are still ending", AGAIN_SECONDS)


def _resume(restart: _Restart, detail: str) -> Progress:
    try:
        restart.turn({SUSPENDED: None, RESTARTED: mark(restart.look.plan)}, off=False)
    except GiveUp as error:
        raise GiveUp(f"{restart.look.step.target} is STILL SUSPENDED by us; let it go on by hand: {error}") from None
    said = f"{detail}; resumed"
    return remember(_let_go(restart.look, said), said, changed=True)


def _let_go(look: Look, said: str) -> dict[str, str]:
    """The memo from now on: the plan may be stopped again, the job runs on by itself."""
    return {**{key: value for key, value in look.memo.items() if key != HALF_WAY}, "said": said, WRITTEN: said}


def _whole(restart: _Restart) -> Progress:
    """By the number that was moved: a gang runs whole or not at all."""
    look = restart.look
    target, wanted = look.step.target, int(look.memo.get("pods") or 0)
    alive = [pod for pod in restart.pods() if not pods_.is_ending(pod)]
    up = [pod for pod in alive if pod.get("status", {}).get("phase") == "Running"]
    if len(up) >= max(1, wanted):
        return done(f"{target} runs again with {len(up)} pods")
    waited, longest = look.since_began(), look.seconds("start_seconds", look.settings.start_seconds)
    waiting = [pod for pod in alive if pod not in up]
    told = f"{target}: {len(up)} of {wanted} pods run" + (f"; waiting: {pods_.names(waiting)}" if waiting else "")
    if waited > longest:
        return failed(f"{told}; not whole after {waited:.0f} s")
    return running(told, 5.0)
