"""How a GPU's memory in use moves: what `gpu_memory_leak`, `gpu_memory_drop` and `gpu_memory_pressure` share."""

import numpy as np

from detectors.frame import Bools, Floats, Ints
from detectors.view import View, told_number

LEAST_CARD = 2.0**28
"""A smaller card is no card: the figure is wrong."""


def total_bytes(view: View, at: Ints) -> Floats:
    """Size of each card at some positions: as its gauge last said, else by its facts; NaN where nobody has told."""
    total: Floats = view.habits.total_bytes[view.frame.cols[at]].copy()
    for k in np.flatnonzero(np.isnan(total)):
        told = told_number(view.inventory, view.subject(int(at[k])), "memory_total_bytes")
        total[k] = np.nan if told is None else told
    total[total < LEAST_CARD] = np.nan
    return total


def excused(view: View, cols: Ints, times: Ints) -> Bools:
    """Whether the job's log has announced something (a save, an evaluation, a restore) that moves memory."""
    out = np.zeros(len(cols), np.bool_)
    for k, index in enumerate(view.jobs.job_of[cols]):
        if index >= 0:
            rhythm = view.rhythms.jobs.get(view.jobs.subjects[index])
            if rhythm is not None:
                recent = rhythm.announced_end_ns and times[k] - rhythm.announced_end_ns < 5e9
                out[k] = bool(rhythm.excuse(int(times[k]))) or bool(recent)
    return out
