"""unusual: a subject whose readings, taken together, the fleet has not shown before."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from collectors.model import Subject
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.model import Evidence, FindingKind, Inventory, Severity
from detectors.persistence import Persistence
from detectors.unusual.habit import OwnHabit
from detectors.unusual.model import Bools, Floats, UnusualModel
from detectors.unusual.peers import Peers
from detectors.unusual.reservoir import Reservoir

Ints = npt.NDArray[np.int64]
SMOOTHING = 15
"""Span, in looks, of the trailing mean of the distance: on ASD it raises average precision from .35 to .42."""
CAP = 4.0
"""One look's distance counts at most this much: a save of 40 s must have left the trailing mean soon after it ends."""
LEVEL = 2.0
"""Smoothed distance, in thresholds of the model, at which a look is bad."""
NOVEL = 4.0
"""Own standard deviations by which at least one metric must have left the subject's own habit: what it has always done
is odd, not unusual."""
BAD, OF, CLEAN = 16, 20, 24
"""Looks: bad ones of the last that open, and clean ones that clear."""
REFRACTORY_NS = 3600 * 1_000_000_000
"""After it has cleared, the same subject says nothing for an hour: refractory periods are worth 7 to 10 NAB points."""
LEARN_AFTER_NS = 6 * REFRACTORY_NS
"""What has been told for so long goes into the sample, and the next model may find it usual."""
OWN_SPAN, OWN_WARM = 1440, 120
MOST_ROWS = 20_000
ROWS_A_LOOK = 64
LEAST_ROWS = 2_000
"""Rows before a model is worth learning."""
TELL = 3
"""Metrics that an opinion names."""


class Setting(StrEnum):
    """What a subject is held against: its job's other GPUs, or the fleet."""

    ALONE = "alone"
    AMONG_PEERS = "among_peers"


@dataclass(frozen=True, slots=True)
class Scores:
    """What one look gave, per subject, shape (S,): NaN where it could not be judged."""

    distance: Floats
    """Distance in thresholds of the model: above 1 is rarer than 1 in 100 of what was learnt."""
    smoothed: Floats
    """Its trailing mean."""
    own: Floats
    """Largest deviation of a metric from the subject's own habit, in own standard deviations."""


