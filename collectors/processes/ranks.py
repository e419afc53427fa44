"""What a process's environment says about its place in a job. Four keys are looked for; nothing else is kept."""

from dataclasses import dataclass

_KEYS = {
    b"RANK": "rank",
    b"LOCAL_RANK": "local_rank",
    b"WORLD_SIZE": "world_size",
    b"JOB_COMPLETION_INDEX": "completion_index",
}
MOST_FIGURES = 7


@dataclass(frozen=True, slots=True)
class Ranks:
    """As torchrun and indexed Kubernetes jobs set them; None where the environment does not say, or says no figure."""

    rank: int | None = None
    local_rank: int | None = None
    world_size: int | None = None
    completion_index: int | None = None
    """Number of the pod in an indexed job."""


def read_ranks(environ: bytes) -> Ranks:
    """The ranks by the bytes of /proc/PID/environ. Of a key that stands twice the first counts, as for the process.

    >>> read_ranks(b"PATH=/bin\\0RANK=3\\0LOCAL_RANK=x\\0").rank
    3
    """
    said: dict[str, int | None] = {}
    for entry in environ.split(b"\0"):
        name, found, value = entry.partition(b"=")
        field = _KEYS.get(name)
        if found and field is not None and field not in said:
            said[field] = int(value) if value.isdigit() and len(value) <= MOST_FIGURES else None
    return Ranks(**said)


def rank_by_completion_index(ranks: Ranks, local_gpus: int) -> int | None:
    """The rank of a process whose environment names none: completion index x GPUs of a pod + local rank.

    None where one of them is unknown, or where they contradict the world size.
    """
    index, local, world = ranks.completion_index, ranks.local_rank, ranks.world_size
    if ranks.rank is not None or index is None or local is None or not 0 <= local < local_gpus:
        return None
    rank = index * local_gpus + local
    if world is not None and (world % local_gpus or rank >= world):
        return None
    return rank
