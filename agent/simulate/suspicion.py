"""`collectors.sampling.suspicion` for many nodes at once: the same arithmetic on arrays.

tests/agent/simulate holds it to the collector's own: the same looks and events give the same batches.
"""

from collections.abc import Callable

import numpy as np

from agent.simulate.cards import CHEAP, MIDDLE_COUNTERS, MIDDLE_GAUGES, Bools, FleetLook, Floats, Ints
from collectors.model import COUNTER_ABSENT, Event
from collectors.sampling.suspicion import (
    ADOPT_NS,
    DEVIATIONS,
    HARMFUL_REASONS,
    LEARN_LOOKS,
    ORDINARY,
    SETTLED_NS,
    TEMPERATURE_MARGIN_CELSIUS,
    WEIGHT,
)

_RANGED = tuple(CHEAP.index(name) for name in CHEAP if name != "gpu_clocks_event_reasons")
_REASONS = CHEAP.index("gpu_clocks_event_reasons")
_HEAT = MIDDLE_GAUGES.index("gpu_temperature_celsius")
_COUNTERS = tuple(
    MIDDLE_COUNTERS.index(name)
    for name in (
        "gpu_ecc_corrected_errors_total",
        "gpu_ecc_uncorrected_errors_total",
        "gpu_row_remaps_corrected_total",
        "gpu_row_remaps_uncorrected_total",
    )
)
_FLAGS = tuple(MIDDLE_GAUGES.index(name) for name in ("gpu_row_remap_pending", "gpu_row_remap_failed"))


