"""Peers: the GPUs of one job, and the median of what they read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from collectors.model import Subject
from detectors.model import Inventory
from detectors.unusual.model import Bools, Floats

LEAST_PEERS = 4
"""GPUs of one job that must be seen at a look for their median to be one: with three, one faulty card is a third."""


def sorted_median(values: Floats) -> Floats:
    """Median over the last axis without NaN, NaN where nothing is there. Of an even count the mean of the middle two.

    numpy's nanmedian takes ten times as long and warns about empty rows.
    """
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, np.float32)
    ordered = np.sort(values, axis=-1)  # NaN sorts last
    count = np.count_nonzero(~np.isnan(values), axis=-1)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, values.shape[-1] - 1)
    left = np.take_along_axis(ordered, low[..., None], -1)[..., 0]
    right = np.take_along_axis(ordered, high[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore", over="ignore"):
        middle: Floats = np.float32(0.5) * left + np.float32(0.5) * right
    return middle


@dataclass(slots=True)
class Peers:
    """Which of the subjects at hand work for one job; worked out anew only when either changes."""

    _subjects: tuple[Subject, ...] = ()
    _generation: int = -1
    _tables: list["np.ndarray[tuple[int, int], np.dtype[np.int64]]"] = field(default_factory=list)
    """Groups of like size, a row a group: positions of its members, len(subjects) where the row is filled up."""
    grouped: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Which subjects have enough peers, shape (S,)."""

    def follow(self, subjects: Sequence[Subject], inventory: Inventory) -> None:
        """Bring the groups up to date."""
        now = subjects if isinstance(subjects, tuple) else tuple(subjects)
        if self._generation == inventory.generation and self._subjects == now:
            return
        self._subjects, self._generation = now, inventory.generation
        groups: dict[Subject, list[int]] = {}
        for position, subject in enumerate(now):
            job = inventory.job_of(subject)
            if job is not None:
                groups.setdefault(job, []).append(position)
        self.grouped = np.zeros(len(now), np.bool_)
        by_width: dict[int, list[list[int]]] = {}
        for members in groups.values():
            if len(members) >= LEAST_PEERS:
                self.grouped[members] = True
                # rounded up to a power of two, so that a fleet has few tables and little filling
                by_width.setdefault(1 << (len(members) - 1).bit_length(), []).append(members)
        self._tables = [
            np.array([row + [len(now)] * (width - len(row)) for row in rows], np.int64)
            for width, rows in by_width.items()
        ]

    def medians(self, values: Floats) -> Floats:
        """The median of its job's GPUs for each subject and metric, shape (F, S); NaN where it has too few peers."""
        found = np.full_like(values, np.nan)
        if not self._tables:
            return found
        filled = np.concatenate([values, np.full((len(values), 1), np.nan, np.float32)], axis=1)
        for table in self._tables:
            middle = sorted_median(filled[:, table])  # (F, groups)
            for_all = np.broadcast_to(middle[:, :, None], (*middle.shape, table.shape[1])).reshape(len(values), -1)
            positions = table.reshape(-1)
            real = positions < values.shape[1]
            found[:, positions[real]] = for_all[:, real]
        return found
