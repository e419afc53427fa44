"""The newest value of some gauges of every GPU, for detectors that look at all of them at once."""

import numpy as np

from detectors.frame import NS, Floats, Frame, Ints, grown

OLDEST_NS = 15 * NS
"""An older value is missing: three batch intervals."""


class NewestGauges:
    """Arrays of shape (metrics, columns) that follow the frames."""

    def __init__(self, metrics: tuple[str, ...]) -> None:
        self.metrics = metrics
        self._values: Floats = np.full((len(metrics), 0), np.nan, np.float32)
        self._times: Ints = np.zeros((len(metrics), 0), np.int64)

    def take(self, frame: Frame) -> None:
        """Take in one frame; what it does not tell stays as it was."""
        size = int(frame.cols.max()) + 1
        self._values = grown(self._values, size, np.nan)  # type: ignore[assignment]  # dtype is kept
        self._times = grown(self._times, size, 0)  # type: ignore[assignment]
        for row, metric in enumerate(self.metrics):
            told = frame.gauge(metric)
            there = ~np.isnan(told)
            self._values[row, frame.cols[there]] = told[there]
            self._times[row, frame.cols[there]] = frame.times_ns[there]

    def values(self, columns: int, now_ns: int) -> Floats:
        """Shape (metrics, columns); NaN where never told or too old."""
        values: Floats = np.full((len(self.metrics), columns), np.nan, np.float32)
        known = min(columns, self._values.shape[1])
        fresh = now_ns - self._times[:, :known] <= OLDEST_NS
        values[:, :known] = np.where(fresh, self._values[:, :known], np.nan)
        return values
