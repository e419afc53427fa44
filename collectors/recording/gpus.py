"""The GPUs of a recording, looked at as if they were there."""

import math

from collectors.gpu.source import GpuLook
from collectors.model import COUNTER_ABSENT, Event, Subject, SubjectFacts, SubjectKind
from collectors.recording.telemetry import GpuRows, Telemetry

OLDEST_NS = 1_500_000_000
"""A row older than this is no answer: at 5 rows a second the GPU has gone."""
_LIMIT = "gpu_power_limit_watts"
_ENERGY, _POWER = "gpu_energy_joules_total", "gpu_power_watts"


def _carried(millijoules: int, watts: float, age_ns: int) -> int:
    """The energy counter as it stood at the look: the row's own, and what the card has drawn since.

    Rows lie up to 0.2 s before a look; without this a mean power over one second would carry 20 % of jitter that no
    live reading has.
    """
    if millijoules == COUNTER_ABSENT or math.isnan(watts):
        return millijoules
    return millijoules + round(watts * age_ns / 1e6)


class RecordedGpus:
    """A `GpuSource` over rows: at each look the newest row of each GPU that is not newer than now.

    A GPU is known from its first row on, so that nothing is told before its time. That rank = index is an assumption:
    it is what torchrun does on one node.
    """

    def __init__(
        self,
        telemetry: Telemetry | None,
        probe: dict[int, dict[str, str]],
        node: Subject,
        node_name: str,
        job: SubjectFacts,
    ) -> None:
        self._telemetry = telemetry
        self._node, self._node_name = node, node_name
        self._job = job
        self._rows: list[tuple[GpuRows, Subject, SubjectFacts, float]] = []
        self._driver = next((one["driver"] for one in probe.values() if "driver" in one), "")
        for index, rows in telemetry.gpus.items() if telemetry else ():
            attributes = {key: value for key, value in probe.get(index, {}).items() if key != "driver"}
            gpu = Subject(node.cluster, SubjectKind.GPU, attributes.get("uuid") or f"{node.id}-gpu{index}")
            attributes |= {"index": str(index), "rank": str(index), "job": job.subject.id}
            facts = SubjectFacts(gpu, f"{node_name}/gpu{index}", node, attributes)
            self._rows.append((rows, gpu, facts, float(attributes.get("power_limit_watts", "nan"))))
        self._rows.sort(key=lambda one: one[0].times_ns[0])
        self._seen = 0
        self._energy: dict[Subject, tuple[int, int]] = {}
        self._facts: tuple[SubjectFacts, ...] = (*self._node_facts(), job)

    def _node_facts(self) -> tuple[SubjectFacts, ...]:
        if not self._driver:
            return ()
        return (SubjectFacts(self._node, self._node_name, None, {"driver": self._driver}),)

    def facts(self) -> tuple[SubjectFacts, ...]:
        """The job, and the GPUs seen so far."""
        return self._facts

    def all_facts(self) -> tuple[SubjectFacts, ...]:
        """Every GPU of the recording, also those not seen yet: for placing what a log says, not for sending."""
        return tuple(one[2] for one in self._rows)

    def events(self) -> list[Event]:
        """Nothing: rows do not say what a driver would have noticed."""
        return []

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        """The newest rows at `now_ns`; a GPU whose newest row is older than `OLDEST_NS` is absent."""
        self._notice(now_ns)
        look = GpuLook(now_ns, tuple(one[1] for one in self._rows[: self._seen]))
        if self._telemetry is None or not look.gpus:
            return look
        wanted = set(metrics)
        at = [rows.newest(now_ns, now_ns - OLDEST_NS) for rows, _, _, _ in self._rows[: self._seen]]
        here = [(one[0], place) for one, place in zip(self._rows, at)]
        for column, name in enumerate(self._telemetry.gauges):
            if name in wanted:
                look.gauges[name] = [math.nan if p is None else rows.gauges[p][column] for rows, p in here]
        for column, name in enumerate(self._telemetry.counters):
            if name in wanted:
                look.counters[name] = [COUNTER_ABSENT if p is None else rows.counters[p][column] for rows, p in here]
        if _ENERGY in look.counters and _POWER in self._telemetry.gauges:
            power = self._telemetry.gauges.index(_POWER)
            look.counters[_ENERGY] = [
                raw
                if p is None
                else self._never_back(gpu, raw, _carried(raw, rows.gauges[p][power], now_ns - rows.times_ns[p]))
                for gpu, raw, (rows, p) in zip(look.gpus, look.counters[_ENERGY], here)
            ]
        if _LIMIT in wanted:
            limits = [math.nan if place is None else one[3] for one, place in zip(self._rows, at)]
            if not all(math.isnan(limit) for limit in limits):
                look.gauges[_LIMIT] = limits
        return look

    def _never_back(self, gpu: Subject, raw: int, carried: int) -> int:
        """What was carried too far before a fall of power is waited for: a counter goes back only where its rows do."""
        last_raw, last = self._energy.get(gpu, (raw, carried))
        told = max(carried, last) if raw >= last_raw else carried
        self._energy[gpu] = (raw, told)
        return told

    def _notice(self, now_ns: int) -> None:
        seen = self._seen
        while seen < len(self._rows) and self._rows[seen][0].times_ns[0] <= now_ns:
            seen += 1
        if seen != self._seen:
            self._seen = seen
            self._facts = (*self._node_facts(), self._job, *(one[2] for one in self._rows[:seen]))
