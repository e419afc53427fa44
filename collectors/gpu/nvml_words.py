"""What the NVML child says, checked as it is read: it shares a process with the driver's library, not with us."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """NVML is loaded; once, first."""

    driver: str
    gpus: list[dict[str, str]]
    """Attributes of `collectors.model.SubjectFacts`, in the order of all later lists; `lost`: why one is not there."""


class GpuProcess(msgspec.Struct, frozen=True, array_like=True):
    """One process with a compute context on a GPU."""

    pid: Count
    """As the driver numbers it for the collector's process namespace; 0 where it does not say."""
    used_bytes: Count | None = None
    """GPU memory; None where the driver does not say (MIG, some containers)."""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """The answer to one look; a value or None for each GPU."""

    id: int
    gauges: dict[str, list[float | None]]
    counters: dict[str, list[Count | None]]
    lost: dict[str, str]
    """Why, by place among the GPUs, as text."""
    processes: list[list[GpuProcess] | None] = []
    """For each GPU, where `gpu_processes` was asked for; None where NVML does not say."""


class Xid(msgspec.Struct, frozen=True):
    """One Xid from NVML's event API; `uuid` is empty where NVML could not say whose it is."""

    uuid: str
    code: int
    time_ns: int


class Xids(msgspec.Struct, frozen=True, tag="xids"):
    """Told between looks."""

    xids: list[Xid]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """NVML cannot be used; the child's last word."""

    why: str


Word = Hello | Look | Xids | Failed

_DECODER: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def read_word(body: bytes) -> Word:
    """Raises msgspec.DecodeError (ValidationError where only its shape is wrong)."""
    return _DECODER.decode(body)
