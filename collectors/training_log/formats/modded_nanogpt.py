"""modded-nanogpt:

    step:5964/20344 train_loss:5.7021 train_time:10145045ms step_avg:1703.90ms

`step_avg` is an average since the start, and `nanms` in the first ten steps: it says nothing about one step, and is
not read. Newer versions leave the loss out, and print `val_loss` on evaluation lines, which are no steps.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, put

_STEP = re.compile(
    rf"\bstep:(\d{{1,12}})/\d{{1,12}} (?:train_loss:({NUMBER}) )?train_time:\d{{1,16}}ms\b",
    re.ASCII,
)


class Reader:
    """Reads the step line."""

    words = ("train_time:",)

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        match = _STEP.search(line.text)
        if match is None:
            return []
        values = {"step": float(match[1])}
        put(values, "loss", match[2])
        return [Saying(EventKind.TRAINING_STEP, values)]
