"""One flight-recorder dump to one event: which collective this rank waits in, and how far each process group came."""

import os
import re
import stat
from pathlib import Path
from typing import Any

from collectors.errors import GiveUp
from collectors.flight_recorder.plain_pickle import loads
from collectors.masking import evidence
from collectors.model import Event, EventKind, EventSource, Subject

MAX_BYTES = 8 * 1024 * 1024
"""2,000 entries (PyTorch's usual number) take 370 KB and a quarter of a second; stack traces make it a few MB."""
_MOST_ENTRIES = 20_000
_MOST_GROUPS = 256
_RANK_IN_NAME = re.compile(r"(?:rank|dump)?_?(\d{1,7})(?:\.\w{1,16})?$", re.ASCII | re.IGNORECASE)
_DONE = "completed"


def read_flight_recorder(path: Path, job: Subject, rank: int | None = None) -> Event:
    """Read a dump as PyTorch 2.3 and newer write it (`TORCH_FR_DUMP_TEMP_FILE` + rank).

    The dump does not name its own rank: it is taken from the file's name (`nccl_trace_rank_3.pickle`, `dump_3`) unless
    given. Values: `rank`, `world_size`; of the group that hangs (or else of the default group)
    `last_enqueued_sequence`, `last_started_sequence`, `last_completed_sequence`, and of every group the same with `/`
    and its id behind; `waiting_collectives`, and of the one that has waited longest `sequence_number`,
    `input_elements`, `output_elements`, `timeout_seconds`. Attributes: `operation`, `state` (scheduled or started),
    `input_sizes`, `output_sizes`, `data_type`, `process_group`, `rank`, `path`. The event's time is the newest in the
    dump, or that of the file where the dump holds no collectives. -1 is PyTorch's word for "none yet" and is left out.

    A dump without any collective is the most telling: this rank waits for nobody, and the others wait for it. A rank
    without a dump is evidence too, which only its absence can tell.

    Raises GiveUp where the file is no sound dump: too big, no plain data, or of another shape.
    """
    dump, written_ns = _load(path)
    entries = [entry for entry in dump["entries"][-_MOST_ENTRIES:] if isinstance(entry, dict)]
    times = [time_ns for entry in entries for time_ns in _times(entry)]
    if not entries and (dump["entries"] or not isinstance(dump.get("pg_status"), dict)):
        raise GiveUp(f"flight recorder dump {path}: it holds neither collectives nor the state of a group; not read")
    waiting = sorted(
        (e for e in entries if e.get("state") != _DONE), key=lambda e: _whole(e.get("time_created_ns")) or 0
    )
    if rank is None:
        named = _RANK_IN_NAME.search(path.name)
        rank = int(named[1]) if named is not None else None
    values: dict[str, float] = {"waiting_collectives": float(len(waiting))}
    attributes = {"path": str(path)}
    if rank is not None:
        values["rank"] = float(rank)
        attributes["rank"] = str(rank)
    world_size = _world_size(dump.get("pg_config"))
    if world_size:
        values["world_size"] = float(world_size)
    _groups(values, dump.get("pg_status"), waiting)
    if waiting:
        _first_waiting(values, attributes, waiting[0])
    return Event(
        kind=EventKind.FLIGHT_RECORDER,
        subject=job,
        time_ns=max(times, default=written_ns),
        source=EventSource.TRAINING_LOG,
        values=values,
        attributes={name: evidence(text, 500) for name, text in attributes.items() if text},
        line=_sentence(rank, len(waiting), attributes.get("operation", ""), values.get("sequence_number")),
    )


def _load(path: Path) -> tuple[dict[Any, Any], int]:
    """The dump, and when its file was written, Unix ns."""
    try:
        # A pipe in its place would hold the collector, a link could lead it anywhere.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                raise GiveUp(f"flight recorder dump {path}: no regular file of at most {MAX_BYTES >> 20} MiB; not read")
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise GiveUp(f"flight recorder dump {path}: cannot be read ({error.strerror})") from None
    try:
        dump = loads(data)
    except GiveUp as error:
        raise GiveUp(f"flight recorder dump {path}: {error}; not read") from None
    if not isinstance(dump, dict) or not isinstance(dump.get("entries"), list):
        raise GiveUp(f"flight recorder dump {path}: it is no dict with a list of entries; not read")
    return dump, status.st_mtime_ns


