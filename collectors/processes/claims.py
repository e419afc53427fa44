"""Who holds each GPU at one moment, by the processes on it: a pod, or a job outside pods; none; or several at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collectors.model import Subject
from collectors.processes.proc import Process
from collectors.processes.ranks import rank_by_completion_index

HELPERS = frozenset({"nvidia-cuda-mps", "nvidia-cuda-mps-server"})
"""MPS keeps a server process of its own on each GPU; it works for nobody. The kernel cuts names after 15 characters."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A pod by its UID, or, where `pod_uid` is empty, what runs outside pods for one job."""

    pod_uid: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the processes on one GPU say of it."""

    owners: tuple[Owner, ...] = ()
    """In the order of their names; more than one where a GPU is shared (time-slicing, MPS)."""
    processes: tuple[Process, ...] = ()
    """Those of the only owner, oldest first."""


def claims(
    processes: Mapping[Subject, tuple[Process, ...]], job_outside_pods: Callable[[Process], str | None]
) -> dict[Subject, Claim]:
    """One claim for each GPU. Processes that belong to no pod and to no known job claim nothing."""
    made: dict[Subject, Claim] = {}
    for gpu, running in processes.items():
        by_owner: dict[Owner, list[Process]] = {}
        for process in running:
            owner = None if process.comm in HELPERS else _owner(process, job_outside_pods)
            if owner is not None:
                by_owner.setdefault(owner, []).append(process)
        owners = tuple(sorted(by_owner, key=lambda owner: (owner.pod_uid, owner.job)))
        members = by_owner[owners[0]] if len(owners) == 1 else []
        members.sort(key=lambda process: (process.id.start_ticks, process.id.pid))
        made[gpu] = Claim(owners, tuple(members))
    return made


def _owner(process: Process, job_outside_pods: Callable[[Process], str | None]) -> Owner | None:
    if process.owner.pod_uid:
        return Owner(pod_uid=process.owner.pod_uid)
    job = job_outside_pods(process)
    return Owner(job=job) if job else None


def lead_processes(made: Mapping[Subject, Claim]) -> dict[Subject, Process]:
    """The process that each GPU works for, where one owner holds it: the oldest with a rank, else the oldest.

    Where processes of several ranks have a context on one GPU (a careless `cuda:0` in every rank does that), those that
    have another GPU to themselves are at home there. Where more than one rank is left then, none leads.
    """
    homes: dict[Process, set[Subject]] = {}
    for gpu, claim in made.items():
        if len(claim.processes) == 1:
            homes.setdefault(claim.processes[0], set()).add(gpu)
    leads: dict[Subject, Process] = {}
    for gpu, claim in made.items():
        ranked = [process for process in claim.processes if process.ranks.rank is not None]
        if len({process.ranks.rank for process in ranked}) > 1:
            ranked = [process for process in ranked if process not in homes]
            if len({process.ranks.rank for process in ranked}) != 1:
                continue
        if ranked or claim.processes:
            leads[gpu] = (ranked or claim.processes)[0]
    return leads


def rank_of(process: Process, settled_local_gpus: int | None) -> int | None:
    """By its environment; else by completion index and local rank, where it is certain how many GPUs its pod has."""
    if process.ranks.rank is not None or settled_local_gpus is None:
        return process.ranks.rank
    return rank_by_completion_index(process.ranks, settled_local_gpus)
