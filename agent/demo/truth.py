"""Findings against the truth of a recording: which faults were found and named, how soon, and what was false.

truth.json holds `phases`: `kind` (fault or benign), `label`, `start` and `end` in Unix s, and for some faults `guilty`
({"gpu": index, "rank": n}).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.api.words import counted
from collectors.errors import FixConfiguration
from detectors.model import FindingKind

GRACE_S = 20.0
"""A fault may still be told of, or be named, this long after its phase."""
EARLY_S = 6.0
"""A finding may say that it began this much before its phase: one sampling interval and a little."""
STUCK_S = 45.0
"""A condition that ends with its phase and is still open this long afterwards is stuck."""

_K = FindingKind
NAMES: dict[str, frozenset[FindingKind]] = {
    "dataloader_slow": frozenset({_K.DATALOADER_STALL}),
    "dataloader_hang": frozenset({_K.DATALOADER_STALL}),
    "host_stall": frozenset({_K.HOST_STALL}),
    "loss_divergence": frozenset({_K.LOSS_DIVERGENCE}),
    "loss_nan": frozenset({_K.LOSS_NAN}),
    "gpu_memory_leak": frozenset({_K.GPU_MEMORY_LEAK}),
    "gpu_memory_drop": frozenset({_K.GPU_MEMORY_DROP}),
    "power_throttle": frozenset({_K.POWER_THROTTLE}),
    "thermal_throttle": frozenset({_K.THERMAL_THROTTLE}),
    "straggler_gpu": frozenset({_K.STRAGGLER}),
    "straggler_host": frozenset({_K.STRAGGLER}),
    "collective_hang": frozenset({_K.COLLECTIVE_HANG}),
    "rank_crash": frozenset({_K.RANK_CRASH, _K.JOB_CRASH}),
    "job_crashed_oom": frozenset({_K.GPU_OUT_OF_MEMORY, _K.JOB_CRASH}),
    "ecc_correctable_storm": frozenset({_K.ECC_CORRECTABLE_STORM}),
    "ecc_uncorrectable": frozenset({_K.ECC_UNCORRECTABLE}),
    "row_remap": frozenset({_K.ROW_REMAP}),
    "xid": frozenset({_K.XID}),
    "gpu_lost": frozenset({_K.GPU_LOST}),
}
"""The kinds that name each fault."""
FINDS: dict[str, frozenset[FindingKind]] = {
    "dataloader_hang": frozenset({_K.TRAINING_STALL}),
    "host_stall": frozenset({_K.TRAINING_STALL}),
    "collective_hang": frozenset({_K.TRAINING_STALL}),
    "dataloader_slow": frozenset({_K.THROUGHPUT_DROP, _K.STRAGGLER}),
    "straggler_host": frozenset({_K.THROUGHPUT_DROP}),
    "straggler_gpu": frozenset({_K.THROUGHPUT_DROP}),
    "loss_nan": frozenset({_K.LOSS_DIVERGENCE}),
    "power_throttle": frozenset({_K.THROUGHPUT_DROP}),
    "ecc_uncorrectable": frozenset({_K.XID}),
    "row_remap": frozenset({_K.XID}),
    "gpu_lost": frozenset({_K.XID, _K.TELEMETRY_LOST}),
    "thermal_throttle": frozenset({_K.POWER_THROTTLE}),
}
"""Kinds that see the fault without naming it."""
FOLLOWS: dict[str, frozenset[FindingKind]] = {
    "loss_divergence": frozenset({_K.LOSS_SPIKE, _K.GRAD_NORM_SPIKE}),
    "loss_nan": frozenset({_K.GRAD_NORM_SPIKE, _K.LOSS_SPIKE}),
    "gpu_memory_leak": frozenset({_K.GPU_MEMORY_PRESSURE, _K.GPU_OUT_OF_MEMORY, _K.JOB_CRASH}),
    "power_throttle": frozenset({_K.TRAINING_STALL}),
    "straggler_gpu": frozenset({_K.POWER_THROTTLE}),
    "rank_crash": frozenset({_K.GPU_MEMORY_DROP, _K.COLLECTIVE_HANG, _K.TRAINING_STALL, _K.COLLECTIVE_TIMEOUT}),
    "job_crashed_oom": frozenset({_K.GPU_MEMORY_LEAK, _K.GPU_MEMORY_PRESSURE, _K.TRAINING_STALL, _K.RANK_CRASH}),
    "ecc_uncorrectable": frozenset({_K.ECC_CORRECTABLE_STORM}),
    "row_remap": frozenset({_K.ECC_UNCORRECTABLE}),
    "thermal_throttle": frozenset({_K.THROUGHPUT_DROP, _K.STRAGGLER}),
    "gpu_lost": frozenset({_K.JOB_CRASH, _K.RANK_CRASH, _K.TRAINING_STALL, _K.COLLECTIVE_HANG}),
}
"""Kinds that a fault may bring with it; they count neither way."""
ENDS_WITH_PHASE = frozenset(
    {
        _K.DATALOADER_STALL,
        _K.HOST_STALL,
        _K.TRAINING_STALL,
        _K.THROUGHPUT_DROP,
        _K.POWER_THROTTLE,
        _K.THERMAL_THROTTLE,
        _K.STRAGGLER,
        _K.COLLECTIVE_HANG,
    }
)
"""Conditions that are over when their fault is; the others are instants, or last until a card is reset."""
ENDS_JOB = frozenset({"rank_crash", "job_crashed_oom", "gpu_lost"})
"""Faults after which the job makes no step that could clear anything."""


@dataclass(frozen=True, slots=True)
class Told:
    """What matters of a finding here; times in Unix s."""

    kind: FindingKind
    since: float
    opened: float
    names: dict[str, str]
    cleared: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the truth and how it was told."""

    label: str
    start: float
    found: bool
    named: bool
    delay_s: float | None
    guilty: bool | None
    """Whether the right GPU or rank was named; None where the truth names none."""


