"""nanoGPT:

iter 2990: loss 3.8853, time 1096.65ms, mfu 15.34%
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, put

_STEP = re.compile(rf"\biter (\d{{1,12}}): loss ({NUMBER}), time ([\d.]{{1,20}})ms\b", re.ASCII)


class Reader:
    """Reads the iteration line."""

    words = (": loss ",)

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        match = _STEP.search(line.text)
        if match is None:
            return []
        values = {"step": float(match[1])}
        put(values, "loss", match[2])
        put(values, "step_time_seconds", match[3], 1e-3)
        return [Saying(EventKind.TRAINING_STEP, values)]
