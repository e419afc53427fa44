"""A node whose GPUs do what a test says, second by second, before an engine that looks at them."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from collectors.model import (
    CATALOGUE,
    COUNTER_ABSENT,
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    MetricType,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from detectors.engine import Engine
from detectors.model import Finding, FindingKind

NS = 1_000_000_000
T0 = 1_800_000_000 * NS
NODE = Subject("c", SubjectKind.NODE, "node-a")
JOB = Subject("c", SubjectKind.JOB, "job-1")
GIB = 2**30

WORK: dict[str, float] = {"utilisation": 0.99, "watts": 690.0, "hertz": 1.83e9}
SPIN: dict[str, float] = {"utilisation": 1.0, "watts": 169.0, "hertz": 1.98e9}
STILL: dict[str, float] = {"utilisation": 0.0, "watts": 126.0, "hertz": 1.98e9}
EMPTY: dict[str, float] = {
    "utilisation": 0.0,
    "watts": 82.0,
    "hertz": 0.345e9,
    "memory": 0.6 * GIB,
    "processes": 0.0,
    "reasons": 1.0,
}
_GAUGES = {
    "utilisation": "gpu_utilization_ratio",
    "watts": "gpu_power_watts",
    "hertz": "gpu_sm_clock_hertz",
    "memory": "gpu_memory_used_bytes",
    "reasons": "gpu_clocks_event_reasons",
    "celsius": "gpu_temperature_celsius",
    "processes": "gpu_processes",
    "pending": "gpu_row_remap_pending",
    "failed": "gpu_row_remap_failed",
    "total": "gpu_memory_total_bytes",
}
_COUNTERS = {
    "energy": "gpu_energy_joules_total",
    "corrected": "gpu_ecc_corrected_errors_total",
    "uncorrected": "gpu_ecc_uncorrected_errors_total",
    "remaps": "gpu_row_remaps_uncorrected_total",
}


def gpu(index: int) -> Subject:
    return Subject("c", SubjectKind.GPU, f"GPU-{index}")


def table(
    subjects: Iterable[int], metrics: dict[str, Iterable[float]], *times_ns: int, counters: bool | None = None
) -> Table:
    """One time: a value a subject for each metric. Several: the same values at each."""
    names = tuple(metrics)
    is_counter = CATALOGUE[names[0]].type is MetricType.COUNTER if counters is None else counters
    rows = [list(values) for values in metrics.values()]
    block = np.array([rows] * len(times_ns), "<i8" if is_counter else "<f4")
    return Table(names, tuple(subjects), times_ns, block.tobytes())


def batch(
    *tables: Table,
    subjects: Iterable[Subject] = (),
    facts: Iterable[SubjectFacts] = (),
    events: Iterable[Event] = (),
    node: Subject = NODE,
    sent_ns: int = T0,
    suspicion: str = "",
) -> Batch:
    return Batch(
        version=WIRE_VERSION,
        origin=Origin.TEST,
        node=node,
        boot_id="boot",
        spool_id="spool",
        sequence=0,
        sent_ns=sent_ns,
        subjects=tuple(subjects),
        facts=tuple(facts),
        tables=tuple(tables),
        events=tuple(events),
        suspicion=suspicion,
    )


def event(
    kind: EventKind,
    subject: Subject = JOB,
    time_ns: int = T0,
    source: EventSource = EventSource.TRAINING_LOG,
    line: str = "",
    attributes: dict[str, str] | None = None,
    **values: float,
) -> Event:
    return Event(kind, subject, time_ns, source, values, attributes or {}, line)


@dataclass
class Fleet:
    """`gpus` ranks of one job on one node. `run` lets seconds pass: one look and one tick a second."""

    gpus: int = 2
    step_gap_s: float | None = 0.5
    """Seconds between step lines; None: the log is silent."""
    facts: dict[str, str] = field(default_factory=dict)
    engine: Engine = field(default_factory=lambda: Engine(Origin.TEST))
    now_ns: int = T0
    found: dict[str, Finding] = field(default_factory=dict)
    step: int = 0
    step_values: dict[str, float] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    """GPUs that give no reading."""
    _waiting: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        usual = WORK | {
            "memory": 60.0 * GIB,
            "reasons": 4.0,
            "celsius": 55.0,
            "processes": 1.0,
            "pending": 0.0,
            "failed": 0.0,
            "total": 141.0 * GIB,
        }
        self.state: list[dict[str, float]] = [dict(usual) for _ in range(self.gpus)]
        self.counts: list[dict[str, int]] = [dict.fromkeys(_COUNTERS, 1000) for _ in range(self.gpus)]

    def set(self, *which: int, **values: float) -> "Fleet":
        """Change what some GPUs do from the next look on; none named: all."""
        for index in which or range(self.gpus):
            self.state[index].update(values)
        return self

    def add(self, which: int, counter: str, rise: int) -> "Fleet":
        """Let a counter rise before the next look."""
        self.counts[which][counter] += rise
        return self

    def say(self, *events: Event) -> "Fleet":
        """Events of the next batch."""
        self._waiting += events
        return self

    def log(
        self, kind: EventKind, line: str = "", attributes: dict[str, str] | None = None, **values: float
    ) -> "Fleet":
        """An event of the job, now."""
        return self.say(event(kind, JOB, self.now_ns, line=line, attributes=attributes, **values))

    def run(self, seconds: float, each: Callable[["Fleet"], Any] | None = None, every: float = 1.0) -> "Fleet":
        """Let time pass; `each` is called before every look."""
        for _ in range(round(seconds / every)):
            self.now_ns += int(every * NS)
            if each is not None:
                each(self)
            for index in range(self.gpus):
                self.counts[index]["energy"] += int(self.state[index]["watts"] * 1000 * every)
            self._steps(every)
            self.engine.receive(self.batch(), self.now_ns)
            self._tick()
        return self

    def pass_time(self, seconds: float, every: float = 5.0) -> "Fleet":
        """Ticks without any batch."""
        for _ in range(round(seconds / every)):
            self.now_ns += int(every * NS)
            self._tick()
        return self

    def batch(self) -> Batch:
        """What the collector sends now."""
        here = [index for index in range(self.gpus) if index not in self.silent]
        tables = []
        if here:
            gauges = {name: [self.state[i][key] for i in here] for key, name in _GAUGES.items()}
            counters = {name: [self.counts[i][key] for i in here] for key, name in _COUNTERS.items()}
            tables = [table(here, gauges, self.now_ns), table(here, counters, self.now_ns)]
        events, self._waiting = self._waiting, []
        facts = [SubjectFacts(NODE, "node-a"), SubjectFacts(JOB, "run-7")]
        for index in range(self.gpus):
            told = {
                "index": str(index),
                "rank": str(index),
                "job": JOB.id,
                "pci_bus_id": f"0000:{0x18 + index:02x}:00.0",
            }
            facts.append(SubjectFacts(gpu(index), f"node-a/gpu{index}", NODE, told | self.facts))
        subjects = [gpu(index) for index in range(self.gpus)]
        return batch(*tables, subjects=subjects, facts=facts, events=events, sent_ns=self.now_ns)

    def restart(self) -> "Fleet":
        """The agent dies and another takes over what was open."""
        old, self.engine = self.engine, Engine(Origin.TEST)
        self.engine.restore(old.book.open_findings())
        return self

    def open(self, *kinds: FindingKind) -> list[Finding]:
        """What is open now, of these kinds or of all."""
        return [f for f in self.engine.book.open_findings() if not kinds or f.kind in kinds]

    def kinds(self) -> list[FindingKind]:
        """Kinds of everything ever found, in the order in which they opened."""
        return [f.kind for f in sorted(self.found.values(), key=lambda f: (f.opened_ns, f.id))]

    def of(self, kind: FindingKind) -> list[Finding]:
        """Every finding of one kind, open or cleared."""
        return [f for f in self.found.values() if f.kind is kind]

    def _steps(self, seconds: float) -> None:
        if self.step_gap_s is None:
            return
        count = round(seconds / self.step_gap_s)
        for number in range(count):
            self.step += 1
            at = self.now_ns - int((count - 1 - number) * self.step_gap_s * NS)
            values = {"step": float(self.step), "loss": 3.0, "grad_norm": 1.0, **self.step_values}
            self._waiting.append(event(EventKind.TRAINING_STEP, JOB, at, **values))

    def _tick(self) -> None:
        for finding in self.engine.tick(self.now_ns + NS // 2):
            self.found[finding.id] = finding


def absent() -> int:
    return COUNTER_ABSENT


@cache
def _worked(gpus: int, seconds: int, **facts: str) -> Fleet:
    return Fleet(gpus, facts=facts).run(seconds)


def working(gpus: int, seconds: int, **facts: str) -> Fleet:
    """A fleet that has trained for so long. Each caller has a copy: 25 s take 60 ms to play and 5 ms to copy."""
    return deepcopy(_worked(gpus, seconds, **facts))
