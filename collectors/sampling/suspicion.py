"""When the collector sends second by second: each GPU's own learnt range, and what is suspicious whatever the habit.

This decides only how much is sent, never what is wrong: a false suspicion costs a minute of one batch a second, a
missed one costs up to `batch_seconds` of delay. So the ranges are narrow.
"""

import math

from collectors.gpu.source import GpuLook
from collectors.model import COUNTER_ABSENT, Event, EventKind, Subject, SubjectFacts, SubjectKind

LEARN_LOOKS = 10
"""Looks at a GPU's metric before its range is held against it."""
WEIGHT = 1 / 16
"""Weight of a new look in the moving mean and deviation: a memory of about 16 seconds."""
DEVIATIONS = 6.0
"""Half the range in mean absolute deviations; about 4.8 standard deviations of a bell curve."""
ADOPT_NS = 60 * 10**9
"""A shift that lasts this long is the new habit."""
SETTLED_NS = 15 * 10**9
"""A metric without a look out of its range for this long is back within it."""
TEMPERATURE_MARGIN_CELSIUS = 5.0
"""This near to the card's own slowdown temperature is suspicious."""
HARMFUL_REASONS = 0x8 | 0x20 | 0x40 | 0x80
"""NVML's clocks-event bits for hardware slowdown, software thermal, hardware thermal and power brake."""
UNKNOWN_MEMORY_SHARE = 0.02
"""Floor of the memory range, as a share of its own mean, on a card of unknown size."""

ORDINARY = frozenset({EventKind.TRAINING_STEP, EventKind.COLLECTOR_START, EventKind.COLLECTOR_GOODBYE})
"""Events that are no cause for suspicion."""
_RANGED = ("gpu_utilization_ratio", "gpu_power_watts", "gpu_sm_clock_hertz", "gpu_memory_used_bytes")
_STILL_COUNTERS = (
    "gpu_ecc_corrected_errors_total",
    "gpu_ecc_uncorrected_errors_total",
    "gpu_row_remaps_corrected_total",
    "gpu_row_remaps_uncorrected_total",
)
_STILL_GAUGES = ("gpu_row_remap_pending", "gpu_row_remap_failed")


class Range:
    """What one metric of one GPU usually shows: a moving mean and a moving mean absolute deviation.

    Looks out of the range do not move it. A second pair of averages follows every look; where looks keep falling out of
    the range for `ADOPT_NS`, these become the range, also where the new habit is to swing.
    """

    __slots__ = ("deviation", "last_out_ns", "looks", "mean", "out_since_ns", "recent_deviation", "recent_mean")

    def __init__(self) -> None:
        self.looks = 0
        self.mean = self.deviation = 0.0
        self.recent_mean = self.recent_deviation = 0.0
        self.out_since_ns = self.last_out_ns = -1

    def half_width(self, floor: float) -> float:
        """How far from the mean a look may lie, in the metric's unit."""
        return max(floor, DEVIATIONS * self.deviation)

    def look(self, value: float, floor: float, time_ns: int) -> bool:
        """Take in one look; whether it lies out of the range."""
        self.looks += 1
        if self.looks == 1:
            self.mean = self.recent_mean = value
            return False
        weight = max(1 / self.looks, WEIGHT)
        off = value - self.recent_mean
        self.recent_mean += weight * off
        self.recent_deviation += weight * (abs(off) - self.recent_deviation)
        if self.looks <= LEARN_LOOKS:
            self.mean, self.deviation = self.recent_mean, self.recent_deviation
            return False
        off = value - self.mean
        out = abs(off) > self.half_width(floor)
        if not out:
            self.mean += WEIGHT * off
            self.deviation += WEIGHT * (abs(off) - self.deviation)
            if self.out_since_ns >= 0 and time_ns - self.last_out_ns >= SETTLED_NS:
                self.out_since_ns = -1
            return False
        self.last_out_ns = time_ns
        if self.out_since_ns < 0:
            self.out_since_ns = time_ns
        elif time_ns - self.out_since_ns >= ADOPT_NS:
            self.mean, self.deviation, self.out_since_ns = self.recent_mean, self.recent_deviation, -1
            return False
        return True