@dataclass(frozen=True, slots=True)
class Score:
    """All faults, and what was told outside of any."""

    faults: tuple[Fault, ...]
    false: tuple[Told, ...]
    stuck: tuple[Told, ...] = ()
    """What was still open `STUCK_S` after its fault, and no other fault since."""

    @property
    def late_s(self) -> float | None:
        """The worst delay of those found."""
        return max((f.delay_s for f in self.faults if f.delay_s is not None), default=None)

    def sentence(self) -> str:
        """ "8 faults: 8 found, 8 named, 0 false, worst delay 9.6 s"."""
        found = [f for f in self.faults if f.found]
        delay = self.late_s
        asked = [f for f in self.faults if f.guilty is not None]
        guilty = f", guilty rank right {sum(bool(f.guilty) for f in asked)} of {len(asked)}" if asked else ""
        worst = f", worst delay {delay:.1f} s" if delay is not None else ""
        named = sum(f.named for f in self.faults)
        faults = counted(len(self.faults), "fault")
        return f"{faults}: {len(found)} found, {named} named, {len(self.false)} false{worst}{guilty}"


def read_phases(recording: Path, tell: Callable[[str], object] = len) -> list[dict[str, Any]] | None:
    """The phases of a recording's truth.json, None where it has none; `tell` hears of those that cannot be used."""
    path = recording / "truth.json"
    try:
        phases = json.loads(path.read_text())["phases"]
        if not isinstance(phases, list):
            raise TypeError("`phases` is no list")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FixConfiguration(f"{path}: not a truth file ({error!r}); mend it or move it away") from None
    wrong = [(number, _wrong(phase)) for number, phase in enumerate(phases, 1)]
    for number, why in wrong:
        if why:
            tell(f"{path}: passed over phase {number}: {why}")
    return [phase for phase, (_, why) in zip(phases, wrong) if not why]


def _wrong(phase: Any) -> str:
    """Why a phase cannot be used; empty where it can."""
    if not isinstance(phase, dict):
        return "it is no object"
    missing = [key for key in ("kind", "label", "start", "end") if key not in phase]
    if missing:
        return f"it has no {', '.join(missing)}"
    for key in ("start", "end"):
        if isinstance(phase[key], bool) or not isinstance(phase[key], (int, float)):
            return f"its {key} is no number of Unix seconds"
    if not isinstance(phase.get("guilty") or {}, dict):
        return "its guilty is no object"
    return "" if isinstance(phase["label"], str) else "its label is no text"


def score(phases: Sequence[dict[str, Any]], told: Sequence[Told]) -> Score:
    """Hold what was told against the phases."""
    told = sorted((t for t in told if t.kind is not FindingKind.UNUSUAL), key=lambda t: t.opened)
    faults, excused = [], set()
    for phase in phases:
        if phase["kind"] != "fault":
            continue
        label, start, end = phase["label"], float(phase["start"]), float(phase["end"])
        names, finds = NAMES.get(label, frozenset()), FINDS.get(label, frozenset())
        near = [t for t in told if start - 1 <= t.opened <= end + GRACE_S]
        about = [t for t in near if start - EARLY_S <= t.since <= end + 1 and t.kind in names | finds]
        excused |= {id(t) for t in near if t.kind in names | finds | FOLLOWS.get(label, frozenset())}
        named = any(t.kind in names for t in about)
        delay = about[0].opened - start if about else None
        faults.append(Fault(label, start, bool(about), named, delay, _guilty(phase.get("guilty"), about)))
    false = tuple(t for t in told if id(t) not in excused)
    return Score(tuple(faults), false, tuple(t for t in told if _stuck(t, phases)))


def _stuck(told: Told, phases: Sequence[dict[str, Any]]) -> bool:
    if told.kind not in ENDS_WITH_PHASE:
        return False
    faults = [p for p in phases if p["kind"] == "fault"]
    for phase in faults:
        end = float(phase["end"])
        over = end + STUCK_S
        inside = float(phase["start"]) - 1 <= told.opened <= end + GRACE_S
        if not inside or phase["label"] in ENDS_JOB or (told.cleared is not None and told.cleared <= over):
            continue
        if not any(other["start"] < over and other["end"] > end for other in faults if other is not phase):
            return True
    return False


def _guilty(guilty: dict[str, Any] | None, about: Sequence[Told]) -> bool | None:
    if not guilty:
        return None
    said = [t.names for t in about if any(key in t.names for key in guilty)]
    right = all(str(names[key]) == str(value) for names in said for key, value in guilty.items() if key in names)
    return bool(said) and right
