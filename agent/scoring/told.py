"""Reads what `replay --incidents-jsonl` wrote. A bad line costs itself, nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.scoring.truth import Place
from collectors.errors import FixConfiguration
from detectors.model import FindingKind


@dataclass(frozen=True, slots=True)
class Member:
    """One finding of an incident."""

    kind: FindingKind
    place: Place
    since: float
    opened: float


@dataclass(frozen=True, slots=True)
class Told:
    """One incident; times in Unix s."""

    id: str
    kind: FindingKind
    place: Place
    opened: float
    since: float
    resolved: float | None
    members: tuple[Member, ...]
    """Its findings, root first; without them only the root's kind and place are known."""
    absorbed: bool = False
    """Its findings went over to another incident, whose root was found late: it was told, and is no more."""


def read_incidents(path: Path) -> tuple[list[Told], list[str]]:
    """(incidents in order of opening, one line for each line that cannot be used). Raises FixConfiguration."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FixConfiguration(
            f"{path}: cannot be read ({error.strerror}); `replay --incidents-jsonl` writes it"
        ) from None
    told, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            told.append(read_incident(json.loads(line)))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"has no {error.args[0]}" if isinstance(error, KeyError) else str(error)[:120]
            problems.append(f"{path}:{number}: {what}; passed over")
    return sorted(told, key=lambda one: (one.opened, one.id)), problems


def read_incident(said: dict[str, Any]) -> Told:
    """One line as `agent.incidents_file.incident_line` makes it; `findings` may be left out."""
    kind, place = FindingKind(said["kind"]), _place(said.get("subject") or {})
    opened, since = float(said["opened_at"]), float(said.get("since", said["opened_at"]))
    resolved = said.get("resolved_at")
    kinds = said.get("kinds")
    members = tuple(
        Member(FindingKind(one["kind"]), _place(one.get("subject") or {}), float(one["since"]), float(one["opened_at"]))
        for one in said.get("findings") or ()
    )
    return Told(
        str(said["id"]),
        kind,
        place,
        opened,
        since,
        None if resolved is None else float(resolved),
        members or (Member(kind, place, since, opened),),
        absorbed=kinds == [],
    )


def _place(names: dict[str, Any]) -> Place:
    def number(key: str) -> int | None:
        return int(names[key]) if key in names else None

    return Place(names.get("node"), number("gpu"), number("rank"), names.get("job"), names.get("rack"))