class Suspicion:
    """Holds the reason to send second by second, if there is one."""

    def __init__(self, suspicion_seconds: float) -> None:
        self._lasts_ns = int(suspicion_seconds * 1e9)
        self._ranges: dict[tuple[Subject, str], Range] = {}
        self._previous: dict[tuple[Subject, str], float] = {}
        self._facts: dict[Subject, dict[str, str]] = {}
        self._until_ns = -1
        self._reason = ""

    def learn(self, facts: tuple[SubjectFacts, ...]) -> None:
        """Take in what is known about the GPUs: their index, memory and slowdown temperature."""
        for one in facts:
            if one.subject.kind is SubjectKind.GPU:
                self._facts[one.subject] = one.attributes

    def reason(self, now_ns: int) -> str:
        """Why looks are sent one by one now; empty in calm."""
        if now_ns >= self._until_ns:
            self._reason = ""
        return self._reason

    def note_event(self, event: Event, now_ns: int) -> None:
        """An event that is no training step is a cause by itself."""
        if event.kind not in ORDINARY:
            self._raise(f"{event.kind.value} of {event.subject.kind.value} {event.subject.id}", now_ns)

    def note_look(self, look: GpuLook) -> None:
        """Hold one look against each GPU's own habit and against what is never usual."""
        for place, gpu in enumerate(look.gpus):
            why = self._ranged(look, place, gpu) or self._never_usual(look, place, gpu)
            if why:
                index = self._facts.get(gpu, {}).get("index")
                self._raise(f"GPU {index if index is not None else gpu.id}: {why}", look.time_ns)

    def _raise(self, reason: str, now_ns: int) -> None:
        self._reason = reason
        self._until_ns = now_ns + self._lasts_ns

    def _ranged(self, look: GpuLook, place: int, gpu: Subject) -> str:
        why = ""
        for metric in _RANGED:
            values = look.gauges.get(metric)
            if values is None:
                continue
            value = values[place]
            key = (gpu, metric)
            was = self._previous.get(key, math.nan)
            self._previous[key] = value
            if math.isnan(value):
                if not math.isnan(was):
                    why = f"{metric} can no longer be read"
                continue
            held = self._ranges.get(key)
            if held is None:
                held = self._ranges[key] = Range()
            floor = self._floor(metric, held.mean, gpu)
            if held.look(value, floor, look.time_ns):
                half = held.half_width(floor)
                why = f"{metric} {value:.4g} is outside its usual {held.mean - half:.4g} to {held.mean + half:.4g}"
        return why

    def _floor(self, metric: str, mean: float, gpu: Subject) -> float:
        """The least half-width that physics and the driver's own averaging allow."""
        if metric == "gpu_utilization_ratio":
            return 0.10
        if metric == "gpu_power_watts":
            return 0.08 * mean
        if metric == "gpu_sm_clock_hertz":
            return 0.04 * mean
        total = _number(self._facts.get(gpu, {}).get("memory_total_bytes"))
        return 0.01 * total if total else UNKNOWN_MEMORY_SHARE * mean

    def _never_usual(self, look: GpuLook, place: int, gpu: Subject) -> str:
        reasons = look.gauges.get("gpu_clocks_event_reasons")
        if reasons is not None and not math.isnan(reasons[place]) and int(reasons[place]) & HARMFUL_REASONS:
            return f"harmful clocks-event reasons 0x{int(reasons[place]) & HARMFUL_REASONS:x}"
        heat = look.gauges.get("gpu_temperature_celsius")
        limit = _number(self._facts.get(gpu, {}).get("slowdown_celsius"))
        if heat is not None and limit and heat[place] >= limit - TEMPERATURE_MARGIN_CELSIUS:
            return f"{heat[place]:.0f} °C, near its slowdown at {limit:.0f} °C"
        for metric in _STILL_COUNTERS:
            counts = look.counters.get(metric)
            if counts is not None and counts[place] != COUNTER_ABSENT and self._moved(gpu, metric, counts[place]):
                return f"{metric} is now {counts[place]}"
        for metric in _STILL_GAUGES:
            flags = look.gauges.get(metric)
            if flags is not None and not math.isnan(flags[place]) and self._moved(gpu, metric, flags[place]):
                return f"{metric} is now {flags[place]:.0f}"
        return ""

    def _moved(self, gpu: Subject, metric: str, value: float) -> bool:
        was = self._previous.get((gpu, metric))
        self._previous[(gpu, metric)] = value
        return was is not None and was != value


def _number(text: str | None) -> float:
    try:
        return float(text) if text else 0.0
    except ValueError:
        return 0.0
