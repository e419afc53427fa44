"""`power_throttle`: the clock is held down by power, more than this GPU is used to."""

import numpy as np

from detectors.contract import Needs, Opening
from detectors.frame import Bools, Ints
from detectors.gpu.habits import BUSY_UTILISATION, LEAST_SPAN_S
from detectors.gpu.thermal_throttle import near_limit
from detectors.gpu.throttle_bits import HW_SLOWDOWN, POWER_BRAKE, POWER_CAP, THERMAL, bits, spoken
from detectors.model import Evidence, Finding, FindingKind, Severity
from detectors.persistence import Persistence
from detectors.view import LookDetector, View

CLOCK_SHARE = 0.88
"""Of its own habit. Throttled 0.80 to 0.82, compute straggler 0.91, evaluation 0.957 (recordings study)."""
CLOCK_MOST = 0.92
"""And no look of the window above this: an evaluation dips for a second, a throttle stays."""
AT_CAP = 0.9
RESTING_PEER = 0.95
"""A peer under this share of its habitual power rests: then this GPU is a straggler, not throttled."""


class PowerThrottle(LookDetector):
    """SM clock at or below 0.88 of the GPU's own habit over six seconds, at full utilisation, held by power.

    Healthy training sits AT the power cap all day: the software-power-cap bit alone is no fault. What counts is a
    clock below the GPU's own at the same kind of load, with no peer of the job resting. Denser work at the same cap
    looks the same and is said so, at severity info; with the power-brake or a bare hardware-slowdown bit it is the
    power supply, critical. Fails for a job that was throttled from its first minute: its habit is the throttled clock
    (peers on other nodes tell then: `straggler`). Clears after three looks above 0.92.
    """

    kinds = (FindingKind.POWER_THROTTLE,)
    needs = Needs(
        metrics=("gpu_utilization_ratio", "gpu_power_watts", "gpu_sm_clock_hertz", "gpu_clocks_event_reasons"),
        history_seconds=10.0,
    )

    def __init__(self) -> None:
        self._hold = Persistence(k=2, n=2, m=3)
        self._brake = Persistence(k=2, n=3, m=3)

    def adopt(self, column: int, finding: Finding) -> None:
        """Open since before a restart; critical is the brake's severity alone."""
        hold = self._brake if finding.severity is Severity.CRITICAL else self._hold
        hold.adopt(np.array([column], np.int64))

    def look(self, view: View) -> None:
        """One frame."""
        cols, times = view.frame.cols[view.at], view.frame.times_ns[view.at]
        if not len(cols):
            return
        habits = view.habits
        reasons = view.frame.gauge("gpu_clocks_event_reasons")[view.at]
        mask = bits(reasons)
        bare = (mask & HW_SLOWDOWN != 0) & (mask & THERMAL == 0)
        slowed = np.flatnonzero(bare)
        bare[slowed] = ~near_limit(view, view.at[slowed])
        brake = (mask & POWER_BRAKE != 0) | bare
        with np.errstate(invalid="ignore"):
            whole = (times - habits.window_start_ns[cols]) >= LEAST_SPAN_S * 1e9
            known = habits.armed[cols] & whole & ~np.isnan(habits.window_clock[cols])
            slow = (habits.window_clock[cols] <= CLOCK_SHARE) & (habits.window_clock_max[cols] <= CLOCK_MOST)
            busy = habits.window_utilisation[cols] >= BUSY_UTILISATION
            held = (mask & POWER_CAP != 0) | (habits.window_power[cols] >= AT_CAP)
        bad = known & slow & busy & held & (mask & THERMAL == 0)
        throttled = np.flatnonzero(bad)
        bad[throttled] = ~self._peer_rests(view, cols[throttled])
        # a card without a process is held back by nothing, also where its habit has been forgotten meanwhile
        opens, clears = self._hold.look(cols, bad, known | habits.free(cols), times)
        # the brake is the hardware's own word and needs no habit; both conditions are one finding
        brakes, released = self._brake.look(cols, brake, ~np.isnan(reasons), times)
        since, since_brake = self._hold.since_ns(cols), self._brake.since_ns(cols)
        for k in opens:
            start_ns = int(habits.window_start_ns[cols[k]])
            self._open(view, int(view.at[k]), min(int(since[k]), start_ns), int(mask[k]), Severity.INFO)
        for k in brakes:
            self._open(view, int(view.at[k]), int(since_brake[k]), int(mask[k]), Severity.CRITICAL)
        for k in {*clears.tolist(), *released.tolist()}:
            if not (self._hold.is_open(cols[k : k + 1])[0] or self._brake.is_open(cols[k : k + 1])[0]):
                view.out.clears(self.kinds[0], view.subject(int(view.at[k])), "the clock is back at its habit")

    @staticmethod
    def _peer_rests(view: View, cols: Ints) -> Bools:
        """Whether any rank of the same job draws clearly less than its habit, per column."""
        habits, jobs = view.habits, view.jobs
        job = jobs.job_of[cols]
        least = np.full(len(jobs.subjects) + 1, np.inf, np.float32)
        for index in np.unique(job[job >= 0]):
            members = jobs.members[int(index)]
            members = members[habits.armed[members]]
            if len(members) > 1:
                least[index] = np.fmin.reduce(habits.window_power[members])
        rests: Bools = (least[job] < RESTING_PEER) & (job >= 0)
        return rests

    def _open(self, view: View, i: int, since_ns: int, mask: int, severity: Severity) -> None:
        column, time_ns = int(view.frame.cols[i]), int(view.frame.times_ns[i])
        habits, where = view.habits, view.where(column)
        hertz, habit = float(view.frame.gauge("gpu_sm_clock_hertz")[i]), float(habits.busy_hertz[column])
        watts = float(habits.watts[column])
        share = float(habits.window_clock[column])
        against = f" against its habit of {habit / 1e6:.0f} MHz" if not np.isnan(habit) else ""
        evidence = (
            Evidence(
                f"SM clock {hertz / 1e6:.0f} MHz{against}",
                time_ns,
                "gpu_sm_clock_hertz",
                hertz,
                None if np.isnan(habit) else habit,
                "hertz",
                source="nvml",
            ),
            Evidence(f"it draws {watts:.0f} W", time_ns, "gpu_power_watts", watts, None, "watts", source="nvml"),
            Evidence(
                f"the driver says {spoken(mask)}",
                time_ns,
                "gpu_clocks_event_reasons",
                float(mask),
                None,
                "bitmask",
                source="nvml",
            ),
        )
        if severity is Severity.CRITICAL:
            summary = f"Power brake on {where}: {spoken(mask)}, SM clock {hertz / 1e6:.0f} MHz."
        else:
            why = "denser work or a lower cap"
            summary = f"Clock held down by power on {where}: {share:.0%} of its habit at {watts:.0f} W; {why}."
        view.out.opens(Opening(self.kinds[0], view.subject(i), since_ns, severity, 0.9, summary, evidence))
