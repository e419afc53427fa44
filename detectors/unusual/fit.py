"""Learning the model: rare, outside the tick, the only place that imports scikit-learn (1.2 s and 125 MiB)."""

import numpy as np

from detectors.unusual.model import CLIP, Bools, Floats, UnusualModel

RIDGE = 0.01
"""Added to each principal variance (scaled readings: 1 is a metric's own): directions that never varied in the sample
would else be infinitely unusual. 0.001 to 0.1 score alike on ASD."""
QUANTILES = (5.0, 95.0)
QUANTILES_TO_SIGMA = 3.29
"""Width between the 5th and 95th percentile of a normal distribution, in standard deviations."""
THRESHOLD_QUANTILE = 0.99
"""Rank 0 of every job saves now and then: at 99.9 % its saves alone would set the threshold."""
NORMAL_SIGMAS = 2.3
"""The same percentile of a normal distribution, in standard deviations."""
LEAST_ROWS_PER_METRIC = 20


def fit_unusual(rows: Floats, metrics: tuple[str, ...], seed: int) -> UnusualModel:
    """Learn how readings scatter together.

    `rows`: float32, shape (N, F), one row a look at one subject, NaN where missing; `metrics`: F names. Raises
    ValueError where there are too few rows (20 a metric). Pure: the same rows and seed give the same model. About 1 s
    for 20,000 rows of 20 metrics.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import RobustScaler

    rows = np.asarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(metrics):
        raise ValueError(f"rows have the shape {rows.shape}, {len(metrics)} metrics are named")
    if len(rows) < LEAST_ROWS_PER_METRIC * max(1, len(metrics)):
        raise ValueError(f"{len(rows)} rows are too few for {len(metrics)} metrics: it takes 20 a metric")
    values = np.where(np.isfinite(rows), rows, np.nan).astype(np.float64)
    used = _varies(values)
    kept = values[:, used]
    center, scale = np.zeros(len(metrics)), np.ones(len(metrics))
    mean, precision = np.zeros(len(metrics)), np.zeros((len(metrics), len(metrics)))
    threshold = 1.0
    if used.any():
        scaler = RobustScaler(quantile_range=QUANTILES).fit(kept)
        spread = np.nanstd(kept, axis=0)
        width = np.nanpercentile(kept, QUANTILES[1], axis=0) - np.nanpercentile(kept, QUANTILES[0], axis=0)
        center[used] = scaler.center_
        # a metric that moves on fewer than 5 % of the rows has no width between percentiles: its plain deviation then
        scale[used] = np.where(width > 0, scaler.scale_ / QUANTILES_TO_SIGMA, spread)
        z = np.clip((kept - center[used]) / scale[used], -CLIP, CLIP)
        z = np.where(np.isnan(z), 0.0, z)
        inner_mean, inner = _inverse_covariance(PCA, z, seed)
        far = _distances(z, inner_mean, inner)
        count = int(used.sum())
        # what normal readings would give is the least: a sample without any tail is short, not clean
        least = count + NORMAL_SIGMAS * float(np.sqrt(2.0 * count))
        threshold = max(float(np.quantile(far, THRESHOLD_QUANTILE)), least)
        mean[used] = inner_mean
        precision[np.ix_(used, used)] = inner
    return UnusualModel(
        metrics=metrics,
        center=center.astype(np.float32),
        scale=np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32),
        used=used,
        mean=mean.astype(np.float32),
        precision=precision.astype(np.float32),
        threshold=threshold,
        rows=len(rows),
    )


def _varies(values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> Bools:
    """Which columns have values, and not always the same one."""
    present = np.isfinite(values)
    low = np.where(present, values, np.inf).min(axis=0)
    high = np.where(present, values, -np.inf).max(axis=0)
    # half of the rows at least: what is mostly missing has no habit
    varies: Bools = (present.mean(axis=0) >= 0.5) & (high > low)
    return varies


def _inverse_covariance(
    pca: type, z: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", seed: int
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int, int], np.dtype[np.float64]]]":
    fitted = pca(svd_solver="full", random_state=seed).fit(z)
    axes = fitted.components_
    return fitted.mean_, axes.T @ (axes / (fitted.explained_variance_ + RIDGE)[:, None])


def _distances(
    z: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    mean: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    inverse: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    off = z - mean
    far: np.ndarray[tuple[int], np.dtype[np.float64]] = np.einsum("nf,nf->n", off @ inverse, off)
    return far
