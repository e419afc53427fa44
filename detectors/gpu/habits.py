"""What each GPU is used to, and how its present compares: the features that all look detectors share.

Load share L = (P - P_idle) / (P_busy - P_idle), with P the true mean power between two looks (from the energy counter;
the power gauge where there is none). P_busy and C_busy (SM clock) are the GPU's own means in steady load, P_idle the
lowest power seen while memory is held, nothing runs and the clock is up. Measured on H200 (facts: recordings study):
waiting in a collective 0.07, behind a late rank 0.10 to 0.25, noisy neighbour's peers 0.51, NaN 0.66, slower peer's
partners 0.87.
"""

from dataclasses import dataclass, field

import numpy as np

from detectors.frame import NS, Bools, Floats, Frame, Ints, grown

ARM_S = 10.0
"""Seconds of steady load before a GPU's habit counts: long enough for ten looks, short against any job."""
BUSY_UTILISATION = 0.9
STEADY_POWER = 0.10
STEADY_CLOCK = 0.04
"""Looks outside these shares of the habit teach nothing (3 s clock noise of healthy training is 1.0 to 1.4 %)."""
LEARN_S = 60.0
"""Time constant with which a habit follows slow drift (room temperature, learning-rate schedule)."""
IDLE_SHARE = 0.18
"""P_idle as a share of P_busy where it has never been seen: 126 W of 692 W on the H200."""
WINDOW_S = 6.3
"""Looks of the last six seconds make a GPU's class; 5.4 s was the longest benign stall (a checkpoint save)."""
NEWEST_S = 3.2
LEAST_SPAN_S = 4.9
"""A window that covers less says nothing yet."""
STILL_L, STILL_UTILISATION = 0.08, 0.15
SPIN_L, SPIN_UTILISATION = 0.40, 0.95
LOW_L = 0.5
GONE_SHARE = 0.10
"""Memory back within this share of empty: the process has left."""
LONGEST_LOOK_S = 15.0
ENERGY_COVERS = 1.6
"""The energy counter is dear (3 to 4.7 ms of CPU a call) and by the default plan read every 30 s only. It speaks where
a source gives it with every look; where its difference reaches back over several looks, the power gauge does."""
SHORT_LOOK_S = 2.5
"""Over a shorter span the energy counter's own steps (20 to 100 ms) are noise: the power gauge, which the driver
averages over a second on current cards, has half the say."""

CHUNK = 4096
"""Columns classified at once: their windows fit a core's cache, which a large fleet's do not."""

UNKNOWN, WORK, LOW, SPIN, STILL, GONE = 0, 1, 2, 3, 4, 5
"""Class of a GPU over the window."""
CLASS_NAMES = ("unknown", "work", "low", "spin", "still", "gone")


def _f(fill: float = np.nan) -> Floats:
    return np.full(0, fill, np.float32)