def _groups(values: dict[str, float], status: Any, waiting: list[dict[Any, Any]]) -> None:
    if not isinstance(status, dict):
        return
    hanging = str(waiting[0].get("pg_id")) if waiting else "0"
    for group, state in list(status.items())[:_MOST_GROUPS]:
        if not isinstance(state, dict):
            continue
        for key in ("last_enqueued", "last_started", "last_completed"):
            number = _whole(state.get(f"{key}_collective"))
            if number is None or number < 0:
                continue
            values[f"{key}_sequence/{str(group)[:32]}"] = float(number)
            if str(group) == hanging:
                values[f"{key}_sequence"] = float(number)


def _first_waiting(values: dict[str, float], attributes: dict[str, str], entry: dict[Any, Any]) -> None:
    # Sends and receives are counted apart; their collective number is that of the collective before them.
    sequence = _whole(entry.get("p2p_seq_id" if entry.get("is_p2p") is True else "collective_seq_id"))
    if sequence is not None:
        values["sequence_number"] = float(sequence)
    timeout_ms = _whole(entry.get("timeout_ms"))
    if timeout_ms is not None:
        values["timeout_seconds"] = timeout_ms * 1e-3
    for way in ("input", "output"):
        sizes = entry.get(f"{way}_sizes")
        elements = _elements(sizes)
        if elements is not None:
            values[f"{way}_elements"] = float(elements)
            attributes[f"{way}_sizes"] = str(sizes)
    operation = entry.get("profiling_name")
    if isinstance(operation, str):
        attributes["operation"] = operation.removeprefix("nccl:")
    state = entry.get("state")
    if isinstance(state, str):
        attributes["state"] = state
    group = entry.get("process_group")
    if isinstance(group, tuple | list) and all(isinstance(part, str) for part in group):
        attributes["process_group"] = " ".join(group[:4])
    kinds = entry.get("input_dtypes")
    if isinstance(kinds, list) and kinds and isinstance(kinds[0], str):
        attributes["data_type"] = kinds[0]


def _sentence(rank: int | None, waiting: int, operation: str, sequence: float | None) -> str:
    who = "a rank" if rank is None else f"rank {rank}"
    if not waiting:
        return f"flight recorder: {who} has no collective waiting"
    number = "" if sequence is None else f" number {sequence:.0f}"
    return evidence(f"flight recorder: {who} waits in {operation or 'a collective'}{number}, {waiting} not completed")


def _elements(sizes: Any) -> int | None:
    """Elements of all tensors together; None where it is not a short list of short lists of numbers."""
    if not isinstance(sizes, list) or not 0 < len(sizes) <= 1024:
        return None
    total = 0
    for size in sizes:
        if not isinstance(size, list) or len(size) > 16:
            return None
        elements = 1
        for length in size:
            if (number := _whole(length)) is None:
                return None
            elements *= number
        total += elements
    return total


def _world_size(config: Any) -> int:
    """Ranks of the biggest group: the default one, where its description is not to be relied on."""
    if not isinstance(config, dict):
        return 0
    sizes = [0]
    for group in config.values():
        ranks = group.get("ranks") if isinstance(group, dict) else None
        if isinstance(ranks, str):
            sizes.append(len(re.findall(r"\d+", ranks)))
        elif isinstance(ranks, list):
            sizes.append(len(ranks))
    return max(sizes)


def _times(entry: dict[Any, Any]) -> list[int]:
    keys = ("time_created_ns", "time_discovered_started_ns", "time_discovered_completed_ns")
    return [time_ns for key in keys if (time_ns := _whole(entry.get(key))) is not None and time_ns > 0]


def _whole(value: Any) -> int | None:
    """An integer that fits 63 bits, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None
