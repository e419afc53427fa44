"""What was done to the simulated cluster, in the form of the recordings' truth.json."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.simulate.cards import NS


@dataclass(slots=True)
class Phase:
    """One cause, or one benign thing; nanoseconds, `end_ns` 0 while it lasts."""

    id: str
    kind: str
    """`fault` or `benign`."""
    label: str
    start_ns: int
    end_ns: int = 0
    guilty: dict[str, Any] = field(default_factory=dict)
    """`node`, `gpu`, `rank`, `rack`: whatever it is in; empty where no card or node is to blame."""
    root: str = ""
    """The kind of finding that should be the root."""
    roots: tuple[str, ...] = ()
    """Kinds that are as right, where the cause shows in more than one."""
    job: str = ""
    """The job that suffers from it first, by name."""
    jobs: tuple[str, ...] = ()
    """All jobs that do."""
    story: list[tuple[float, str]] = field(default_factory=list)
    """What followed from it: Unix s, and words."""
    note: str = ""


class Truth:
    """Gathers phases."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []

    def begin(self, kind: str, label: str, now_ns: int, **said: Any) -> Phase:
        """A phase begins; `said`: its other fields."""
        letter = "F" if kind == "fault" else "B"
        number = sum(phase.kind == kind for phase in self.phases) + 1
        phase = Phase(f"{letter}{number:02d}", kind, label, now_ns, **said)
        self.phases.append(phase)
        return phase

    def write(self, path: Path, scenario: dict[str, Any], end_ns: int) -> None:
        """`truth.json`; what still lasts ends with the simulation."""
        rows = [_row(phase, end_ns) for phase in sorted(self.phases, key=lambda one: (one.start_ns, one.id))]
        path.write_text(json.dumps(scenario | {"phases": rows}, indent=1) + "\n", encoding="utf-8")


def _row(phase: Phase, end_ns: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": phase.id,
        "kind": phase.kind,
        "label": phase.label,
        "note": phase.note,
        "start": phase.start_ns / NS,
        "end": min(phase.end_ns or end_ns, end_ns) / NS,
    }
    for key in ("guilty", "root", "roots", "job", "jobs"):
        value = getattr(phase, key)
        if value:
            row[key] = list(value) if isinstance(value, tuple) else value
    if phase.story:
        row["story"] = [{"at": at, "what": what} for at, what in phase.story]
    return row
