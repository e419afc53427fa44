"""Each subject's own habit, metric by metric: exponentially weighted mean and variance, 8 bytes a series."""

import numpy as np
import numpy.typing as npt

from detectors.unusual.model import Bools, Floats

FLOOR = 0.1
"""Least spread of a subject's own metric, in the fleet's robust standard deviations: a metric that never moved is not
infinitely sure."""
HUGE = np.float32(1e15)
"""Readings beyond it are left out of the habit: their square must fit into a float32."""


class OwnHabit:
    """Mean and variance per metric and column, shape (F, columns); `span` in looks.

    Answers only once a series has been seen `warm` times; until then its deviation is 0.
    """

    def __init__(self, width: int, span: int, warm: int) -> None:
        self._share = np.float32(2.0 / (span + 1.0))
        self._warm = warm
        self._mean = np.zeros((0, width), np.float32)
        self._variance = np.zeros((0, width), np.float32)
        self._seen = np.zeros((0, width), np.int32)

    @property
    def columns(self) -> int:
        """How many columns there is room for."""
        return len(self._mean)

    def deviation(self, values: Floats, columns: npt.NDArray[np.int64], scale: Floats) -> Floats:
        """How far readings (F, S) lie from their own mean, in own standard deviations, signed; 0 where unknown."""
        self._grow(columns)
        mean, variance = self._mean[columns].T, self._variance[columns].T
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.sqrt(variance + (np.float32(FLOOR) * scale[:, None]) ** 2)
            z = (values - mean) / spread
        known = (self._warm <= self._seen[columns].T) & np.isfinite(z)
        return np.where(known, z, np.float32(0.0))

    def learn(self, values: Floats, columns: npt.NDArray[np.int64], take: Bools) -> None:
        """Take in readings (F, S) of the subjects chosen by `take` (S,); what is missing or absurd is passed over."""
        self._grow(columns)
        columns = columns[take]
        new = np.ascontiguousarray(values[:, take].T)
        sound = np.abs(new) < HUGE  # False for NaN
        mean, variance, seen = self._mean[columns], self._variance[columns], self._seen[columns]
        # the first looks weigh 1, 1/2, 1/3 ..., so that the mean begins at the first value and not at 0
        share = np.maximum(self._share, np.float32(1.0) / (seen + np.float32(1.0))).astype(np.float32)
        off = np.where(sound, new - mean, np.float32(0.0))
        share = np.where(sound, share, np.float32(0.0))
        self._mean[columns] = mean + share * off
        self._variance[columns] = (np.float32(1.0) - share) * (variance + share * off * off)
        self._seen[columns] = np.minimum(seen + sound, self._warm + 1_000_000)

    def forget(self, columns: npt.NDArray[np.int64]) -> None:
        """Begin anew."""
        self._grow(columns)
        for array in (self._mean, self._variance, self._seen):
            array[columns] = 0

    def _grow(self, columns: npt.NDArray[np.int64]) -> None:
        size = int(columns.max()) + 1 if len(columns) else 0
        if size > self.columns:
            size = max(size, 2 * self.columns)
            for name in ("_mean", "_variance", "_seen"):
                old = getattr(self, name)
                new = np.zeros((size, old.shape[1]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