class FleetSuspicion:
    """Ranges of every card's four metrics, and until when each node is suspicious."""

    def __init__(
        self, nodes: int, cards: int, lasts_seconds: float, slowdown_celsius: float, memory_bytes: float
    ) -> None:
        """Facts about the cards are the same for all: one model."""
        self._lasts_ns = int(lasts_seconds * 1e9)
        self._slowdown, self._memory = slowdown_celsius, memory_bytes
        shape = (len(_RANGED), nodes, cards)
        self._looks = np.zeros(shape, np.int64)
        self._mean, self._deviation = np.zeros(shape), np.zeros(shape)
        self._recent_mean, self._recent_deviation = np.zeros(shape), np.zeros(shape)
        self._last_out, self._out_since = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
        self._was = np.full(shape, np.nan)
        self._counts = np.full((len(_COUNTERS), nodes, cards), np.iinfo(np.int64).min, np.int64)
        self._flags = np.full((len(_FLAGS), nodes, cards), np.nan)
        self.until_ns = np.full(nodes, -1, np.int64)
        self.reasons = [""] * nodes

    def forget(self, node: int) -> None:
        """A new collector process: it knows nothing."""
        self._looks[:, node] = 0
        for array in (self._mean, self._deviation, self._recent_mean, self._recent_deviation):
            array[:, node] = 0
        self._last_out[:, node] = self._out_since[:, node] = -1
        self._was[:, node] = self._flags[:, node] = np.nan
        self._counts[:, node] = np.iinfo(np.int64).min
        self.until_ns[node], self.reasons[node] = -1, ""

    def reason(self, node: int, now_ns: int) -> str:
        """Why a node's looks are sent one by one; empty in calm."""
        if now_ns >= self.until_ns[node]:
            self.reasons[node] = ""
        return self.reasons[node]

    def note_event(self, node: int, event: Event, now_ns: int) -> None:
        """An event that is no training step is a cause by itself."""
        if event.kind not in ORDINARY:
            self._raise(node, f"{event.kind.value} of {event.subject.kind.value} {event.subject.id}", now_ns)

    def note_look(self, look: FleetLook, alive: Bools, middle: Bools) -> None:
        """One look at all nodes that are `alive`; those with `middle` were asked for those metrics too."""
        out, words = self._ranged(look, alive)
        pending = alive[:, None] & ~out
        reasons = np.where(np.isnan(look.cheap[_REASONS]), 0, look.cheap[_REASONS]).astype(np.int64) & HARMFUL_REASONS
        harmful = pending & (reasons > 0)
        pending &= ~harmful & middle[:, None]
        with np.errstate(invalid="ignore"):
            heat = look.middle_gauges[_HEAT]
            hot = pending & (heat >= self._slowdown - TEMPERATURE_MARGIN_CELSIUS)
        pending &= ~hot
        moved: list[tuple[Bools, str, Floats | Ints]] = []
        for place, row in enumerate(_COUNTERS):
            now = look.middle_counters[row]
            seen = pending & (now != COUNTER_ABSENT)
            hit = seen & (self._counts[place] != now) & (self._counts[place] != np.iinfo(np.int64).min)
            self._counts[place][seen] = now[seen]
            pending &= ~hit
            moved.append((hit, f"{MIDDLE_COUNTERS[row]} is now {{:d}}", now))
        for place, row in enumerate(_FLAGS):
            flags = look.middle_gauges[row]
            seen = pending & ~np.isnan(flags)
            hit = seen & (self._flags[place] != flags) & ~np.isnan(self._flags[place])
            self._flags[place][seen] = flags[seen]
            pending &= ~hit
            moved.append((hit, f"{MIDDLE_GAUGES[row]} is now {{:.0f}}", flags))
        anything = out | harmful | hot
        for hit, _, _ in moved:
            anything |= hit
        for node in np.flatnonzero(anything.any(axis=1)).tolist():
            card = int(np.flatnonzero(anything[node])[-1])
            if out[node, card]:
                why = words(node, card)
            elif harmful[node, card]:
                why = f"harmful clocks-event reasons 0x{reasons[node, card]:x}"
            elif hot[node, card]:
                why = f"{heat[node, card]:.0f} °C, near its slowdown at {self._slowdown:.0f} °C"
            else:
                text, values = next((text, values) for hit, text, values in moved if hit[node, card])
                why = text.format(values[node, card].item())
            self._raise(node, f"GPU {card}: {why}", look.time_ns)

    def _raise(self, node: int, reason: str, now_ns: int) -> None:
        self.reasons[node] = reason
        self.until_ns[node] = now_ns + self._lasts_ns

    def _ranged(self, look: FleetLook, alive: Bools) -> tuple[Bools, Callable[[int, int], str]]:
        """Which cards have a metric out of its range or no longer readable, and the words for one of them."""
        values = look.cheap[list(_RANGED)]
        known = ~np.isnan(values) & alive[None, :, None]
        vanished = np.isnan(values) & ~np.isnan(self._was) & alive[None, :, None]
        self._was = np.where(alive[None, :, None], values, self._was)
        floor = np.stack(
            [
                np.full(values.shape[1:], 0.10),
                0.08 * self._mean[1],
                0.04 * self._mean[2],
                np.full(values.shape[1:], 0.01 * self._memory),
            ]
        )
        half = np.maximum(floor, DEVIATIONS * self._deviation)
        self._looks += known
        first = known & (self._looks == 1)
        later = known & ~first
        values = np.where(known, values, 0.0)
        # the pair of averages that follows every look
        weight = np.maximum(1 / np.maximum(self._looks, 1), WEIGHT)
        off = values - self._recent_mean
        recent = self._recent_mean + weight * off
        spread = self._recent_deviation + weight * (np.abs(off) - self._recent_deviation)
        self._recent_mean = np.where(first, values, np.where(later, recent, self._recent_mean))
        self._recent_deviation = np.where(later, spread, self._recent_deviation)
        learning = later & (self._looks <= LEARN_LOOKS)
        self._mean = np.where(first, values, np.where(learning, self._recent_mean, self._mean))
        self._deviation = np.where(learning, self._recent_deviation, self._deviation)
        judged = later & ~learning
        off = values - self._mean
        out = judged & (np.abs(off) > half)
        inside = judged & ~out
        self._mean = np.where(inside, self._mean + WEIGHT * off, self._mean)
        moved = self._deviation + WEIGHT * (np.abs(off) - self._deviation)
        self._deviation = np.where(inside, moved, self._deviation)
        settled = inside & (self._out_since >= 0) & (look.time_ns - self._last_out >= SETTLED_NS)
        self._last_out[out] = look.time_ns
        begun = out & (self._out_since < 0)
        adopts = out & ~begun & (look.time_ns - self._out_since >= ADOPT_NS)
        self._out_since[begun] = look.time_ns
        self._out_since[settled | adopts] = -1
        self._mean = np.where(adopts, self._recent_mean, self._mean)
        self._deviation = np.where(adopts, self._recent_deviation, self._deviation)
        out &= ~adopts
        shown = np.where(known, values, np.nan)
        mean = self._mean

        def words(node: int, card: int) -> str:
            why = ""
            for place, row in enumerate(_RANGED):
                if vanished[place, node, card]:
                    why = f"{CHEAP[row]} can no longer be read"
                elif out[place, node, card]:
                    least = mean[place, node, card] - half[place, node, card]
                    most = mean[place, node, card] + half[place, node, card]
                    value = shown[place, node, card]
                    why = f"{CHEAP[row]} {value:.4g} is outside its usual {least:.4g} to {most:.4g}"
            return why

        either: Bools = (out | vanished).any(axis=0)
        return either, words
