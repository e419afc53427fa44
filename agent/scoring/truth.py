"""Reads truth.json: what was done to a recording. A hole costs the phase that it is in, nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.scoring.roots import ROOTS
from collectors.errors import FixConfiguration
from detectors.model import FindingKind


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: names as people use them; None where it is not said."""

    node: str | None = None
    gpu: int | None = None
    rank: int | None = None
    job: str | None = None
    rack: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of the truth."""

    id: str
    label: str
    start: float
    """Unix s."""
    end: float
    guilty: Place
    """The card, rank, node or rack at fault; its `job` is the one that suffers first."""
    roots: frozenset[FindingKind]
    """Kinds that are right as an incident's root."""
    jobs: frozenset[str]
    """All jobs that suffer from it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A recording's truth."""

    causes: tuple[Cause, ...]
    """In order of their starts."""
    problems: tuple[str, ...]
    """One line for each phase that cannot be used."""


def read_truth(recording: Path) -> Truth:
    """Raises FixConfiguration where there is no truth at all, or no list of phases in it."""
    path = recording / "truth.json"
    try:
        phases = json.loads(path.read_text(encoding="utf-8", errors="replace"))["phases"]
    except FileNotFoundError:
        raise FixConfiguration(f"{path}: is not there: a score needs to know what was done") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FixConfiguration(f"{path}: is no truth file ({error!r:.120}); it needs a list `phases`") from None
    if not isinstance(phases, list):
        raise FixConfiguration(f"{path}: phases is no list; mend it")
    causes, problems = [], []
    for number, phase in enumerate(phases):
        if isinstance(phase, dict) and phase.get("kind") == "benign":
            continue
        try:
            causes.append(_cause(phase, number))
        except (KeyError, TypeError, ValueError) as error:
            what = f"has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            problems.append(f"{path}: phases[{number}]: {what}; passed over")
    return Truth(tuple(sorted(causes, key=lambda c: (c.start, c.id))), tuple(problems))


def _cause(phase: Any, number: int) -> Cause:
    if not isinstance(phase, dict):
        raise TypeError("is no object")
    if phase["kind"] != "fault":
        raise ValueError(f"kind is {phase['kind']!r:.40}, neither fault nor benign")
    label = phase["label"]
    start, end = _seconds(phase, "start"), _seconds(phase, "end")
    if end < start:
        raise ValueError("end lies before start")
    guilty = phase.get("guilty") or {}
    if not isinstance(guilty, dict):
        raise TypeError("guilty is no object")
    job = phase.get("job")
    jobs = phase.get("jobs") or ([job] if job else [])

    def whole(key: str) -> int | None:
        return None if guilty.get(key) is None else int(guilty[key])

    return Cause(
        id=str(phase.get("id") or f"#{number}"),
        label=str(label),
        start=start,
        end=end,
        guilty=Place(guilty.get("node"), whole("gpu"), whole("rank"), job, guilty.get("rack")),
        roots=_roots(phase),
        jobs=frozenset(str(one) for one in jobs),
    )


def _seconds(phase: dict[str, Any], key: str) -> float:
    value = phase[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 9e9:
        raise ValueError(f"{key} is {value!r:.40}, no time in Unix seconds")
    return float(value)


def _roots(phase: dict[str, Any]) -> frozenset[FindingKind]:
    said = [*([phase["root"]] if phase.get("root") else []), *(phase.get("roots") or [])]
    if said:
        return frozenset(FindingKind(one) for one in said)
    known = ROOTS.get(str(phase["label"]))
    if known is None:
        raise ValueError(f"label {phase['label']!r:.40} is unknown and no root is given")
    return known
