"""Megatron-LM, Megatron-DeepSpeed and Primus:

    iteration  10/ 1000 | consumed samples: 160 | elapsed time per iteration (ms): 1147.6 | learning rate: 6.0E-06 |
    lm loss: 6.258318E+00 | loss scale: 1.0 | grad norm: 1.520 | number of skipped iterations: 0 | ...

(on one line). Time is in ms or s, as the name says. Where every iteration since the last line was skipped there is no
`lm loss`: it still is a step. Primus prints `now/average`: now is taken.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import put

_ITERATION = re.compile(r"\biteration\s{1,16}(\d{1,12})/\s{0,16}\d{1,12} \|", re.ASCII)
_TIME = {"elapsed time per iteration (ms)": 1e-3, "elapsed time per iteration (s)": 1.0}
_NAMES = {
    "lm loss": "loss",
    "learning rate": "learning_rate",
    "loss scale": "loss_scale",
    "grad norm": "grad_norm",
    "number of skipped iterations": "skipped_steps",
    "number of nan iterations": "nan_steps",
}


class Reader:
    """Reads the iteration line."""

    words = ("iteration ",)

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        match = _ITERATION.search(line.text)
        if match is None or "elapsed time per iteration" not in line.text:
            return []
        values = {"step": float(match[1])}
        for field in line.text[match.end() :].split("|"):
            name, colon, text = field.partition(":")
            if not colon:
                continue
            name, text = name.strip(), text.split("/", 1)[0]
            if name in _NAMES:
                put(values, _NAMES[name], text)
            elif name in _TIME:
                put(values, "step_time_seconds", text, _TIME[name])
        return [Saying(EventKind.TRAINING_STEP, values)]
