"""What an incident costs: GPUs held up, GPU-seconds so far, and money at a set price. Pure; times from the data.

The rule. Every finding that holds up a job takes a share of the job's GPUs for as long as it is open, from its
beginning (`since_ns`) to its clearing (or to now, or to when the incident was resolved). Where several findings of one
job are open at once the greatest share counts, not their sum. The share by kind:

- 1.0, "about": `collective_hang`, `collective_timeout` (from when the wait began), `training_stall`, `host_stall`: no
  step is made, and every GPU of the job waits.
- 1.0, "at most": `rank_crash`, `job_crash`, `gpu_lost`, `gpu_out_of_memory`: the job makes no step, but its GPUs may
  have been given to other work since.
- from the evidence, "about": `straggler`, `thermal_throttle`, `power_throttle` by the SM clock against the peers' or
  the card's own habit (all ranks go at the pace of the slowest).
- from the evidence, "at most": `straggler` whose clock is as ever, `dataloader_stall` and `throughput_drop` by the
  longest time between two step lines against the usual one; 1.0 where the log says nothing.
- nothing: all other kinds. A loss that became NaN costs what the job has made since, which no clock shows: see the
  job's own account.

A finding of a card without a job counts for one GPU; of a job or node whose GPUs nobody has told, for an unknown
number: the cost is unknown then, not none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectors.model import SubjectKind
from detectors.model import Finding, FindingKind, Incident

SECOND_NS = 1_000_000_000
_K = FindingKind

WAITS = frozenset({_K.COLLECTIVE_HANG, _K.COLLECTIVE_TIMEOUT, _K.TRAINING_STALL, _K.HOST_STALL})
"""No step is made and the GPUs are held: all of them are lost, as surely as the finding itself."""
ENDS = frozenset({_K.RANK_CRASH, _K.JOB_CRASH, _K.GPU_LOST, _K.GPU_OUT_OF_MEMORY})
"""The job makes no step; whether its GPUs do other work meanwhile is not known."""
BY_CLOCK = frozenset({_K.STRAGGLER, _K.THERMAL_THROTTLE, _K.POWER_THROTTLE})
BY_GAP = frozenset({_K.STRAGGLER, _K.DATALOADER_STALL, _K.THROUGHPUT_DROP})
LEAST_SHARE = 0.01
"""A clock within one percent of the expected one explains no loss (healthy clocks drift by 1.4 %)."""


class Bound(StrEnum):
    """How a figure is meant."""

    NONE = "none"
    """Nothing is held up."""
    ABOUT = "about"
    AT_MOST = "at most"
    UNKNOWN = "unknown"
    """Something is held up, and nobody has told how many GPUs."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one incident has cost so far."""

    bound: Bound
    gpus_idle: float | None
    """GPUs' worth of work that is lost at this moment: half-speed counts half; 0.0 once it is over."""
    ranks: int | None
    """Ranks of the jobs that are held up: one a GPU; None where unknown."""
    gpu_seconds: float | None
    money: float | None
    """In the currency of the setting; None where no price is set."""
    sentence: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One finding's claim on the GPUs of one job."""

    start_ns: int
    end_ns: int
    share: float
    bound: Bound
    lasts: bool


def cost_of(incident: Incident, findings: Sequence[Finding], now_ns: int, gpu_hour: float = 0.0) -> Cost:
    """`findings`: the incident's. `now_ns`: the agent's clock for what is live, else the incident's own last word.

    `gpu_hour`: the price of one GPU for one hour; 0.0: none is set.
    """
    end_ns = incident.resolved_ns if incident.resolved_ns is not None else max(now_ns, incident.updated_ns)
    seconds, idle, gpus, bounds = 0.0, 0.0, 0, []
    for holder, stretches in _by_holder(findings, end_ns).items():
        held = incident.gpus.get(holder) if holder else 1
        if held is None:
            bounds.append(Bound.UNKNOWN)
            continue
        gpus += held
        lost, now_share = _united(stretches)
        seconds += held * lost
        idle += held * now_share if incident.resolved_ns is None else 0.0
        bounds += [stretch.bound for stretch in stretches]
    if not bounds:
        return Cost(Bound.NONE, 0.0, 0, 0.0, _money(0.0, gpu_hour), "Holds up no GPU, as far as is known.")
    if Bound.UNKNOWN in bounds:
        return Cost(Bound.UNKNOWN, None, None, None, None, "Holds up a job whose number of GPUs is not known.")
    bound = Bound.AT_MOST if Bound.AT_MOST in bounds else Bound.ABOUT
    money = _money(seconds, gpu_hour)
    return Cost(bound, idle, gpus, seconds, money, _sentence(bound, idle, gpus, seconds, incident.resolved_ns is None))


