"""The learnt model as plain arrays: what the tick needs, without scikit-learn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

CLIP = 20.0
"""Scaled readings are held within +-CLIP, so that one absurd value cannot outweigh all others."""
LEAST_PRESENT = 0.5
"""A subject is judged where at least this share of the metrics is there."""


@dataclass(frozen=True, slots=True)
class UnusualModel:
    """How readings scatter together: a robust scale per metric and the inverse of their covariance.

    F metrics; `center` and `scale` in each metric's own unit, the rest without unit.
    """

    metrics: tuple[str, ...]
    center: Floats
    """Median, shape (F,)."""
    scale: Floats
    """Robust standard deviation, above 0, shape (F,)."""
    used: Bools
    """False where a metric was constant or missing in the sample: it says nothing, shape (F,)."""
    mean: Floats
    """Mean of the scaled readings, shape (F,)."""
    precision: Floats
    """Inverse covariance of the scaled readings, 0 in rows and columns not used, shape (F, F)."""
    threshold: float
    """The 99th percentile of the sample's own squared distances."""
    rows: int
    """How many rows it was learnt from."""

    def scaled(self, values: Floats) -> Floats:
        """Readings (F, S) as deviations in robust standard deviations; what is missing or not used counts as usual."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = (values - self.center[:, None]) / self.scale[:, None]
        # clip passes NaN on, and turns what overflowed into the bound
        np.clip(z, -CLIP, CLIP, out=z)
        z -= self.mean[:, None]
        z[np.isnan(z)] = 0.0
        z[~self.used] = 0.0
        return z

    def distance(self, z: Floats) -> Floats:
        """Squared distance of scaled readings (F, S) over the threshold, shape (S,): above 1 is 1 in 100 or rarer."""
        far = np.einsum("fs,fs->s", z, self.precision @ z)
        relative: Floats = np.maximum(far / np.float32(self.threshold), np.float32(0.0))
        return relative

    def judged(self, values: Floats) -> Bools:
        """Which subjects have enough of the metrics, shape (S,)."""
        wanted = int(self.used.sum())
        present = np.isfinite(values[self.used]).sum(axis=0)
        enough: Bools = present >= max(1.0, wanted * LEAST_PRESENT)
        return enough

    def driving(self, z: Floats) -> npt.NDArray[np.int64]:
        """Indices of the metrics of one subject (F,), those that drive its distance first; only what adds to it."""
        share = z * (self.precision @ z)
        order = np.argsort(-share, kind="stable")
        driving: npt.NDArray[np.int64] = order[share[order] > 0.0]
        return driving
