"""`thermal_throttle`: the card slows itself down because it is hot."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import Bools, Ints
from detectors.gpu.throttle_bits import HARMFUL, HW_SLOWDOWN, THERMAL, bits, spoken
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.persistence import Persistence
from detectors.view import LookDetector, View, told_number

NEAR_CELSIUS = 5.0
"""A bare hardware-slowdown bit counts as thermal this close to the card's own slowdown limit."""


def near_limit(view: View, at: Ints) -> Bools:
    """Whether the core is close to the card's own slowdown limit, by position; False where either is unknown."""
    celsius = view.frame.gauge("gpu_temperature_celsius")[at]
    hot = np.zeros(len(at), np.bool_)
    for k in np.flatnonzero(~np.isnan(celsius)):
        limit = told_number(view.inventory, view.subject(int(at[k])), "slowdown_celsius")
        hot[k] = limit is not None and celsius[k] >= limit - NEAR_CELSIUS
    return hot


class ThermalThrottle(LookDetector):
    """A thermal slowdown bit is set, in two looks of three: the driver's own word, whatever the temperature.

    The bare hardware-slowdown bit (0x8) may also mean an external power brake: it counts as thermal only where the
    core is within 5 degrees of the card's own slowdown limit. A warm room alone sets no bit and is no finding. Two
    looks, since the bits may blip at a change of performance state (NVML's own note). Clears after three clean looks.
    """

    kinds = (FindingKind.THERMAL_THROTTLE,)
    needs = Needs(metrics=("gpu_clocks_event_reasons",))

    def __init__(self) -> None:
        self._hold = Persistence(k=2, n=3, m=3)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart."""
        self._hold.adopt(np.array([column], np.int64))

    def look(self, view: View) -> None:
        """One frame."""
        frame, reasons = view.frame, view.frame.gauge("gpu_clocks_event_reasons")
        mask = bits(reasons)
        celsius = frame.gauge("gpu_temperature_celsius")
        bad = (mask & THERMAL) != 0
        bare = np.flatnonzero((mask & HW_SLOWDOWN != 0) & ~bad)
        bad[bare] = near_limit(view, bare)
        opens, clears = self._hold.look(frame.cols, bad, ~np.isnan(reasons), frame.times_ns)
        since = self._hold.since_ns(frame.cols)
        for i in opens:
            self._open(view, int(i), int(since[i]), int(mask[i]) & HARMFUL, float(celsius[i]))
        for i in clears:
            view.out.clears(self.kinds[0], view.subject(int(i)), "no thermal slowdown bit in three looks")

    def _open(self, view: View, i: int, since_ns: int, mask: int, celsius: float) -> None:
        column, time_ns = int(view.frame.cols[i]), int(view.frame.times_ns[i])
        where, hertz = view.where(column), float(view.frame.gauge("gpu_sm_clock_hertz")[i])
        evidence = [
            Evidence(
                f"the driver says {spoken(mask)} on {where}",
                time_ns,
                "gpu_clocks_event_reasons",
                float(mask),
                0.0,
                "bitmask",
                source="nvml",
            )
        ]
        if not np.isnan(celsius):
            limit = told_number(view.inventory, view.subject(i), "slowdown_celsius")
            held = f", the card slows down at {limit:g} °C" if limit is not None else ""
            text = f"{where} is at {celsius:.0f} °C{held}"
            evidence.append(
                Evidence(text, time_ns, "gpu_temperature_celsius", celsius, limit, "celsius", source="nvml")
            )
        habit = float(view.habits.busy_hertz[column])
        if not np.isnan(hertz) and not np.isnan(habit):
            text = f"SM clock {hertz / 1e6:.0f} MHz against its habit of {habit / 1e6:.0f} MHz"
            evidence.append(Evidence(text, time_ns, "gpu_sm_clock_hertz", hertz, habit, "hertz", source="nvml"))
        warm = "" if np.isnan(celsius) else f" at {celsius:.0f} °C"
        summary = f"Thermal throttling on {where}{warm}: {spoken(mask)}."
        view.out.opens(
            Opening(self.kinds[0], view.subject(i), since_ns, Severity.CRITICAL, 0.95, summary, tuple(evidence))
        )