@dataclass(slots=True)
class Habits:
    """Full-width arrays, one place a column (`detectors.frame.Columns`)."""

    depth: int = 10
    """Looks kept for the window; more for recordings played at their own 5 Hz."""
    empty_bytes: Floats = field(default_factory=_f)
    held_bytes: Floats = field(default_factory=_f)
    total_bytes: Floats = field(default_factory=_f)
    """Size of the card as its gauge last said."""
    idle_watts: Floats = field(default_factory=_f)
    busy_watts: Floats = field(default_factory=_f)
    busy_hertz: Floats = field(default_factory=_f)
    top_hertz: Floats = field(default_factory=lambda: _f(0.0))
    armed: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    frozen: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Set by the engine while a finding is open on the GPU or its job: a fault must not become a habit."""
    gone_since_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    last_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    memory_bytes: Floats = field(default_factory=_f)
    utilisation: Floats = field(default_factory=_f)
    watts: Floats = field(default_factory=_f)
    hertz: Floats = field(default_factory=_f)
    """SM clock of the last look."""
    load: Floats = field(default_factory=_f)
    category: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    window_load_mean: Floats = field(default_factory=_f)
    window_load_max: Floats = field(default_factory=_f)
    window_load_min: Floats = field(default_factory=_f)
    window_clock: Floats = field(default_factory=_f)
    """Mean SM clock of the window over the habit."""
    window_clock_max: Floats = field(default_factory=_f)
    window_power: Floats = field(default_factory=_f)
    """Mean power of the window over the habit."""
    window_utilisation: Floats = field(default_factory=_f)
    """Mean over the window of the least utilisation of each look."""
    window_active: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Looks of the window with more load than a still GPU's."""
    window_stirs: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether any of the window's newest looks (`NEWEST_S`) shows such load: activity that goes on, not its tail."""
    window_start_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _try_watts: Floats = field(default_factory=_f)
    _try_hertz: Floats = field(default_factory=_f)
    _try_since_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _try_looks: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _slot: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _ring_ns: Ints = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    _ring: Floats = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    """Shape (5, depth, columns): load, least and greatest utilisation, clock and power over habit."""

    def __post_init__(self) -> None:
        self._ring_ns = np.zeros((self.depth, 0), np.int64)
        self._ring = np.zeros((5, self.depth, 0), np.float32)

    def grow(self, size: int) -> None:
        """Make room for `size` columns."""
        if size <= len(self.last_ns):
            return
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                fill = np.nan if value.dtype == np.float32 and name not in ("top_hertz", "_ring") else 0
                setattr(self, name, grown(value, size, fill))

    def look(self, frame: Frame) -> Ints:
        """Take in one frame; the positions in it whose GPU has a look that says how it works, shape (k,)."""
        at = np.flatnonzero(~np.isnan(frame.gauge("gpu_utilization_ratio")))
        cols, times = frame.cols[at], frame.times_ns[at]
        self.grow(int(frame.cols.max()) + 1)
        self.total_bytes[frame.cols] = _or(frame.gauge("gpu_memory_total_bytes"), self.total_bytes[frame.cols])
        if not len(at):
            return at
        now = frame.gauge("gpu_utilization_ratio")[at]
        low = _or(frame.gauge("gpu_utilization_ratio_min")[at], now)
        high = _or(frame.gauge("gpu_utilization_ratio_max")[at], now)
        hertz = frame.gauge("gpu_sm_clock_hertz")[at]
        memory = frame.gauge("gpu_memory_used_bytes")[at]
        processes = frame.gauge("gpu_processes")[at]
        watts = self._watts(frame, at, cols, times)
        span_s = np.minimum((times - self.last_ns[cols]) / NS, 1e6).astype(np.float32)
        self._hold_memory(cols, memory, processes, now, times)
        self._learn(cols, times, span_s, now, watts, hertz)
        load = self._load(cols, watts)
        self.utilisation[cols], self.watts[cols], self.load[cols] = now, watts, load
        self.hertz[cols] = hertz
        self.last_ns[cols] = times
        with np.errstate(invalid="ignore"):
            clock, power = hertz / self.busy_hertz[cols], watts / self.busy_watts[cols]
        self._remember(cols, times, np.stack([load, np.minimum(low, now), np.maximum(high, now), clock, power]))
        for begin in range(0, len(cols), CHUNK):
            self._classify(cols[begin : begin + CHUNK], times[begin : begin + CHUNK])
        return at

    def held(self, cols: Ints) -> Bools:
        """Whether a process holds memory there, beyond what the driver keeps."""
        above = self.memory_bytes[cols] - self.empty_bytes[cols]
        held: Bools = above > np.maximum(256 * 2**20, 0.25 * self.empty_bytes[cols])
        return held

    def free(self, cols: Ints) -> Bools:
        """Whether the card is known to hold no process: an unknown use of memory is not free."""
        free: Bools = ~np.isnan(self.memory_bytes[cols]) & ~self.held(cols)
        return free

    def forget(self, cols: Ints) -> None:
        """The job has left these GPUs: the next one learns its own habits."""
        self.armed[cols] = False
        for array in (self.busy_watts, self.busy_hertz, self.idle_watts, self.held_bytes, self._try_watts):
            array[cols] = np.nan
        self.gone_since_ns[cols] = 0
        self._ring_ns[:, cols] = 0
        self.category[cols] = UNKNOWN

    def _watts(self, frame: Frame, at: Ints, cols: Ints, times: Ints) -> Floats:
        """Mean power since the look before: by the energy counter where it covers just that, else the power gauge."""
        span, mean = frame.span("gpu_energy_joules_total")[at], frame.rate("gpu_energy_joules_total")[at]
        gauge = frame.gauge("gpu_power_watts")[at]
        since = (times - self.last_ns[cols]) / NS
        use = ~np.isnan(mean) & (span <= LONGEST_LOOK_S) & (mean < 1e5)
        use &= np.isnan(gauge) | (span <= ENERGY_COVERS * since)
        both = np.where((span < SHORT_LOOK_S) & ~np.isnan(gauge), (mean + gauge) / 2, mean)
        watts: Floats = np.where(use, both, gauge).astype(np.float32)
        return watts

    def _hold_memory(self, cols: Ints, memory: Floats, processes: Floats, now: Floats, times: Ints) -> None:
        known = ~np.isnan(memory)
        unseen = known & np.isnan(self.empty_bytes[cols])
        # never seen empty: the driver keeps under 1 % of the card (0.6 of 141 GB); 1.5 GB where the size is unknown
        reserve = _or(0.01 * self.total_bytes[cols], np.full(len(cols), 1.5e9, np.float32))
        nothing_runs = (processes == 0) | (np.isnan(processes) & (now <= 0.05) & (memory <= 2 * reserve))
        first = np.where(nothing_runs, memory, np.minimum(memory, reserve))
        empty = np.where(unseen, first, self.empty_bytes[cols])
        empty = np.where(known & (processes == 0), np.minimum(memory, 2 * reserve), empty)
        self.empty_bytes[cols] = np.where(known, np.fmin(empty, memory), empty)
        self.memory_bytes[cols] = np.where(known, memory, self.memory_bytes[cols])
        held = self.held_bytes[cols]
        with np.errstate(invalid="ignore"):
            gone = (
                known
                & self.armed[cols]
                & ((memory - self.empty_bytes[cols]) < GONE_SHARE * (held - self.empty_bytes[cols]))
            )
        since = self.gone_since_ns[cols]
        self.gone_since_ns[cols] = np.where(gone, np.where(since == 0, times, since), 0)

    def _learn(self, cols: Ints, times: Ints, span_s: Floats, now: Floats, watts: Floats, hertz: Floats) -> None:
        # a clock twice as high as ever seen makes all idle power seen so far that of a sleeping card
        risen = hertz > 2 * self.top_hertz[cols]
        self.top_hertz[cols] = np.fmax(self.top_hertz[cols], hertz)
        self.idle_watts[cols] = np.where(risen, np.nan, self.idle_watts[cols])
        held = self.held(cols)
        with np.errstate(invalid="ignore"):
            # the clock is up at once, the gauge averages a second: both looks must have it up, or a card that has just
            # woken would seem to rest at what it draws asleep
            awake = (hertz >= 0.8 * self.top_hertz[cols]) & (self.hertz[cols] >= 0.8 * self.top_hertz[cols])
            still = held & (now <= 0.05) & (self.utilisation[cols] <= 0.05) & awake
            steady = held & (now >= BUSY_UTILISATION) & ~np.isnan(watts)
            near = (np.abs(watts / self._try_watts[cols] - 1) <= STEADY_POWER) & (
                np.isnan(hertz) | (np.abs(hertz / self._try_hertz[cols] - 1) <= 2 * STEADY_CLOCK)
            )
            self.idle_watts[cols] = np.where(still, np.fmin(self.idle_watts[cols], watts), self.idle_watts[cols])
            usual = (
                self.armed[cols]
                & ~self.frozen[cols]
                & steady
                & (np.abs(watts / self.busy_watts[cols] - 1) <= STEADY_POWER)
                & (np.abs(hertz / self.busy_hertz[cols] - 1) <= STEADY_CLOCK)
            )
        # a first habit: ten seconds in which power and clock stay where they are
        trying = steady & ~self.armed[cols]
        go_on = trying & near
        looks = np.where(go_on, self._try_looks[cols] + 1, np.where(trying, 1, 0))
        weight = (1 / np.maximum(looks, 1)).astype(np.float32)
        for mean, value in ((self._try_watts, watts), (self._try_hertz, hertz)):
            mean[cols] = np.where(go_on, mean[cols] + weight * (value - mean[cols]), value)
        self._try_since_ns[cols] = np.where(go_on, self._try_since_ns[cols], times)
        self._try_looks[cols] = looks
        arms = go_on & (looks >= 3) & (times - self._try_since_ns[cols] >= ARM_S * NS)
        self.armed[cols] |= arms
        self.busy_watts[cols] = np.where(arms, self._try_watts[cols], self.busy_watts[cols])
        self.busy_hertz[cols] = np.where(arms, self._try_hertz[cols], self.busy_hertz[cols])
        self.held_bytes[cols] = np.where(arms, self.memory_bytes[cols], self.held_bytes[cols])
        rate = np.where(usual, 1 - np.exp(-np.minimum(span_s, LEARN_S) / LEARN_S), 0).astype(np.float32)
        self.busy_watts[cols] += np.where(usual, rate * (watts - self.busy_watts[cols]), 0)
        self.busy_hertz[cols] += np.where(usual, rate * (hertz - self.busy_hertz[cols]), 0)
        self.held_bytes[cols] = np.where(
            usual, np.fmax(self.memory_bytes[cols], self.held_bytes[cols] * 0.99), self.held_bytes[cols]
        )

    def _load(self, cols: Ints, watts: Floats) -> Floats:
        busy = self.busy_watts[cols]
        idle = np.fmin(_or(self.idle_watts[cols], IDLE_SHARE * busy), 0.5 * busy)
        with np.errstate(invalid="ignore", divide="ignore"):
            load: Floats = np.clip((watts - idle) / (busy - idle), -0.2, 1.5)
        return load

    def _remember(self, cols: Ints, times: Ints, values: Floats) -> None:
        slot = self._slot[cols]
        self._ring_ns[slot, cols] = times
        self._ring[:, slot, cols] = values
        self._slot[cols] = (slot + 1) % self.depth

    def _classify(self, cols: Ints, times: Ints) -> None:
        ages = times[None, :] - self._ring_ns[:, cols]
        inside = ages <= WINDOW_S * NS
        ring = self._ring[:, :, cols]
        count = inside.sum(axis=0)
        oldest = np.where(inside, ages, 0).max(axis=0)
        whole = (oldest >= LEAST_SPAN_S * NS) & (count >= 2) & self.armed[cols]
        total = np.where(inside, ring, 0).sum(axis=1) / np.maximum(count, 1)
        least = np.where(inside, ring[:2], np.inf).min(axis=1)
        most = np.where(inside, ring[:4], -np.inf).max(axis=1)
        self.window_load_mean[cols], self.window_load_min[cols], self.window_load_max[cols] = (
            total[0],
            least[0],
            most[0],
        )
        self.window_utilisation[cols] = total[1]
        self.window_clock[cols], self.window_clock_max[cols], self.window_power[cols] = total[3], most[3], total[4]
        active = inside & (ring[0] >= STILL_L)
        self.window_active[cols] = active.sum(axis=0)
        self.window_stirs[cols] = (active & (ages <= NEWEST_S * NS)).any(axis=0)
        self.window_start_ns[cols] = times - oldest
        # by the mean: ranks that wait for a loader's bursts work for a moment in each
        spin = (least[1] >= SPIN_UTILISATION) & (total[0] < SPIN_L)
        still = (most[2] <= STILL_UTILISATION) & (most[0] < STILL_L)
        low = total[0] < LOW_L
        category = np.where(spin, SPIN, np.where(still, STILL, np.where(low, LOW, WORK)))
        category = np.where(whole, category, UNKNOWN)
        self.category[cols] = np.where(self.gone_since_ns[cols] > 0, GONE, category)


def _or(values: Floats, otherwise: Floats) -> Floats:
    filled: Floats = np.where(np.isnan(values), otherwise, values)
    return filled
