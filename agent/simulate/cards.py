"""The physics of all cards at once: what each draws, does and measures, as arrays of (nodes, cards of a node).

A card is in one state at a time (`parameters.State`). Work that comes in bursts is a square wave: `high` for `width`
seconds of every `period`, `low` between. The power gauge is the true mean over the last second (so it is on the H200:
recordings, the edges of a hang at 5 Hz), the energy counter its integral, seen in steps of the counter's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.simulate import parameters as p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Place = tuple[Ints, Ints]
"""Node indices and card indices, equal length."""
NS = 1_000_000_000
CHEAP = (
    "gpu_utilization_ratio",
    "gpu_power_watts",
    "gpu_sm_clock_hertz",
    "gpu_clocks_event_reasons",
    "gpu_memory_used_bytes",
)
MIDDLE_GAUGES = (
    "gpu_temperature_celsius",
    "gpu_memory_temperature_celsius",
    "gpu_row_remap_pending",
    "gpu_row_remap_failed",
    "gpu_processes",
)
MIDDLE_COUNTERS = (
    "gpu_ecc_corrected_errors_total",
    "gpu_ecc_uncorrected_errors_total",
    "gpu_row_remaps_corrected_total",
    "gpu_row_remaps_uncorrected_total",
)
DEAR_GAUGES = ("gpu_power_limit_watts", "gpu_memory_total_bytes")
DEAR_COUNTERS = (
    "gpu_energy_joules_total",
    "gpu_power_violation_seconds_total",
    "gpu_thermal_violation_seconds_total",
    "gpu_pcie_replays_total",
    "gpu_nvlink_transmit_bytes_total",
    "gpu_nvlink_receive_bytes_total",
)


@dataclass(frozen=True, slots=True)
class FleetLook:
    """What one look at some nodes shows; arrays of shape (metrics, nodes, cards), NaN or -1 where absent."""

    time_ns: int
    cheap: Floats
    middle_gauges: Floats
    middle_counters: Ints
    dear_gauges: Floats
    dear_counters: Ints


class Cards:
    """State and measurement of every card."""

    def __init__(self, nodes: int, cards: int, start_ns: int, rng: np.random.Generator) -> None:
        shape = (nodes, cards)
        self._rng = rng
        self.start_ns = start_ns
        self.own_busy = rng.normal(0, p.SPREAD.busy_watts, shape)
        self.own_idle = rng.normal(0, p.SPREAD.idle_watts, shape)
        self.own_clock = np.clip(rng.normal(0, p.SPREAD.busy_clock_mhz, shape), -60, 60)
        self.ambient = rng.normal(p.AMBIENT_CELSIUS, p.SPREAD.ambient_celsius, shape)
        self.warmer = np.zeros(shape)
        """Degrees by which the room is warmer than usual."""
        self.energy_step = rng.uniform(*p.ENERGY_STEP_SECONDS, size=(nodes, 1)) * np.ones(shape)
        self.low, self.high = np.full(shape, p.OFF.watts), np.full(shape, p.OFF.watts)
        self.period, self.width, self.phase = np.ones(shape), np.zeros(shape), np.zeros(shape)
        self.noise = np.full(shape, p.OFF.watts_noise)
        self.idle_use = np.zeros((2, *shape), np.int64)
        """Least and most utilisation outside of bursts, per cent."""
        self.clock, self.clock_noise = np.full(shape, p.OFF.clock_mhz, np.float64), np.zeros(shape)
        self.reasons, self.extra_reasons = np.full(shape, p.IDLE_BIT, np.int64), np.zeros(shape, np.int64)
        self.clock_share = np.ones(shape)
        """Throttled cards: share of the clock that is left."""
        self.hot = np.zeros(shape)
        """Degrees that the core has beyond what its power explains."""
        self.memory = np.full(shape, float(p.EMPTY_BYTES))
        self.memory_rate = np.zeros(shape)
        """Bytes a second that leak, until the card is full."""
        self.processes = np.zeros(shape)
        self.nvlink = np.zeros(shape)
        self.lost = np.zeros(shape, np.bool_)
        """Off the bus: no look shows anything."""
        self.corrected_rate = np.zeros(shape)
        self.corrected, self.uncorrected, self.remaps, self.remaps_corrected = (
            np.zeros(shape, np.int64) for _ in range(4)
        )
        self.pending, self.failed = np.zeros(shape), np.zeros(shape)
        self.joules = rng.uniform(1e5, 5e8, shape)
        self._since_look = np.zeros(shape)
        self._from_s = np.zeros(shape)
        self._looked_s = np.full(shape, -1.0)
        self._fast, self._slow = np.full(shape, p.OFF.watts), np.full(shape, p.OFF.watts)
        self._capped_s, self._hot_s, self._kib = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def seconds(self, now_ns: int) -> float:
        """Since the simulation's start."""
        return (now_ns - self.start_ns) / NS

    def put(self, at: Place, state: p.State, now_ns: int, **changes: float) -> None:
        """Put cards into a state; `changes` replace figures of it (`watts`, `clock_mhz`, `clock_noise`)."""
        self.settle(at, now_ns)
        busy = changes.get("watts", state.watts) > 300
        watts = changes.get("watts", state.watts) + (self.own_busy[at] if busy else self.own_idle[at])
        self.low[at] = self.high[at] = watts
        self.period[at], self.width[at] = 1.0, 0.0
        self.noise[at] = state.watts_noise
        self.idle_use[0][at], self.idle_use[1][at] = state.utilisation
        clock = changes.get("clock_mhz", state.clock_mhz)
        drift = self._rng.normal(0, p.SPREAD.phase_clock_mhz, len(at[0])) if state.reasons & p.POWER_CAP else 0.0
        own = self.own_clock[at] if clock < 1930 and state.reasons & p.POWER_CAP else 0.0
        self.clock[at] = clock + own + drift
        self.clock_noise[at] = changes.get("clock_noise", state.clock_noise)
        self.reasons[at] = state.reasons
        self.nvlink[at] = state.nvlink_mbytes

    def burst(self, at: Place, low: p.State, high_watts: float, period: float, width: float, now_ns: int) -> None:
        """`high_watts` for `width` seconds of every `period`, from now on; as `low` between."""
        self.put(at, low, now_ns)
        self.high[at] = high_watts + self.own_busy[at]
        self.period[at], self.width[at], self.phase[at] = period, min(width, period), self.seconds(now_ns)
        self.clock[at], self.clock_noise[at] = p.TOP_CLOCK_MHZ - 7, 10
        self.nvlink[at] = p.WORK.nvlink_mbytes * width / period

    def settle(self, at: Place | tuple[slice, slice], now_ns: int) -> None:
        """Bring energy up to now, before a state changes and before a look."""
        now, since = self.seconds(now_ns), self._from_s[at]
        self._since_look[at] += self._joules(at, since, np.full_like(since, now))
        self._from_s[at] = now

    def _joules(self, at: Place | tuple[slice, slice], since: Floats, now: Floats) -> Floats:
        share = 0.6 + 0.4 * self.clock_share[at]
        low, high = self.low[at] * share, self.high[at] * share
        burst = self._burst_seconds(at, now) - self._burst_seconds(at, since)
        joules: Floats = low * (now - since) + (high - low) * burst
        return joules

    def _burst_seconds(self, at: Place | tuple[slice, slice], now: Floats) -> Floats:
        period, width = self.period[at], self.width[at]
        passed = np.maximum(now - self.phase[at], 0)
        whole = np.floor(passed / period)
        seconds: Floats = whole * width + np.minimum(passed - whole * period, width)
        return seconds

    def look(self, nodes: slice, now_ns: int) -> FleetLook:
        """Measure the nodes of a slice; each node is looked at once a second."""
        at, now, rng = (nodes, slice(None)), self.seconds(now_ns), self._rng
        self.settle(at, now_ns)
        shape = self.low[at].shape
        passed = np.where(self._looked_s[at] < 0, 1.0, now - self._looked_s[at])
        mean = np.where(self._since_look[at] > 0, self._since_look[at] / passed, self.low[at])
        self.joules[at] += self._since_look[at]
        self._since_look[at] = 0
        self._looked_s[at] = now
        gauss = rng.standard_normal((3, *shape))
        even = rng.random((2, *shape))
        watts = np.round(mean + gauss[0] * self.noise[at], 3)
        self._warm(at, passed, mean)
        in_burst = self._burst_seconds(at, np.full(shape, now)) > self._burst_seconds(
            at, np.full(shape, now - p.BURST_LOOK_SECONDS)
        )
        low, high = self.idle_use[0][at], self.idle_use[1][at]
        use = np.where(in_burst, 97 + np.floor(even[0] * 3), low + np.floor(even[0] * (high - low + 1)))
        hertz = self.clock[at] + gauss[1] * self.clock_noise[at]
        hertz = hertz * self.clock_share[at] * (1 - p.WARM_ROOM_CLOCK_SHARE * np.clip(self.warmer[at] / 7, 0, 1))
        hertz = np.minimum(np.round(hertz / p.CLOCK_STEP_MHZ) * p.CLOCK_STEP_MHZ, p.TOP_CLOCK_MHZ) * 1e6
        reasons = np.where((self.width[at] > 0) & (even[1] < 0.2), p.POWER_CAP, self.reasons[at])
        reasons = reasons | self.extra_reasons[at]
        self._leak(at, passed)
        cheap = np.stack([use / 100, watts, hertz, reasons.astype(np.float64), np.floor(self.memory[at])])
        core = self.ambient[at] + self.warmer[at] + self.hot[at]
        core = core + p.FAST_CELSIUS_PER_WATT * self._fast[at] + p.SLOW_CELSIUS_PER_WATT * self._slow[at]
        core = np.where(self.extra_reasons[at] & (p.SW_THERMAL | p.HW_THERMAL) > 0, p.THERMAL_TARGET_CELSIUS, core)
        hbm = self.ambient[at] + self.warmer[at] + 0.7 * self.hot[at] + p.HBM_AMBIENT_CELSIUS - p.AMBIENT_CELSIUS
        hbm = hbm + p.HBM_FAST * self._fast[at] + p.HBM_SLOW * self._slow[at]
        middle = np.stack(
            [np.round(core + 0.7 * gauss[2]), np.round(hbm), self.pending[at], self.failed[at], self.processes[at]]
        )
        counts, dear = self._count(at, passed, now)
        fixed = np.stack([np.full(shape, float(p.POWER_LIMIT_WATTS)), np.full(shape, float(p.CARD_BYTES))])
        gone = self.lost[at]
        if gone.any():
            for gauges in (cheap, middle, fixed):
                gauges[:, gone] = np.nan
            for counters in (counts, dear):
                counters[:, gone] = -1
        return FleetLook(now_ns, cheap, middle, counts, fixed, dear)

    def _warm(self, at: tuple[slice, slice], passed: Floats, mean: Floats) -> None:
        self._fast[at] += (1 - np.exp(-passed / p.FAST_SECONDS)) * (mean - self._fast[at])
        self._slow[at] += (1 - np.exp(-passed / p.SLOW_SECONDS)) * (mean - self._slow[at])

    def _leak(self, at: tuple[slice, slice], passed: Floats) -> None:
        grown = self.memory[at] + self.memory_rate[at] * passed
        self.memory[at] = np.minimum(grown, p.CARD_BYTES - 400e6)

    def _count(self, at: tuple[slice, slice], passed: Floats, now: float) -> tuple[Ints, Ints]:
        rate = self.corrected_rate[at] + p.CORRECTED_PER_DAY / 86_400
        self.corrected[at] += self._rng.poisson(rate * passed)
        # the counter shows the energy as it was at its own last update
        age = now - np.floor(now / self.energy_step[at]) * self.energy_step[at]
        millijoules = np.floor((self.joules[at] - self.low[at] * age) * 1e3).astype(np.int64)
        self._capped_s[at] += np.where(self.reasons[at] & p.POWER_CAP > 0, 0.99 * passed, 0)
        self._hot_s[at] += np.where(self.extra_reasons[at] & (p.SW_THERMAL | p.HW_THERMAL) > 0, passed, 0)
        self._kib[at] += self.nvlink[at] * 1e6 / 1024 * passed
        corrected_rows = self.remaps_corrected[at]
        counts = np.stack([self.corrected[at], self.uncorrected[at], corrected_rows, self.remaps[at]])
        kib = self._kib[at].astype(np.int64)
        nanoseconds = [(seconds * 1e9).astype(np.int64) for seconds in (self._capped_s[at], self._hot_s[at])]
        dear = np.stack([millijoules, *nanoseconds, np.zeros_like(kib), kib, kib])
        return counts.astype(np.int64), dear


def place(ranks: Sequence[tuple[int, int]]) -> Place:
    """(node, card) pairs as index arrays."""
    pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