def share_of(finding: Finding) -> tuple[float, Bound]:
    """The share of its job's work that a finding takes while it is open, and how sure that is; (0.0, NONE): none."""
    if finding.kind in WAITS:
        return 1.0, Bound.ABOUT
    if finding.kind in ENDS:
        return 1.0, Bound.AT_MOST
    if finding.kind in BY_CLOCK:
        share = _behind(finding, "gpu_sm_clock_hertz")
        if share is not None and share >= LEAST_SHARE:
            return share, Bound.ABOUT
    if finding.kind in BY_GAP:
        share = _gap(finding)
        return (1.0 if share is None else share), Bound.AT_MOST
    return 0.0, Bound.NONE


def _by_holder(findings: Iterable[Finding], end_ns: int) -> dict[str, list[_Stretch]]:
    """What is claimed, by the job's name; by "" for a card that works for no job."""
    found: dict[str, list[_Stretch]] = {}
    for finding in findings:
        share, bound = share_of(finding)
        over = finding.cleared_ns if finding.cleared_ns is not None else end_ns
        stop_ns = min(over, end_ns)
        if not share or stop_ns <= finding.since_ns:
            continue
        job = finding.names.get("job", "")
        if not job and finding.subject.kind is SubjectKind.JOB:
            job = finding.subject.id
        lasts = finding.cleared_ns is None
        found.setdefault(job, []).append(_Stretch(finding.since_ns, stop_ns, round(share, 3), bound, lasts))
    return found


def _united(stretches: Sequence[_Stretch]) -> tuple[float, float]:
    """Seconds lost, each instant by its greatest share; and the share that is lost at the end."""
    turns: dict[int, list[tuple[float, int]]] = {}
    for stretch in stretches:
        turns.setdefault(stretch.start_ns, []).append((stretch.share, 1))
        turns.setdefault(stretch.end_ns, []).append((stretch.share, -1))
    lost, before_ns = 0.0, 0
    open_now: Counter[float] = Counter()
    for at_ns in sorted(turns):
        lost += max(open_now, default=0.0) * (at_ns - before_ns) / SECOND_NS
        before_ns = at_ns
        for share, change in turns[at_ns]:
            open_now[share] += change
            if not open_now[share]:
                del open_now[share]
    return lost, max((s.share for s in stretches if s.lasts), default=0.0)


def _behind(finding: Finding, metric: str) -> float | None:
    """How far behind the expected value the seen one lies, 0 to 1; None where the evidence does not tell."""
    for item in finding.evidence:
        if item.metric == metric and item.value is not None and item.expected is not None and item.expected > 0:
            return min(1.0, max(0.0, 1.0 - item.value / item.expected))
    return None


def _gap(finding: Finding) -> float | None:
    """The share of the longest time between two steps that is more than usual; None where the log does not tell."""
    for item in finding.evidence:
        told = item.metric == "training_step" and item.value is not None and item.expected is not None
        if told and item.value and item.expected and item.value > item.expected > 0:
            return 1.0 - item.expected / item.value
    return None


def _money(gpu_seconds: float, gpu_hour: float) -> float | None:
    return gpu_seconds / 3600.0 * gpu_hour if gpu_hour > 0 else None


def _sentence(bound: Bound, idle: float, gpus: int, seconds: float, lasts: bool) -> str:
    spent = f"{seconds / 3600:,.1f} GPU-hours" if seconds >= 3600 else f"{seconds:,.0f} GPU-seconds"
    whose = "1 GPU" if gpus == 1 else f"{gpus:,} GPUs"
    if not lasts:
        return f"Cost {bound.value} {spent} of {whose}."
    if idle <= 0:
        return f"Has cost {bound.value} {spent} of {whose}; nothing is held up now."
    worth = f"all {whose}" if idle >= gpus and gpus > 1 else f"{idle:.3g} of {whose}"
    return f"Has cost {bound.value} {spent} so far; {worth} held up now."