class UnusualDetector:
    """Kind `unusual`: unsupervised, learnt online from peers and own history. Evidence only, never a cause.

    Needs nothing but readings. A GPU with at least three peers in its job is judged by how its readings differ from the
    peers' median, all others by the readings themselves: a job that starts, saves or ends moves all its GPUs alike. The
    detector gathers two bounded samples while it looks; the agent now and then hands `sample(setting)` to `fit_unusual`
    in a worker and the result to `adopt`. Until then it is not ready. An opinion takes a smoothed distance of 2
    thresholds on 16 of 20 looks AND a metric 4 sigma from the subject's own habit, and names the metrics that drive it.

    Fails: a fault that a share of the fleet had while it learnt is normal to it; a change of all GPUs of a job at once
    is none; a rank with a duty of its own (a save that lasts minutes) is told until it has been learnt.
    """

    kinds: tuple[FindingKind, ...] = (FindingKind.UNUSUAL,)
    needs = Needs(metrics=("gpu_utilization_ratio", "gpu_power_watts", "gpu_sm_clock_hertz"), history_seconds=1800.0)
    """Half an hour of looks before the first model (`detectors.unusual.learning`); more gauges are used where there."""

    def __init__(self, metrics: tuple[str, ...], seed: int = 0) -> None:
        self.metrics = metrics
        self._models: dict[Setting, UnusualModel] = {}
        self._samples = {
            setting: Reservoir(MOST_ROWS, len(metrics), seed + number) for number, setting in enumerate(Setting)
        }
        self._habit = OwnHabit(len(metrics), OWN_SPAN, OWN_WARM)
        self._peers = Peers()
        self._random = np.random.default_rng(seed)
        self._column: dict[Subject, int] = {}
        self._subjects: tuple[Subject, ...] = ()
        self._columns: Ints = np.zeros(0, np.int64)
        self._persistence = Persistence(k=BAD, n=OF, m=CLEAN)
        self._smoothed = np.zeros(0, np.float32)
        self._was_grouped = np.zeros(0, np.bool_)
        self._quiet_until = np.zeros(0, np.int64)
        self._told = np.zeros(0, np.bool_)
        """Which columns have been opened: one in its refractory period is open to Persistence, but never told."""

    def ready(self, setting: Setting) -> bool:
        """Whether it has a model; until then it says nothing, which is not "healthy"."""
        return setting in self._models

    def sample(self, setting: Setting) -> Floats | None:
        """A copy of the rows gathered so far, (N, F), for `fit_unusual`; None while they are too few."""
        held = self._samples[setting]
        return held.rows() if held.count >= LEAST_ROWS else None

    def adopt(self, setting: Setting, model: UnusualModel) -> None:
        """Judge by this model from the next look on."""
        if model.metrics != self.metrics:
            raise ValueError(
                f"the model is of {len(model.metrics)} other metrics than the {len(self.metrics)} looked at"
            )
        self._models[setting] = model

    def look(
        self,
        values: Floats,
        metrics: tuple[str, ...],
        subjects: Sequence[Subject],
        time_ns: int,
        now_ns: int,
        inventory: Inventory,
    ) -> list[Opinion]:
        """One look at all subjects: `values` float32 (M, S) in the catalogue's units, NaN where missing.

        `metrics` names the rows and must be those it was made for; `time_ns` is when the readings were taken, `now_ns`
        the agent's clock. Raises ValueError on shapes that do not agree.
        """
        if metrics != self.metrics or values.shape != (len(metrics), len(subjects)):
            raise ValueError(
                f"values have the shape {values.shape} for {len(metrics)} metrics, {len(subjects)} subjects"
            )
        if not len(subjects):
            return []
        values = np.where(np.isfinite(values), values, np.float32(np.nan)).astype(np.float32, copy=False)
        self._follow(subjects, inventory)
        medians = self._peers.medians(values)
        grouped = self._peers.grouped
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.where(grouped, values - medians, values)
        rows[~np.isfinite(rows)] = np.nan
        columns = self._columns
        # a job that came or went changes what a subject is held against: its habit and score begin anew
        moved = self._was_grouped[columns] != grouped
        if moved.any():
            self._habit.forget(columns[moved])
            self._smoothed[columns[moved]] = 0.0
            self._was_grouped[columns] = grouped
        scores, scaled = self._score(rows, grouped)
        return self._judge(values, rows, medians, scores, scaled, time_ns, now_ns, inventory)

    def scores(self, values: Floats, subjects: Sequence[Subject], inventory: Inventory) -> Scores:
        """The scores of a look without any opinion, for measuring; the state moves on as by a look."""
        self._follow(subjects, inventory)
        rows = np.where(self._peers.grouped, values - self._peers.medians(values), values)
        scores, _ = self._score(rows, self._peers.grouped)
        self._habit.learn(rows, self._columns, np.ones(len(subjects), np.bool_))
        return scores

    def _follow(self, subjects: Sequence[Subject], inventory: Inventory) -> None:
        now = subjects if isinstance(subjects, tuple) else tuple(subjects)
        if self._subjects != now:
            self._subjects = now
            self._columns = np.array([self._column.setdefault(s, len(self._column)) for s in now], np.int64)
            more = len(self._column) - len(self._smoothed)
            if more > 0:
                self._smoothed = np.append(self._smoothed, np.zeros(more, np.float32))
                self._was_grouped = np.append(self._was_grouped, np.zeros(more, np.bool_))
                self._quiet_until = np.append(self._quiet_until, np.zeros(more, np.int64))
                self._told = np.append(self._told, np.zeros(more, np.bool_))
        self._peers.follow(now, inventory)

    def _score(self, rows: Floats, grouped: Bools) -> tuple[Scores, dict[Setting, Floats]]:
        count = rows.shape[1]
        distance = np.full(count, np.nan, np.float32)
        own = np.full(count, np.nan, np.float32)
        scaled: dict[Setting, Floats] = {}
        for setting, chosen in ((Setting.ALONE, ~grouped), (Setting.AMONG_PEERS, grouped)):
            model = self._models.get(setting)
            if model is None or not chosen.any():
                continue
            all_of_them = bool(chosen.all())
            part = rows if all_of_them else rows[:, chosen]
            z = model.scaled(part)
            scaled[setting] = z
            judged = model.judged(part)
            distance[chosen] = np.where(judged, model.distance(z), np.float32(np.nan))
            off = self._habit.deviation(part, self._columns[chosen], model.scale)
            off[~model.used] = 0.0
            own[chosen] = np.abs(off).max(axis=0)
        columns = self._columns
        known = np.isfinite(distance)
        before = self._smoothed[columns]
        share = np.float32(2.0 / (SMOOTHING + 1.0))
        capped = np.minimum(np.where(known, distance, np.float32(0.0)), np.float32(CAP))
        smoothed = np.where(known, before + share * (capped - before), before)
        self._smoothed[columns] = smoothed
        return Scores(distance, np.where(known, smoothed, np.float32(np.nan)), own), scaled

    def _judge(
        self,
        values: Floats,
        rows: Floats,
        medians: Floats,
        scores: Scores,
        scaled: dict[Setting, Floats],
        time_ns: int,
        now_ns: int,
        inventory: Inventory,
    ) -> list[Opinion]:
        columns, grouped = self._columns, self._peers.grouped
        known = np.isfinite(scores.smoothed)
        with np.errstate(invalid="ignore"):
            far = known & (scores.smoothed >= np.float32(LEVEL))
            was = self._persistence.is_open(columns)
            # once open it stays bad until the distance is back: the habit stands still meanwhile and cannot tell
            bad = far & (was | (scores.own >= np.float32(NOVEL)))
        times = np.full(len(columns), time_ns, np.int64)
        opens, clears = self._persistence.look(columns, bad, known, times)
        is_open = self._persistence.is_open(columns)
        self._habit.learn(rows, columns, ~(bad | is_open))
        since = self._persistence.since_ns(columns)
        # what is suspicious is kept out of the sample, but not for ever: a new kind of work must become usual
        learnable = ~(bad | is_open) | (is_open & (time_ns - since > LEARN_AFTER_NS))
        learnable &= np.isfinite(rows).any(axis=0)
        for setting, chosen in ((Setting.ALONE, ~grouped), (Setting.AMONG_PEERS, grouped)):
            positions = np.flatnonzero(learnable & chosen)
            if len(positions) > ROWS_A_LOOK:
                positions = self._random.choice(positions, ROWS_A_LOOK, replace=False)
            self._samples[setting].offer(np.ascontiguousarray(rows[:, positions].T))
        said: list[Opinion] = []
        for position in opens.tolist():
            column = int(columns[position])
            if now_ns < self._quiet_until[column]:
                continue
            self._told[column] = True
            setting = Setting.AMONG_PEERS if grouped[position] else Setting.ALONE
            before = int((grouped if grouped[position] else ~grouped)[:position].sum())
            z = scaled[setting][:, before]
            expected = medians[:, position] if grouped[position] else self._models[setting].center
            said.append(
                self._opening(
                    setting,
                    position,
                    z,
                    values[:, position],
                    expected,
                    scores,
                    int(since[position]),
                    time_ns,
                    inventory,
                )
            )
        for position in clears.tolist():
            column = int(columns[position])
            if self._told[column]:
                self._told[column] = False
                self._quiet_until[column] = now_ns + REFRACTORY_NS
                because = f"its readings have been usual again for {CLEAN} looks"
                said.append(Clearing(FindingKind.UNUSUAL, self._subjects[position], because))
        return said

    def _opening(
        self,
        setting: Setting,
        position: int,
        z: Floats,
        values: Floats,
        expected: Floats,
        scores: Scores,
        since_ns: int,
        time_ns: int,
        inventory: Inventory,
    ) -> Opening:
        subject = self._subjects[position]
        against = "the median of its job's GPUs" if setting is Setting.AMONG_PEERS else "the fleet's median"
        driving = self._models[setting].driving(z)[:TELL].tolist()
        evidence = tuple(
            Evidence(
                text=f"{self.metrics[m]} reads {values[m]:.6g}, {against} is {expected[m]:.6g} ({z[m]:+.1f} sigma)",
                time_ns=time_ns,
                metric=self.metrics[m],
                value=float(values[m]),
                expected=float(expected[m]),
                source="collector",
            )
            for m in driving
        )
        names = ", ".join(self.metrics[m] for m in driving)
        return Opening(
            kind=FindingKind.UNUSUAL,
            subject=subject,
            since_ns=since_ns,
            severity=Severity.INFO,
            confidence=0.3,
            summary=f"{inventory.name_of(subject)} reads unlike {against}: {names} (distance "
            f"{scores.smoothed[position]:.1f}x what 1 in 100 looks exceed)",
            evidence=evidence,
        )
