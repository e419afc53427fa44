"""Who holds each GPU over time: `pod_uid`, `namespace`, `pod`, `container`, `pid`, `job`, `rank`, each where known.

A process that ends takes its GPU out of the job only after `LINGER_NS`: a crashed rank must not drop out of its job in
the very moment in which it matters. Another owner's process takes over at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.gpu.nvml_words import GpuProcess
from collectors.model import Subject
from collectors.processes.claims import Claim, Owner, claims, lead_processes, rank_of
from collectors.processes.followed import FollowedLogs
from collectors.processes.pod_folders import PodFolders
from collectors.processes.proc import Proc, Process, ProcessId

LINGER_NS = 120 * 10**9
"""How long a GPU stays its last holder's after the holder's process has gone. Own choice: longer than a collective
needs to be found hanging and a pod to be replaced; a job that is over is out of its GPUs two minutes later."""
SHARED_NS = 30 * 10**9
"""How long a second owner must stay before a GPU counts as shared: a health check comes and goes. Own choice."""
SETTLED_NS = 30 * 10**9
"""How long the number of a pod's GPUs must have stood before ranks are counted by it: its processes reach their GPUs
one after the other. Own choice: contexts of one start come within seconds."""
ENVIRON_TRIES = 12
"""Looks at an environment without a rank: a launcher forks first and sets it after."""
MOST_PODS_NAMED = 8


@dataclass(slots=True)
class _Met:
    process: Process
    environ_tries: int = 1


@dataclass(slots=True)
class _Hold:
    owner: Owner | None
    """None while the GPU is shared."""
    attributes: dict[str, str]
    lead: ProcessId | None
    world_size: int | None
    gone_since_ns: int | None = None
    shared_since_ns: int | None = None


class GpuHolders:
    """Told of the processes on each GPU now and then, it says what to add to the facts about each."""

    def __init__(self, proc: Proc, folders: PodFolders, job_outside_pods: str = "") -> None:
        """`job_outside_pods`: the job of whatever runs outside pods; empty: found by the log that is its output."""
        self._proc = proc
        self._folders = folders
        self._job_outside_pods = job_outside_pods
        self._met: dict[int, _Met] = {}
        self._holds: dict[Subject, _Hold] = {}
        self._jobs_by_output: dict[ProcessId, str] = {}
        self._jobs_by_pod: dict[str, str] = {}
        self._local_gpus: dict[str, tuple[int, int]] = {}

    def update(
        self,
        processes: Mapping[Subject, Sequence[GpuProcess] | None],
        followed: FollowedLogs,
        now_ns: int,
    ) -> None:
        """The processes on each GPU now; None where that is not known, because the GPU is lost, say."""
        running = self._meet(processes)
        made = claims(running, lambda process: self._job_outside(process, followed))
        leads = lead_processes(made)
        self._count_local_gpus(made, now_ns)
        for gpu, listed in processes.items():
            self._judge(gpu, made[gpu], leads.get(gpu), followed, now_ns, listed_known=listed is not None)
        self._forget()

    def attributes(self, gpu: Subject) -> dict[str, str]:
        """What to add to the facts about a GPU; empty where nobody is known to hold it."""
        hold = self._holds.get(gpu)
        return hold.attributes if hold else {}

    def world_sizes(self) -> dict[str, int]:
        """Number of ranks by job, where the processes of a job agree on one."""
        said: dict[str, set[int]] = {}
        for hold in self._holds.values():
            job = hold.attributes.get("job")
            if job and hold.world_size:
                said.setdefault(job, set()).add(hold.world_size)
        return {job: sizes.pop() for job, sizes in sorted(said.items()) if len(sizes) == 1}

    def process(self, pid: int) -> Process | None:
        """A process as it was met at the last update."""
        met = self._met.get(pid)
        return met.process if met else None

    def _meet(self, processes: Mapping[Subject, Sequence[GpuProcess] | None]) -> dict[Subject, tuple[Process, ...]]:
        pids = {one.pid for listed in processes.values() for one in listed or () if one.pid > 0}
        for pid in [pid for pid in self._met if pid not in pids]:
            del self._met[pid]
        for pid in pids:
            met = self._met.get(pid)
            if met is None or not self._proc.is_alive(met.process.id):
                self._met.pop(pid, None)
                process = self._proc.process(pid)
                if process is not None:
                    self._met[pid] = _Met(process)
            elif met.process.ranks.rank is None and met.environ_tries < ENVIRON_TRIES:
                met.process = self._proc.read_ranks_again(met.process)
                met.environ_tries += 1
        return {
            gpu: tuple(self._met[pid].process for pid in dict.fromkeys(o.pid for o in listed or ()) if pid in self._met)
            for gpu, listed in processes.items()
        }

    def _job_outside(self, process: Process, followed: FollowedLogs) -> str | None:
        return self._job_outside_pods or self._job_by_output(process, followed)

    def _job_by_output(self, process: Process, followed: FollowedLogs) -> str | None:
        """The job whose followed log is stdout or stderr of the process or of its nearest ancestor of which one is."""
        known = self._jobs_by_output.get(process.id)
        if known is not None or not followed.file_names:
            return known
        for pid in self._proc.lineage(process.id.pid):
            files = self._proc.outputs(pid, followed.file_names)
            job = followed.job_of_files(files)
            if job is not None:
                self._jobs_by_output[process.id] = job
                return job
            if files:
                return None
        return None

    def _job_of(self, claim: Claim, container: str | None, followed: FollowedLogs) -> str | None:
        owner = claim.owners[0]
        if not owner.pod_uid:
            return owner.job
        job = followed.job_of_pod(owner.pod_uid, container)
        if job is None:
            # A log is away for a moment while it is rotated, and its pod's job is not.
            job = self._jobs_by_pod.get(owner.pod_uid)
        if job is None:
            jobs = {found for process in claim.processes if (found := self._job_by_output(process, followed))}
            return jobs.pop() if len(jobs) == 1 else None
        self._jobs_by_pod[owner.pod_uid] = job
        return job

    def _count_local_gpus(self, made: Mapping[Subject, Claim], now_ns: int) -> None:
        """The most GPUs at once that a pod has had, and since when: one that crashes does not make its pod smaller."""
        counts: dict[str, int] = {}
        for claim in made.values():
            if len(claim.owners) == 1 and claim.owners[0].pod_uid:
                counts[claim.owners[0].pod_uid] = counts.get(claim.owners[0].pod_uid, 0) + 1
        for uid, count in counts.items():
            most, since_ns = self._local_gpus.get(uid, (0, now_ns))
            if count > most or now_ns < since_ns:
                self._local_gpus[uid] = (max(count, most), now_ns)

    def _judge(
        self,
        gpu: Subject,
        claim: Claim,
        lead: Process | None,
        followed: FollowedLogs,
        now_ns: int,
        *,
        listed_known: bool,
    ) -> None:
        hold = self._holds.get(gpu)
        if not claim.owners:
            self._let_go(gpu, now_ns, listed_known=listed_known)
        elif len(claim.owners) > 1:
            if hold is not None and hold.owner in claim.owners:
                if hold.shared_since_ns is None or now_ns < hold.shared_since_ns:
                    hold.shared_since_ns = now_ns
                if now_ns - hold.shared_since_ns < SHARED_NS:
                    return
            pods = [self._pod_name(owner.pod_uid, followed, now_ns) for owner in claim.owners if owner.pod_uid]
            named = ",".join(pods[:MOST_PODS_NAMED]) + (",..." if len(pods) > MOST_PODS_NAMED else "")
            self._holds[gpu] = _Hold(None, {"pods": named}, None, None)
        else:
            fresh = self._hold(claim, lead, followed, now_ns)
            if hold is None or not _lacks_its_rank(hold, fresh) or self._let_go(gpu, now_ns, listed_known=listed_known):
                self._holds[gpu] = fresh

    def _let_go(self, gpu: Subject, now_ns: int, *, listed_known: bool) -> bool:
        """Note that the holder's process has gone; True once that is long enough ago, and the GPU is free."""
        hold = self._holds.get(gpu)
        if hold is None:
            return True
        if not listed_known and hold.lead is not None and self._proc.is_alive(hold.lead):
            hold.gone_since_ns = None
            return False
        if hold.gone_since_ns is None or now_ns < hold.gone_since_ns:
            hold.gone_since_ns = now_ns
        if now_ns - hold.gone_since_ns < LINGER_NS and hold.owner is not None:
            return False
        del self._holds[gpu]
        return True

    def _hold(self, claim: Claim, lead: Process | None, followed: FollowedLogs, now_ns: int) -> _Hold:
        owner = claim.owners[0]
        attributes: dict[str, str] = {}
        container: str | None = None
        if owner.pod_uid:
            attributes["pod_uid"] = owner.pod_uid
            name = followed.pod_name(owner.pod_uid) or self._folders.pod_name(owner.pod_uid, now_ns)
            if name is not None:
                attributes["namespace"], attributes["pod"] = name
            ids = {process.owner.container_id for process in claim.processes}
            container_id = lead.owner.container_id if lead else ids.pop() if len(ids) == 1 else None
            if container_id:
                container = self._folders.container_name(owner.pod_uid, name, container_id, now_ns)
            if container:
                attributes["container"] = container
        job = self._job_of(claim, container, followed)
        if job:
            attributes["job"] = job
        if lead is not None:
            attributes["pid"] = str(lead.id.pid)
            count, since_ns = self._local_gpus.get(owner.pod_uid, (0, now_ns))
            rank = rank_of(lead, count if count and now_ns - since_ns >= SETTLED_NS else None)
            if rank is not None:
                attributes["rank"] = str(rank)
        return _Hold(owner, attributes, lead.id if lead else None, lead.ranks.world_size if lead else None)

    def _pod_name(self, uid: str, followed: FollowedLogs, now_ns: int) -> str:
        name = followed.pod_name(uid) or self._folders.pod_name(uid, now_ns)
        return "/".join(name) if name else uid

    def _forget(self) -> None:
        """Keep nothing about pods and processes that hold no GPU."""
        uids = {hold.owner.pod_uid for hold in self._holds.values() if hold.owner}
        self._jobs_by_pod = {uid: job for uid, job in self._jobs_by_pod.items() if uid in uids}
        self._local_gpus = {uid: count for uid, count in self._local_gpus.items() if uid in uids}
        met = {one.process.id for one in self._met.values()}
        self._jobs_by_output = {key: job for key, job in self._jobs_by_output.items() if key in met}


def _lacks_its_rank(hold: _Hold, fresh: _Hold) -> bool:
    """The rank's own process has gone, and something else of the same owner is still there."""
    return (
        hold.owner == fresh.owner
        and hold.lead != fresh.lead
        and "rank" in hold.attributes
        and "rank" not in fresh.attributes
    )
